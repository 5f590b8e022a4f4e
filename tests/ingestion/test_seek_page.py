"""Seeking and pausing a partition by its page, by the API and by the command."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any, Final

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.test import Client

from configuration.models import AuditEntry, Source
from ingestion.models import Partition
from ingestion.source_models import Seek
from payflow.lib.pages.display import row_url
from tests.ingestion.streaming import PREFIX, demo, drain_all, publish
from tests.pages import fresh_cache, staff, text_of

__all__ = ["fresh_cache", "staff"]

pytestmark = pytest.mark.usefixtures("ready", "streams")

RIGHTS = ("ingestion.view_partition", "ingestion.change_partition")


@pytest.fixture
def behind(streams, event) -> Partition:
    """Partition 1 of `demo` with 10 messages that nobody has read."""
    drain_all()
    publish(streams, [event(n) for n in range(10)], only=1)
    return Partition.objects.get(source__name="demo", name="1")


@pytest.fixture
def lost(streams, event) -> Partition:
    """Partition 1, stopped: of 6 unread messages the first 4 are gone."""
    drain_all()
    publish(streams, [event(n) for n in range(6)], only=1)
    streams.xtrim(f"{PREFIX}.1", maxlen=2, approximate=False)
    drain_all()
    return Partition.objects.get(source__name="demo", name="1")


def away() -> None:
    """Nobody listens where the source's settings lead."""
    settings = demo().settings | {"url": "redis://127.0.0.1:1/0"}
    Source.objects.filter(name="demo").update(settings=settings)


def seek_url(row: Partition) -> str:
    return f"/ingestion/partition/{row.pk}/seek/"


# --- the page ------------------------------------------------------------------------------------


def test_the_form_counts_before_anything_is_chosen(behind, staff):
    """What the ends would do stands beside them; nothing can be confirmed yet."""
    page = staff(*RIGHTS).get(seek_url(behind)).content.decode()

    text = text_of(page)
    assert "10 events would be skipped" in text
    assert "Nothing would be skipped or read again" in text
    assert "to confirm" not in text


def test_a_target_is_shown_and_done_once_its_name_is_typed(behind, staff):
    """A wrong name or no reason changes nothing; the answer and the trail say what was done."""
    client, url = staff(*RIGHTS), seek_url(behind)
    shown = text_of(client.get(url, {"to": "latest"}).content.decode())
    wrong = client.post(url, {"to": "latest", "reason": "a test", "confirm": "demo/2"})
    silent = client.post(url, {"to": "latest", "reason": " ", "confirm": "demo/1"})
    untouched = not Seek.objects.exists()

    done = client.post(url, {"to": "latest", "reason": "a test", "confirm": "demo/1"}, follow=True)

    assert "Type demo/1 to confirm" in shown
    assert (wrong.status_code, silent.status_code, untouched) == (422, 422, True)
    assert "Type demo/1, letter by letter." in text_of(wrong.content.decode())
    text = text_of(done.content.decode())
    assert "10 skipped" in text
    assert "a test" in text
    entry = AuditEntry.objects.get(target="demo/1")
    assert (entry.action, entry.actor) == ("moved the checkpoint of", Seek.objects.get().by)
    assert entry.details["events"] == 10
    assert LogEntry.objects.filter(change_message__contains="Moved demo/1").exists()


def test_a_lost_partition_offers_both_ends_with_what_they_cost(lost, staff):
    """Its page leads to them; the form says what is lost whatever is done."""
    client = staff(*RIGHTS)
    page = client.get(row_url("ingestion.partition", lost.pk)).content.decode()

    earliest = text_of(client.get(seek_url(lost), {"to": "earliest"}).content.decode())
    latest = text_of(client.get(seek_url(lost), {"to": "latest"}).content.decode())
    client.post(seek_url(lost), {"to": "earliest", "reason": "gone", "confirm": "demo/1"})

    assert f"{seek_url(lost)}?to=earliest" in page
    assert f"{seek_url(lost)}?to=latest" in page
    assert "Lost 4 messages" in text_of(page)
    assert "4 events would be skipped The broker no longer holds any of them" in earliest
    assert "6 events would be skipped The broker no longer holds 4 of them" in latest
    lost.refresh_from_db()
    assert lost.state == "active"


