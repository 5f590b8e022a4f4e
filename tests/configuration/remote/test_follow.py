"""A place of configuration is followed: versions, what is live, and what is refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from configuration.activation import activate, roll_back
from configuration.models import (
    Activation,
    AuditEntry,
    CompatibilityGate,
    ConfigurationVersion,
    RemoteDocument,
    RemoteState,
)
from configuration.remote.follow import _alone
from configuration.versions import save_draft
from tests.configuration.remote.conftest import follower

pytestmark = pytest.mark.django_db

Versions = ConfigurationVersion.objects
Write = Callable[[str, str | bytes], Path]
Follow = Callable[[], bool]
Schema = Callable[..., str]


def states(name: str = "acme") -> list[str]:
    """Status of each version, oldest first."""
    return list(Versions.filter(name=name).order_by("number").values_list("status", flat=True))


def problems(key: str) -> str:
    row = RemoteDocument.objects.get(key=key)
    return "; ".join(problem["message"] for problem in row.problems)


# --- what is sound -------------------------------------------------------------------------------


def test_a_new_document_goes_live_as_it_was_written(write: Write, follow: Follow, schema: Schema):
    """A file becomes a version with its comments, active, and says where it came from."""
    write("acme.yaml", schema())

    follow()

    version = Versions.get(name="acme")
    assert (version.kind, version.status, version.text) == ("schema", "active", schema())
    assert version.note == "from acme.yaml"
    assert version.origin.startswith("the directory ")
    assert Activation.objects.get(version=version).reason.endswith("acme.yaml")


def test_what_did_not_change_makes_nothing(write: Write, follow: Follow, schema: Schema):
    """A second look leaves versions, trail and audit as they are."""
    write("acme.yaml", schema())
    follow()
    before = (list(Versions.values()), Activation.objects.count(), AuditEntry.objects.count())

    follow()

    assert (
        list(Versions.values()),
        Activation.objects.count(),
        AuditEntry.objects.count(),
    ) == before


def test_a_change_replaces_the_active_version(write: Write, follow: Follow, schema: Schema):
    """The next version is active, made from the one before."""
    write("acme.yaml", schema())
    follow()
    write("acme.yaml", schema("two"))

    follow()

    assert states() == ["retired", "active"]
    assert Versions.get(name="acme", number=2).base == Versions.get(name="acme", number=1)


def test_another_way_to_write_the_same_makes_no_version(
    write: Write, follow: Follow, schema: Schema
):
    """Comments and order change the file, not the configuration."""
    write("acme.yaml", schema())
    follow()
    write("acme.yaml", "# moved\n" + schema())

    follow()

    assert states() == ["active"]
    assert problems("acme.yaml") == ""


def test_what_was_live_before_is_activated_again(write: Write, follow: Follow, schema: Schema):
    """Putting the old file back makes no third version."""
    for description in ("", "two", ""):
        write("acme.yaml", schema(description))
        follow()

    assert states() == ["active", "retired"]
    assert Activation.objects.filter(version__name="acme").count() == 3


def test_a_roll_back_here_stays(write: Write, follow: Follow, schema: Schema):
    """An unchanged file does not undo what a person did."""
    for description in ("", "two"):
        write("acme.yaml", schema(description))
        follow()
    roll_back("schema", "acme", reason="declined too much")

    follow()

    assert states() == ["active", "retired"]


# --- what is wrong -------------------------------------------------------------------------------


def test_a_wrong_document_is_a_draft_with_its_problems(
    write: Write, follow: Follow, schema: Schema
):
    """It never is live; what was active stays so."""
    write("acme.yaml", schema())
    follow()
    write("acme.yaml", schema().replace("unit: minor", "unit: pennies"))

    follow()

    assert states() == ["active", "draft"]
    draft = Versions.get(name="acme", number=2)
    assert draft.problems[0]["pointer"] == "/columns/amount/unit"
    assert problems("acme.yaml") == draft.problems[0]["message"]
    assert AuditEntry.objects.filter(action="refused", version=draft).count() == 1


def test_a_draft_is_mended_by_the_next_text(write: Write, follow: Follow, schema: Schema):
    """Ten wrong texts and a right one are one version, not eleven."""
    write("acme.yaml", schema())
    follow()
    for number in range(10):
        write("acme.yaml", schema().replace("unit: minor", f"unit: wrong{number}"))
        follow()
    write("acme.yaml", schema("mended"))

    follow()

    assert states() == ["retired", "active"]
    assert problems("acme.yaml") == ""


def test_a_draft_that_a_person_has_edited_is_theirs(write: Write, follow: Follow, schema: Schema):
    """The next text of the file makes a draft of its own."""
    write("acme.yaml", schema())
    follow()
    write("acme.yaml", schema().replace("unit: minor", "unit: wrong"))
    follow()
    draft = Versions.get(name="acme", number=2)
    save_draft(draft, schema("by hand"), by=None)
    write("acme.yaml", schema("by file"))

    follow()

    draft.refresh_from_db()
    assert states() == ["retired", "draft", "active"]
    assert draft.document["description"] == "by hand"


def test_unreadable_text_is_a_draft_of_what_the_file_was(
    write: Write, follow: Follow, schema: Schema
):
    """A file that was a schema and is no YAML any more stands in that schema's history."""
    write("acme.yaml", schema())
    follow()
    write("acme.yaml", schema() + "\nx: [")

    follow()

    assert states() == ["active", "draft"]
    assert Versions.get(name="acme", number=2).document == {}
    assert "no YAML" in problems("acme.yaml")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty"),
        (b" \n\t", "is empty"),
        (b"\xff\xfe", "no UTF-8"),
        (b"name: a\0b", "NUL"),
        (b"x" * (2**20 + 1), "larger than"),
        (b"- a\n- b", "no mapping"),
        (b"x: [", "no YAML"),
        (b"name: nothing\nof: use", "no transaction schema"),
        (b"columns: {}", "name is required"),
        (b"name: ../x\ncolumns: {}", "name is required"),
        (b"name: a\nname: b", "twice"),
        (b"[" * 5000, "no YAML"),
    ],
)
def test_what_is_no_document_is_said(write: Write, follow: Follow, content: bytes, text: str):
    """Such a file makes no version; why stands beside its name."""
    write("acme.yaml", content)

    follow()

    assert not Versions.exists()
    assert text in problems("acme.yaml")
    assert RemoteState.objects.get(origin="directory").error == ""


