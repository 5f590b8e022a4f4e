"""Fixtures of the try box: somebody who is logged in, and what they see."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from django.test import Client

from configuration.models import ConfigurationVersion, Source
from configuration.versions import create_draft
from tests.pages import fresh_cache, look, staff

__all__ = ["fresh_cache", "look", "staff"]

VIEW = "configuration.view_configurationversion"


def draft_of(
    kind: str, name: str, change: Callable[[dict[str, Any]], None]
) -> ConfigurationVersion:
    """A draft of an active document with a change."""
    active = ConfigurationVersion.objects.get(kind=kind, name=name, status="active")
    document = json.loads(json.dumps(active.document))
    change(document)
    draft = create_draft(kind=kind, name=name, text=yaml.safe_dump(document, sort_keys=False))
    assert draft.problems == []
    return draft


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