_NO_PLACES: Final[list[tuple[dict[str, str], str]]] = [
    ({"to": "nowhere"}, "Select a valid choice"),
    ({"to": "time"}, "Which time?"),
    ({"to": "time", "at": "yesterday"}, "Enter a valid date/time"),
    ({"to": "position"}, "A position is a number"),
    ({"to": "position", "position": "<b>5</b>"}, "A position is a number"),
    ({"to": "position", "position": "5"}, "Positions of this source look like"),
    ({"to": "position", "position": "99999999999999-0"}, "is not among them"),
    ({"to": "position", "position": "9" * 49}, "at most 48 characters"),
]


def test_what_is_no_place_is_said_in_the_form(behind, staff, subtests):
    """By a GET as by a POST that confirms it."""
    client, url = staff(*RIGHTS), seek_url(behind)

    for asked, words in _NO_PLACES:
        shown = client.get(url, asked)
        posted = client.post(url, {**asked, "reason": "a test", "confirm": "demo/1"})

        with subtests.test(str(asked)):
            assert words in text_of(shown.content.decode())
            assert words in text_of(posted.content.decode())
            assert posted.status_code == 422
    assert not Seek.objects.exists()


def test_a_broker_that_does_not_answer_is_said_and_nothing_changes(behind, staff):
    """In the form, with what the broker's client said."""
    away()
    client = staff(*RIGHTS)

    shown = client.get(seek_url(behind))
    posted = client.post(
        seek_url(behind), {"to": "latest", "reason": "a test", "confirm": "demo/1"}
    )

    for answer in (shown, posted):
        assert "The broker could not be asked" in text_of(answer.content.decode())
        assert "Nothing was changed." in text_of(answer.content.decode())
    assert not Seek.objects.exists()


def test_a_paused_partition_says_so_and_is_resumed(behind, staff):
    """With the reason; the page leads on."""
    client = staff(*RIGHTS)
    page = row_url("ingestion.partition", behind.pk)
    question = client.get(f"/ingestion/partition/{behind.pk}/pause/").content.decode()
    client.post(f"/ingestion/partition/{behind.pk}/pause/", {"reason": "the bank <asked>"})
    paused = client.get(page).content.decode()
    client.post(f"/ingestion/partition/{behind.pk}/resume/")
    behind.refresh_from_db()

    assert "gives it back within a second" in text_of(question)
    assert "Paused by a person since" in text_of(paused)
    assert "the bank &lt;asked&gt;" in paused
    assert f"/ingestion/partition/{behind.pk}/resume/" in paused
    assert (behind.state, behind.stopped_reason, behind.stopped_at) == ("active", "", None)


def test_who_may_only_view_does_none_of_it(behind, staff):
    """Neither the buttons nor the addresses work; without a token of the form nobody posts."""
    client = staff("ingestion.view_partition")
    page = client.get(row_url("ingestion.partition", behind.pk)).content.decode()
    forger = Client(enforce_csrf_checks=True)
    forger.cookies = staff(*RIGHTS).cookies

    for action in ("seek", "pause", "resume"):
        url = f"/ingestion/partition/{behind.pk}/{action}/"
        assert url not in page
        assert client.get(url).status_code == 403
        assert client.post(url).status_code == 403
        assert forger.post(url, {"to": "latest"}).status_code == 403
    assert staff(*RIGHTS).get("/ingestion/partition/999999/seek/").status_code == 404


# --- the API -------------------------------------------------------------------------------------


def call(client: Client, action: str, body: Any = None, *, name: str = "demo") -> Any:
    return client.post(
        f"/api/v1/sources/{name}/partitions/1/{action}/",
        body or {},
        content_type="application/json",
    )


