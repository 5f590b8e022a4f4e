"""What needs a person: each fault in one sentence, worst first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from configuration import sources
from configuration.activation import activate
from configuration.models import Acknowledgement, ConfigurationVersion, Source
from configuration.versions import import_document
from deadletter.models import FailureGroup
from ingestion import change_attention
from ingestion.attention import what_needs_a_person
from ingestion.models import Batch, Drainer, Partition
from ingestion.source_models import SourceConnection


def _partition(**fields: Any) -> Partition:
    now = timezone.now()
    return Partition.objects.create(
        source=Source.objects.get(name="demo"),
        **{
            "name": "0",
            "position": "0-1",
            "lag_events": 0,
            "lag_seconds": 0.0,
            "lag_at": now,
            "committed_at": now,
        }
        | fields,
    )


def _titles() -> list[str]:
    partitions = list(Partition.objects.select_related("source"))
    return [item.title for item in what_needs_a_person(partitions, now=timezone.now())]


def test_an_error_that_a_commit_came_after_is_over(ready):
    """It needs no person any more; the page of the source still lists it."""
    now = timezone.now()
    _partition(last_error="away", last_error_at=now - timedelta(seconds=5), committed_at=now)

    assert _titles() == []


def test_all_is_well_when_all_is_well(ready):
    """A source that is read, without lag, has nothing to say."""
    _partition()

    assert _titles() == []


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        (
            {"state": "stopped", "stopped_reason": "2 workers died"},
            "Partition 0 of demo stopped itself",
        ),
        ({"lag_at": None}, "Nobody reads demo"),
        ({"last_error": "away", "last_error_at": "now", "committed_at": None}, "demo has errors"),
        ({"lag_events": 9, "lag_seconds": 400.0}, "demo is 6 min 40 s behind"),
        ({"committed_at": "long ago"}, "demo is silent for 1 h 00 min"),
    ],
)
def test_what_is_wrong_is_said(ready, fields, title):
    """One sentence that names the source and the fact."""
    times = {"now": timezone.now(), "long ago": timezone.now() - timedelta(hours=1)}
    _partition(**{key: times.get(value, value) for key, value in fields.items()})

    assert _titles() == [title]


def test_a_stopped_partition_comes_before_everything_else(ready):
    """Worst first: it does not go on by itself."""
    _partition(name="1", lag_events=9, lag_seconds=400.0)
    _partition(name="0", state="stopped", stopped_reason="lost 5 messages")

    assert _titles() == [
        "Partition 0 of demo stopped: lost 5 messages",
        "demo is 6 min 40 s behind",
    ]


def test_a_paused_source_is_no_fault(ready):
    """A person paused it: it is neither silent nor unread, but it is not forgotten either."""
    _partition(lag_at=None)
    sources.pause(Source.objects.get(name="demo"), reason="maintenance")

    (item,) = what_needs_a_person(
        list(Partition.objects.select_related("source")), now=timezone.now()
    )

    assert item.kind == "info"
    assert item.text == "maintenance"


def _connection(owner: str, *, failing_s: int | None = None, seen_s: int = 0) -> None:
    now = timezone.now()
    failing = None if failing_s is None else now - timedelta(seconds=failing_s)
    SourceConnection.objects.create(
        source=Source.objects.get(name="demo"),
        owner=owner,
        connected_since=now if failing is None else None,
        failing_since=failing,
        error="" if failing is None else f"no route to {owner}",
        seen_at=now - timedelta(seconds=seen_s),
    )


def test_a_source_that_is_not_connected_says_since_when_and_why(ready):
    """That comes before what follows from it, that nobody reads it; a blip of seconds is none,
    and a worker that is gone says nothing."""
    _partition(lag_at=None)
    _connection("gone", seen_s=60)
    _connection("first", failing_s=300)

    (item,) = what_needs_a_person(
        list(Partition.objects.select_related("source")), now=timezone.now()
    )

    assert (item.kind, item.title) == ("bad", "demo has not been connected for 5 min 00 s")
    assert item.text == "No route to first. It is tried again; nothing is lost."
    _connection("second", failing_s=4)
    assert _titles() == ["1 of 2 workers have not reached demo for 5 min 00 s"]
    SourceConnection.objects.filter(owner="first").delete()
    assert _titles() == ["Nobody reads demo"]


def test_paused_partitions_are_one_line_and_no_missing_ones(ready):
    """Nobody reads them because a person said so; what waits for them is said."""
    _partition(name="0", state="paused", lag_events=3)
    assert _titles() == ["Partition 0 of demo is paused"]
    _partition(name="1", state="paused", lag_events=4)

    (item,) = what_needs_a_person(
        list(Partition.objects.select_related("source")), now=timezone.now()
    )

    assert (item.kind, item.title) == ("info", "2 partitions of demo are paused")
    assert item.text == "7 events wait at the broker."


def test_a_rule_that_fails_is_named_with_its_count(ingest, event):
    """Events are stored, but somebody has to mend the rule."""
    ingest([event(1)])
    Batch.objects.update(rule_failures={"ratio": {"count": 7, "error": "ComputeError"}})
    _partition()

    assert _titles() == ["Rule ratio could not be computed for 7 events"]


def test_missing_tables_for_tomorrow_are_said_today(ready):
    """After the roll-over every batch would wait."""
    _partition()
    now = timezone.now() + timedelta(days=60)

    found = what_needs_a_person([], now=now)

    assert "No tables for tomorrow" in [item.title for item in found]


def _worker(slot: int) -> str:
    now = timezone.now()
    source = Source.objects.get(name="demo")
    bundles = {source.name: source.active_bundle_id}
    row = Drainer.objects.create(
        slot=slot,
        owner=f"host:{slot}",
        seen_at=now + timedelta(hours=1),
        started_at=now,
        bundles=bundles,
    )
    return row.owner


def _answer(owner: str, *, problem: str = "", ago_s: int = 0) -> None:
    source = Source.objects.get(name="demo")
    assert source.active_bundle
    Acknowledgement.objects.create(
        source=source,
        serial=source.bundle_serial,
        bundle=source.active_bundle,
        owner=owner,
        acknowledged_at=timezone.now() - timedelta(seconds=ago_s),
        problem=problem,
    )


def test_workers_that_cannot_load_the_active_bundle_are_an_alarm(ready):
    """They are named with the reason, and the last good one stays."""
    _partition()
    for slot in (1, 3):
        _answer(_worker(slot), problem="built for another engine.")

    (item,) = what_needs_a_person(list(Partition.objects.all()), now=timezone.now())

    assert item.kind == "bad"
    assert item.title == "Workers 1 and 3 cannot load the configuration of demo"
    assert item.text.startswith("built for another engine. The last good one stays.")


def test_a_worker_that_has_not_answered_for_long_is_told_of(ready):
    """Another one answered a minute ago."""
    _partition()
    _answer(_worker(1), ago_s=60)
    _worker(2)

    assert _titles() == ["Worker 2 did not take the configuration of demo"]


def test_configuration_from_outside_that_is_not_live_needs_a_look(ready, monkeypatch):
    """In its own words."""
    _partition()
    monkeypatch.setattr(
        change_attention, "trouble", lambda: ["rules.yaml is refused: no such column"]
    )

    (item,) = what_needs_a_person(list(Partition.objects.all()), now=timezone.now())

    assert (item.kind, item.text) == ("warn", "rules.yaml is refused: no such column")


def test_failures_that_began_with_an_activation_lead_to_roll_back(ready):
    """One item for all that began with it, while it goes on; stray messages are none."""
    _partition()
    source, now = Source.objects.get(name="demo"), timezone.now()
    before = ConfigurationVersion.objects.get(kind="schema", name="transaction")
    document = {**before.document, "nulls": ["", "NOT_SET", "none"]}
    entry = activate(
        import_document(kind="schema", name="transaction", document=document),
        override_reason="a test",
    )
    for number, (items, last_s) in enumerate([(900, 5), (30, 5), (3, 5), (500, 600)]):
        FailureGroup.objects.create(
            id=uuid4(),
            source=source,
            stage="validate",
            reason="not_allowed",
            field=f"field_{number}",
            first_seen=entry.activated_at + timedelta(seconds=14),
            began_at=entry.activated_at + timedelta(seconds=14),
            last_seen=now - timedelta(seconds=last_s),
            count=items,
        )

    (item,) = what_needs_a_person(list(Partition.objects.all()), now=now)

    assert item.title == "not_allowed at field_0 began 14 s after transaction v2 went active"
    assert item.text.startswith("900 items of demo so far")
    assert item.text.endswith("Another kind of failure began with it.")
    assert item.undo.endswith(f"/{before.pk}/rollback/")
    ConfigurationVersion.objects.filter(status="active").update(status="retired")
    (item,) = what_needs_a_person(list(Partition.objects.all()), now=now)
    assert item.undo == ""
