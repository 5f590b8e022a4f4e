"""The page Simulator: who may steer it, what it says, and what it leaves behind."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from configuration.models import Source
from ingestion.simulation_model import Simulation
from payflow.lib.pages.display import list_url
from tests.pages import fresh_cache, look, staff

__all__ = ["fresh_cache", "look", "staff"]

PAGE = "ingestion.simulation"
VIEW, CHANGE = "ingestion.view_simulation", "ingestion.change_simulation"


@pytest.fixture
def row(ready) -> Simulation:
    """A run in progress, its process alive."""
    now = timezone.now()
    return Simulation.objects.create(
        name="demo",
        scenario="normal-day",
        rate=500,
        source=Source.objects.get(name="demo"),
        owner="host:17",
        seen_at=now,
        started_at=now - timedelta(minutes=4, seconds=5),
        done_revision=1,
        published=123_456,
        invalid=2_469,
        duplicates=1_234,
        rate_now=498.7,
    )


def _start(client: Client, row: Simulation, **fields: object):
    form = {"scenario": "card-testing", "rate": 800, "source": row.source_id, **fields}
    return client.post(reverse("admin:ingestion_simulation_start", args=[row.pk]), form)


def _stop(client: Client, row: Simulation):
    return client.post(reverse("admin:ingestion_simulation_stop", args=[row.pk]))


def test_a_running_simulation_is_shown(row, look):
    """Scenario, state, rate, published, since when, and where to."""
    page = look(list_url(PAGE))

    for words in ("Normal day", "Running by host:17", "498.7", "123,456", "4 min 05 s", "demo"):
        assert words in page


def test_the_page_without_any_simulator_says_how_to_start_one(ready, look):
    """A command to copy."""
    assert "manage.py simulate --follow" in look(list_url(PAGE))


def test_a_silent_process_is_no_running_one(row, look):
    """Old figures are not shown as if they were news."""
    Simulation.objects.update(seen_at=timezone.now() - timedelta(minutes=2))

    page = look(list_url(PAGE))

    assert "No process" in page
    assert "silent for 2 min" in page
    assert "Running" not in page


def test_who_may_change_starts_another_scenario(row, staff):
    """The row wants it under a new revision, and the log says who wanted what."""
    response = _start(staff(VIEW, CHANGE), row)

    row.refresh_from_db()
    assert response.status_code == 302
    assert (row.scenario, row.rate, row.is_wanted, row.revision) == ("card-testing", 800, True, 2)
    entry = LogEntry.objects.get()
    assert entry.object_id == str(row.pk)
    assert "Card testing attack: 800 events a second to source demo" in entry.get_change_message()


def test_who_may_change_stops_it(row, staff):
    """What was sent stays; the log says how much that was."""
    _stop(staff(VIEW, CHANGE), row)

    row.refresh_from_db()
    assert (row.is_wanted, row.revision, row.published) == (False, 2, 123_456)
    assert "after 123,456 events" in LogEntry.objects.get().get_change_message()


@pytest.mark.parametrize("act", [_start, _stop])
def test_who_may_only_look_changes_nothing(row, staff, act):
    """Refused, and nothing is offered."""
    client = staff(VIEW)

    assert act(client, row).status_code == 403
    page = client.get(list_url(PAGE)).content.decode()
    assert "You may look" in page
    assert 'type="submit" formaction' not in page
    row.refresh_from_db()
    assert row.revision == 1


def test_who_may_not_look_sees_nothing(row, staff):
    """Neither the page nor its live part, nor the item in the sidebar."""
    client = staff("ingestion.view_batch")

    assert client.get(list_url(PAGE)).status_code == 403
    assert client.get(reverse("admin:ingestion_simulation_live")).status_code == 403
    assert list_url(PAGE) not in client.get("/").content.decode()


def test_a_start_is_a_post_with_a_token(row, staff):
    """A link or another site cannot start anything."""
    client = staff(VIEW, CHANGE)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client.cookies

    assert client.get(reverse("admin:ingestion_simulation_start", args=[row.pk])).status_code == 405
    assert _start(strict, row).status_code == 403


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rate": 0}, "greater than or equal to 1"),
        ({"rate": 50_000}, "less than or equal to 20000"),
        ({"scenario": "none"}, "none is not one of the available choices"),
        ({"scenario": "compliance-mix", "rate": 1}, "100 events in 60 s need 1.67 events a second"),
        ({"source": 0}, "not one of the available choices"),
    ],
)
def test_what_cannot_be_is_said_and_kept_in_the_form(row, staff, fields, words):
    """Nothing starts."""
    response = _start(staff(VIEW, CHANGE), row, **fields)

    assert response.status_code == 422
    assert words in response.content.decode()
    row.refresh_from_db()
    assert row.revision == 1


def test_the_live_part_is_the_state_alone(row, staff):
    """A form that fetched itself anew would lose what a person has typed."""
    html = staff(VIEW, CHANGE).get(reverse("admin:ingestion_simulation_live")).content.decode()

    assert "123,456" in html
    assert "<form" not in html