def test_a_program_plans_and_then_seeks(behind, staff):
    """The dry run changes nothing; the answer says what was done."""
    client = staff(*RIGHTS)

    planned = call(client, "seek", {"to": "latest", "dry_run": True})
    untouched = not Seek.objects.exists()
    done = call(client, "seek", {"to": "latest", "reason": "a test"})

    assert (planned.status_code, planned.json()["events"], untouched) == (200, 10, True)
    seek = Seek.objects.get()
    assert done.json()["seek"] == str(seek.pk)
    assert (done.json()["kind"], done.json()["to"]) == ("skip", seek.to_position)
    behind.refresh_from_db()
    assert behind.position == seek.to_position


def test_a_call_that_makes_no_sense_is_named(behind, staff):
    """The field of the request; 409 for a place that is not there; 404 for another partition."""
    client = staff(*RIGHTS)
    asked = [
        ({}, "/to"),
        ({"to": "nowhere", "reason": "x"}, "/to"),
        ({"to": "time", "reason": "x"}, "/time"),
        ({"to": "time", "time": "soon", "reason": "x"}, "/time"),
        ({"to": "latest", "position": "5", "reason": "x"}, "/position"),
        ({"to": "position", "position": "abc", "reason": "x"}, "/position"),
        ({"to": "latest"}, "/reason"),
        ({"to": "latest", "reason": "x" * 257}, "/reason"),
        ({"to": "latest", "reason": ""}, "/reason"),
    ]

    for body, pointer in asked:
        answer = call(client, "seek", body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, pointer), body
    outside = {"to": "position", "position": "99999999999999-0", "reason": "x"}
    assert call(client, "seek", outside).status_code == 409
    assert call(client, "seek", {"to": "latest", "reason": "x"}, name="other").status_code == 404
    away()
    assert call(client, "seek", {"to": "latest", "reason": "x"}).status_code == 503
    assert not Seek.objects.exists()


def test_a_program_pauses_and_resumes_one_partition(behind, staff):
    """Each once: the second call is told how it is."""
    client = staff(*RIGHTS)

    answers = [call(client, action) for action in ("resume", "pause", "pause", "resume", "resume")]

    assert [answer.status_code for answer in answers] == [409, 200, 409, 200, 409]
    assert [answers[1].json()["state"], answers[3].json()["state"]] == ["paused", "active"]


def test_who_may_not_change_partitions_calls_in_vain(behind, staff):
    """A viewer gets 403, a stranger 401, and nothing is told of what exists."""
    viewer = staff("ingestion.view_partition")

    for action in ("seek", "pause", "resume"):
        assert call(viewer, action).status_code == 403
        assert call(viewer, action, name="other").status_code == 403
        assert call(Client(), action).status_code == 401


# --- the command ---------------------------------------------------------------------------------


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("seek", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_says_and_does(behind):
    """In words, as JSON, and dry."""
    said = run("demo", "1", "--to", "latest", "--dry-run")
    untouched = not Seek.objects.exists()
    done = json.loads(run("demo", "1", "--to", "latest", "--reason", "a test", "--json"))

    assert "10 events would be skipped" in said
    assert "Nothing was changed" in said
    assert untouched
    assert (done["events"], done["kind"], done["dry_run"]) == (10, "skip", False)
    assert Seek.objects.get().reason == "a test"


_REFUSED: Final[list[tuple[tuple[str, ...], str]]] = [
    (("demo", "9", "--to", "latest"), "no partition demo/9"),
    (("demo", "1", "--to", "latest"), "A reason is needed"),
    (("demo", "1", "--to", "soon"), "A position is a number"),
    (("demo", "1", "--to", "2026-13-01T00:00Z"), "is no time like"),
    (("demo", "1", "--to", "2026-11-20T13:20:00"), "with its zone"),
    (("demo", "1", "--to", "latest", "--reason", "x", "--by", "nobody"), "no user 'nobody'"),
]


def test_the_command_refuses_what_it_cannot_do(behind, subtests):
    """And changes nothing."""
    for arguments, words in _REFUSED:
        with subtests.test(" ".join(arguments)), pytest.raises(CommandError, match=words):
            run(*arguments)

    assert not Seek.objects.exists()