def test_refused_rules_are_tried_again_when_the_schema_is_live(
    write: Write, follow: Follow, schema: Schema
):
    """Rules that name a column which a schema brings later go live with it, untouched."""
    rules = (
        "name: acme\nmetrics:\n"
        "  - {name: risk, type: GAUGE, value: acme_risk, window: 1m, description: its risk}\n"
    )
    write("rules.yaml", rules)
    follow()
    assert "acme_risk" in problems("rules.yaml")
    write("acme.yaml", schema() + "attributes:\n  acme_risk: {path: risk, type: number}\n")

    follow()
    follow()

    assert problems("rules.yaml") == ""
    assert Versions.get(kind="metrics", name="acme").status == "active"


# --- what a person decides -----------------------------------------------------------------------


def test_four_eyes_hold_for_files_too(
    write: Write, follow: Follow, schema: Schema, settings: Any, admin_user: Any
):
    """The change waits as a sound draft; a person makes it live, and the file agrees."""
    write("acme.yaml", schema())
    follow()
    settings.PAYFLOW = settings.PAYFLOW | {"FOUR_EYES": True}
    write("acme.yaml", schema("two"))
    follow()
    draft = Versions.get(name="acme", number=2)
    assert (draft.status, draft.problems) == ("draft", [])
    assert "four eyes" in problems("acme.yaml")

    activate(draft, by=admin_user)
    follow()

    assert states() == ["retired", "active"]
    assert problems("acme.yaml") == ""


def test_a_closed_gate_keeps_a_schema_out(write: Write, follow: Follow, schema: Schema):
    """A schema that is not compatible as its gate asks stays a draft, with the reason."""
    CompatibilityGate.objects.update(mode="backward")
    write("acme.yaml", schema())
    follow()
    write("acme.yaml", schema().replace("[id, at, amount]", "[id, at, amount, shop]"))

    follow()

    assert states() == ["active", "draft"]
    assert problems("acme.yaml") != ""
    assert Versions.get(name="acme", number=2).problems == []


# --- places --------------------------------------------------------------------------------------


def test_a_file_that_went_away_stays_active(write: Write, follow: Follow, schema: Schema):
    """An empty directory stops nothing; that it is gone is noted once."""
    path = write("acme.yaml", schema())
    follow()
    path.unlink()

    follow()
    follow()

    assert states() == ["active"]
    assert RemoteDocument.objects.get(key="acme.yaml").checksum == ""
    assert AuditEntry.objects.filter(action="no longer found").count() == 1


def test_a_file_that_came_back_is_the_same(write: Write, follow: Follow, schema: Schema):
    """Nothing is activated again for it."""
    write("acme.yaml", schema()).unlink()
    write("acme.yaml", schema())
    follow()
    (path := write("acme.yaml", schema())).unlink()
    follow()
    write(path.name, schema())

    follow()

    assert states() == ["active"]
    assert Activation.objects.filter(version__name="acme").count() == 1
    assert RemoteDocument.objects.get(key="acme.yaml").checksum != ""


