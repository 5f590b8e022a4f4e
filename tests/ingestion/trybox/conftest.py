"""Fixtures of the try box: somebody who is logged in, and what they see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from configuration.models import Source
from tests.pages import fresh_cache, look, staff

__all__ = ["fresh_cache", "look", "staff"]

VIEW = "configuration.view_configurationversion"


@pytest.fixture
def demo(ready: None) -> Source:
    """A source of the schema `transaction`, with the shipped rules."""
    return Source.objects.get(name="demo")


@pytest.fixture
def ask(staff: Callable[..., Client], demo: Source) -> Callable[..., dict[str, Any]]:
    """What the page is answered while somebody types; keyword arguments are the form's fields."""
    client = staff(VIEW)

    def send(event: str, **fields: Any) -> dict[str, Any]:
        form = {"event": event, "source": str(demo.pk), **fields}
        response = client.post("/try/look/", form)
        assert response.status_code == 200, response.status_code
        answer: dict[str, Any] = response.json()
        return answer

    return send
