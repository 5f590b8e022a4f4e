"""What is kept elsewhere beside what is active, and what of it needs a person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from configuration.activation import roll_back
from configuration.models import ConfigurationVersion, RemoteDocument, RemoteState
from configuration.remote import trouble
from configuration.remote.drift import drifts
from configuration.versions import discard_draft

pytestmark = pytest.mark.django_db

Write = Callable[[str, str | bytes], Path]
Follow = Callable[[], bool]
Schema = Callable[..., str]


def stands() -> dict[str, tuple[str, str]]:
    return {drift.document.key: (drift.status, drift.text) for drift in drifts()}


def test_nothing_set_is_no_trouble(settings: Any):
    """Without a place there is nothing to say."""
    settings.PAYFLOW = settings.PAYFLOW | {"CONFIG_DIR": "", "APPCONFIG": ""}

    assert trouble() == []


def test_what_is_active_is_in_use(write: Write, follow: Follow, schema: Schema):
    """The same document is no drift and no trouble."""
    write("acme.yaml", schema())

    follow()

    assert stands() == {"acme.yaml": ("same", "acme v1 is active")}
    assert trouble() == []


def test_a_roll_back_is_drift_but_no_trouble(write: Write, follow: Follow, schema: Schema):
    """A person wanted it; the list says what the place gives."""
    for description in ("", "two"):
        write("acme.yaml", schema(description))
        follow()

    roll_back("schema", "acme")

    assert stands()["acme.yaml"] == ("differs", "it gives acme v2; acme v1 stays active")
    assert trouble() == []


def test_a_refused_document_is_trouble(write: Write, follow: Follow, schema: Schema, place: Path):
    """The first problem is said, and how many more there are."""
    write("acme.yaml", schema())
    follow()
    write("acme.yaml", schema().replace("rfc3339", "x").replace("minor", "x"))

    follow()

    status, text = stands()["acme.yaml"]
    assert status == "refused"
    assert text.endswith("(and 1 more)")
    (sentence,) = trouble()
    assert sentence.startswith(f"acme.yaml of the directory {place} is refused: /columns/")


def test_a_sound_draft_waits_for_a_person(
    write: Write, follow: Follow, schema: Schema, settings: Any
):
    """Where four eyes are asked for; a draft that was discarded does not wait any more."""
    write("acme.yaml", schema())
    follow()
    settings.PAYFLOW = settings.PAYFLOW | {"FOUR_EYES": True}
    write("acme.yaml", schema("two"))
    follow()
    assert stands()["acme.yaml"][0] == "waits"
    assert "waits for a person" in trouble()[0]

    discard_draft(ConfigurationVersion.objects.get(name="acme", number=2), by=None)

    assert stands()["acme.yaml"][0] == "refused"


def test_a_document_that_went_away_is_drift(write: Write, follow: Follow, schema: Schema):
    """It says since when, and what stays active."""
    write("acme.yaml", schema()).unlink()
    write("acme.yaml", schema())
    follow()
    write("acme.yaml", schema()).unlink()

    follow()

    status, text = stands()["acme.yaml"]
    assert status == "gone"
    assert text.endswith("acme v1 stays active")
    assert trouble() == []


def test_a_place_that_nobody_looks_at_is_trouble(place: Path, follow: Follow):
    """A worker that is missing is said before the first look and after the last one."""
    assert "was never looked at" in trouble()[0]
    follow()
    assert trouble() == []

    RemoteState.objects.update(looked_at=timezone.now() - timedelta(minutes=2))

    (sentence,) = trouble()
    assert "was not looked at since" in sentence
    assert "queue default" in sentence


def test_a_place_that_is_away_is_trouble(place: Path, follow: Follow):
    """Since when, and that nothing is lost by it."""
    place.rmdir()

    follow()

    (sentence,) = trouble()
    assert sentence.endswith("; the last good configuration stays active")


def test_documents_of_a_place_that_is_not_set_are_no_trouble(settings: Any):
    """What was followed once and is not any more is left alone."""
    settings.PAYFLOW = settings.PAYFLOW | {"CONFIG_DIR": "", "APPCONFIG": ""}
    now = timezone.now()
    RemoteDocument.objects.create(
        origin="directory",
        key="old.yaml",
        checksum="x",
        problems=[{"pointer": "", "message": "wrong"}],
        changed_at=now,
        seen_at=now,
    )

    assert trouble() == []


def test_an_address_that_is_none_is_trouble(settings: Any):
    """The variable is named, its value is not."""
    settings.PAYFLOW = settings.PAYFLOW | {"APPCONFIG": "Endpoint=x;Secret=s3cret"}

    (sentence,) = trouble()

    assert "PAYFLOW_APPCONFIG" in sentence
    assert "s3cret" not in sentence


def test_the_status_names_each_document(write: Write, follow: Follow, schema: Schema):
    """`configure status` ends with the places and what each of their documents is."""
    write("acme.yaml", schema())
    follow()
    out = StringIO()

    call_command("configure", "status", stdout=out)

    assert out.getvalue().splitlines()[-2:] == [
        "Place directory: answers",
        "directory: acme.yaml: same, acme v1 is active",
    ]