def test_a_directory_that_is_away_changes_nothing(
    place: Path, write: Write, follow: Follow, schema: Schema, caplog: pytest.LogCaptureFixture
):
    """What was read stays good; one warning says so, and that it answers again."""
    write("acme.yaml", schema())
    follow()
    shutil.move(place, place.with_name("away"))

    follow()
    since = RemoteState.objects.get(origin="directory").error_since
    follow()

    state = RemoteState.objects.get(origin="directory")
    assert "No such file" in state.error
    assert state.error_since == since is not None
    assert RemoteDocument.objects.get(key="acme.yaml").checksum != ""
    assert [r.levelname for r in caplog.records if r.name.endswith("follow")] == ["WARNING"]
    shutil.move(place.with_name("away"), place)
    follow()
    state.refresh_from_db()
    assert (state.error, state.error_since) == ("", None)


def test_one_of_two_files_for_a_name_counts(write: Write, follow: Follow, schema: Schema):
    """The first by name; the other one says which."""
    write("a.yaml", schema("a"))
    write("b.yaml", schema("b"))

    follow()

    assert Versions.get(name="acme").document["description"] == "a"
    assert problems("b.yaml") == "not used: a.yaml gives acme too"


def test_a_file_is_left_alone_while_it_is_written(
    place: Path, follow: Follow, write: Write, schema: Schema
):
    """Half a file is not read; what it said before holds until it is settled."""
    path = write("acme.yaml", schema())
    follow()
    path.write_text(schema()[:60])

    follow()

    assert states() == ["active"]
    os.utime(path, (1, 1))
    follow()
    assert states() == ["active", "draft"]


def test_links_are_followed_and_hidden_files_are_not(
    place: Path, write: Write, follow: Follow, schema: Schema
):
    """As Kubernetes mounts a ConfigMap: ..data/acme.yaml, and a link to it."""
    hidden = place / "..2026"
    hidden.mkdir()
    write("..2026/acme.yaml", schema())
    (place / "acme.yaml").symlink_to(hidden / "acme.yaml")
    (place / "gone.yaml").symlink_to(place / "nowhere")
    write(".draft.yaml", schema("hidden"))
    write("notes.txt", "name: x")
    (place / "folder.yaml").mkdir()

    follow()

    keys = RemoteDocument.objects.order_by("key").values_list("key", flat=True)
    assert list(keys) == ["acme.yaml", "gone.yaml"]
    assert states() == ["active"]
    assert "cannot be read" in problems("gone.yaml")


def test_only_one_worker_looks_at_a_time(place: Path, follow: Follow):
    """A second look while the first is under way does nothing, and the third one looks again."""
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor, _alone("elsewhere"):
            keys = _lock_keys()
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", keys)
            assert follow() is False
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", keys)
        assert follow() is True
    finally:
        other.close()


def _lock_keys() -> tuple[int, int]:
    import zlib

    from configuration.remote import follow

    return follow._LOCK, zlib.crc32(b"directory") - 2**31


def test_a_place_that_is_not_set_is_not_followed(settings: Any):
    """The task of a place that was taken out of the settings does nothing."""
    from configuration.tasks import sync_configuration

    settings.PAYFLOW = settings.PAYFLOW | {"CONFIG_DIR": "", "APPCONFIG": ""}

    sync_configuration("directory")

    assert not RemoteState.objects.exists()


def test_the_task_looks(write: Write, schema: Schema):
    """What beat sends is one look."""
    from configuration.tasks import sync_configuration

    write("acme.yaml", schema())

    sync_configuration("directory")

    assert states() == ["active"]
    assert follower("directory").origin.title in Versions.get(name="acme").origin


# --- names that are no names ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [f"{'a' * 250}.yaml", os.fsdecode(b"\xff.yaml"), f"{os.fsdecode(bytes([255]) * 200)}.yml"],
)
def test_a_file_with_an_odd_name_keeps_no_other_from_being_taken(
    name: str, write: Write, follow: Follow, schema: Schema
):
    """It is refused under a name that can be written down; what is sound goes live."""
    file = write(name, "no: document")
    write("zebra.yaml", schema())

    follow()
    (odd,) = RemoteDocument.objects.exclude(key="zebra.yaml")
    file.unlink()
    follow()

    assert odd.problems
    assert states() == ["active"]
    assert AuditEntry.objects.filter(action="no longer found", target=odd.key[:128]).exists()


def test_a_file_with_a_wrong_tag_keeps_no_other_from_being_taken(
    write: Write, follow: Follow, schema: Schema
):
    write("a.yaml", "name: a\nmetrics: !!bool maybe\n")
    write("zebra.yaml", schema())

    follow()

    assert states() == ["active"]
    assert "no bool" in problems("a.yaml")
