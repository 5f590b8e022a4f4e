"""The pages of documents that are kept elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from configuration.models import AuditEntry, RemoteDocument
from tests.pages import fresh_cache, look, staff

__all__ = ["fresh_cache", "look", "staff"]

LIST = reverse("admin:configuration_remotedocument_changelist")
Write = Callable[[str, str | bytes], Path]
Follow = Callable[[], bool]
Schema = Callable[..., str]


@pytest.fixture
def ready(db: None) -> None:
    """The pages need no configuration."""


def page_of(key: str) -> str:
    row = RemoteDocument.objects.get(key=key)
    return reverse("admin:configuration_remotedocument_change", args=[row.pk])


def test_the_list_says_how_each_stands(
    write: Write, follow: Follow, schema: Schema, look: Callable[..., str], place: Path
):
    """A pill and a sentence each, and a line about each place."""
    write("acme.yaml", schema())
    write("broken.yaml", "x: [")

    follow()

    text = look(LIST)
    assert f"The directory {place} is followed It answered at" in text
    assert "acme.yaml" in text
    assert "In use acme v1 is active" in text
    assert "Refused" in text


def test_the_list_can_be_narrowed(
    write: Write, follow: Follow, schema: Schema, look: Callable[..., str]
):
    """By place and by a part of the key; an empty result says so."""
    write("acme.yaml", schema())
    follow()

    assert "acme v1 is active" in look(f"{LIST}?place=directory&q=acme")
    assert "acme v1 is active" not in look(f"{LIST}?place=app_configuration")
    assert "acme v1 is active" not in look(f"{LIST}?q=nothing")


def test_an_empty_list_says_what_could_be_here(look: Callable[..., str]):
    """The two variables are named."""
    text = look(LIST)

    assert "Nothing is kept elsewhere" in text
    assert "PAYFLOW_CONFIG_DIR" in text


def test_a_page_says_what_is_wrong(
    write: Write, follow: Follow, schema: Schema, look: Callable[..., str]
):
    """Each problem with its place, and the way to the draft."""
    write("acme.yaml", schema())
    follow()
    write("acme.yaml", schema().replace("minor", "pennies"))

    follow()

    text = look(page_of("acme.yaml"))
    assert "Refused" in text
    assert "/columns/amount/unit" in text
    assert "Open the draft" in text
    assert "acme v1" in text


def test_what_is_gone_can_be_forgotten(
    write: Write, follow: Follow, schema: Schema, staff: Callable[..., Client]
):
    """By a POST of somebody who may change versions, and it is noted; not by a viewer."""
    write("acme.yaml", schema())
    follow()
    row = RemoteDocument.objects.get(key="acme.yaml")
    url = reverse("admin:configuration_remotedocument_forget", args=[row.pk])
    viewer = staff("configuration.view_remotedocument")
    author = staff("configuration.view_remotedocument", "configuration.change_configurationversion")
    assert author.post(url).status_code == 404  # it is there
    write("acme.yaml", schema()).unlink()
    follow()

    assert b"Forget" not in viewer.get(page_of("acme.yaml")).content
    assert viewer.post(url).status_code == 403
    assert b"Forget" in author.get(page_of("acme.yaml")).content
    assert author.get(url).status_code == 200
    assert RemoteDocument.objects.exists()
    assert author.post(url).status_code == 302

    assert not RemoteDocument.objects.exists()
    assert AuditEntry.objects.filter(action="forgot", target="acme.yaml").exists()


def test_who_may_not_view_sees_nothing(staff: Callable[..., Client]):
    """The list needs its permission."""
    assert staff().get(LIST).status_code == 403
