"""Fixtures of the try box: somebody who is logged in, and what they see."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from configuration.bundling import checksum
from configuration.models import ConfigurationVersion, Source
from tests.pages import fresh_cache, look, staff

__all__ = ["fresh_cache", "look", "staff"]

VIEW = "configuration.view_configurationversion"


def draft_of(
    kind: str, name: str, change: Callable[[dict[str, Any]], None]
) -> ConfigurationVersion:
    """A draft of an active document with a change; without the trial run, which takes a second."""
    versions = ConfigurationVersion.objects.filter(kind=kind, name=name)
    document = json.loads(json.dumps(versions.get(status="active").document))
    change(document)
    return ConfigurationVersion.objects.create(
        kind=kind,
        name=name,
        number=versions.count() + 1,
        document=document,
        checksum=checksum(document),
    )


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
