"""A shadow at work: every batch once, both sides apart from what is live, its cost held."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from ingestion import tasks
from ingestion.models import Batch
from ingestion.shadow import batches, follow, store
from ingestion.shadow.lifecycle import start
from ingestion.shadow.models import Shadow, ShadowCell, ShadowFinding
from ingestion.shadow.sides import look_at
from metrics.models import MetricWindow, Violation
from payflow.lib.event_id import first_id_at
from tests.ingestion.shadow.conftest import draft_of, rule


def rested(shadow: Shadow) -> Shadow:
    """As if it had rested for long enough."""
    Shadow.objects.filter(pk=shadow.pk).update(rests_until=None)
    shadow.refresh_from_db()
    return shadow


def catch_up(shadow: Shadow) -> Shadow:
    """Let it look until nothing is left."""
    while True:
        rested(shadow)
        if not follow.follow(shadow.pk):
            return rested(shadow)


def sums(shadow: Shadow, *, is_draft: bool) -> dict[str, int]:
    """Transactions by rule on one side."""
    found: dict[str, int] = {}
    for cell in ShadowCell.objects.filter(shadow=shadow, is_draft=is_draft):
        found[cell.rule] = found.get(cell.rule, 0) + cell.transactions
    return found


def test_both_sides_of_what_differs_are_added_up(shadow, ingest, event):
    """What is new, gone or changed, and nothing that is the same under the draft."""
    ingest([event(n, amount=50 * n) for n in range(1, 7)])

    catch_up(shadow)

    assert sums(shadow, is_draft=False) == {"currency_mix": 6}
    assert sums(shadow, is_draft=True) == {"web_volume": 6, "high_value": 5}
    assert (shadow.events, shadow.skipped, shadow.state) == (6, 0, "running")


def test_the_live_side_is_what_is_live(shadow, ingest, event):
    """Cell by cell as in metric_windows: same window, group, version and sums."""
    ingest([event(n, amount=n * 9_000, currency=c) for n, c in enumerate(["EUR", "USD"] * 4)])
    ingest([event(3, amount=27_000, currency="USD"), event(9)])  # the first is there already

    catch_up(shadow)

    columns = ("rule", "rule_version", "window_start", "window_s", "group_key", "transactions")
    seen = ShadowCell.objects.filter(shadow=shadow, is_draft=False)
    live = MetricWindow.objects.filter(rule__in=["currency_mix", "high_value"])
    assert set(seen.values_list(*columns, "value_sum")) == set(
        live.values_list(*columns, "value_sum")
    )
    assert {cell.rule for cell in seen} == {"currency_mix", "high_value"}


def test_nothing_that_is_live_is_touched(shadow, ingest, event):
    """Shadows write to tables of their own."""
    ingest([event(n) for n in range(3)])
    before = set(MetricWindow.objects.values_list("rule", "transactions", "value_sum"))

    catch_up(shadow)

    assert set(MetricWindow.objects.values_list("rule", "transactions", "value_sum")) == before
    assert not MetricWindow.objects.filter(rule="web_volume").exists()


def test_findings_of_both_sides_are_kept_by_event(ready, ingest, event):
    """With the id of the event, as the live finding has it."""

    def change(document):
        rule(document, "aml_large_amount", "rules")["where"] = "amount >= 70000"

    shadow = start(draft_of("compliance", change), minutes=15, share=50, by=None)
    ingest([event(n, amount=amount) for n, amount in enumerate([10, 60_000, 80_000])])

    catch_up(shadow)

    found = ShadowFinding.objects.filter(shadow=shadow)
    live = Violation.objects.filter(rule="aml_large_amount")
    assert {(one.by_live, one.by_draft) for one in found} == {(True, False), (True, True)}
    assert {one.event_id for one in found} == {one.event_id for one in live}
    assert not ShadowCell.objects.exists()


def test_a_batch_counts_once_whoever_comes_first(shadow, ingest, event):
    """Two workers that looked at the same batches: the second writes nothing."""
    ingest([event(n) for n in range(4)])
    found = batches.next_batches(
        [Batch.objects.get().partition.source_id],
        after=shadow.last_batch,
        before=batches.settled_until(),
    )
    both, other = look_at(found, shadow), Shadow.objects.get(pk=shadow.pk)

    written = [store.add(one, both, to=found[-1].pk) for one in (shadow, other)]

    assert written == [True, False]
    assert sums(shadow, is_draft=True) == {"web_volume": 4}


def test_the_time_is_older_than_the_locks(ready, monkeypatch):
    """What is numbered while the locks are read is not settled: it would never be looked at."""
    slow = batches._SETTLED.replace(
        "WHERE", "CROSS JOIN (SELECT pg_sleep(0.2)::text AS slept) s WHERE slept = 'x' OR"
    )
    monkeypatch.setattr(batches, "_SETTLED", slow)
    begun = first_id_at(timezone.now() + timedelta(milliseconds=100))

    assert batches.settled_until() < begun


def test_many_small_batches_give_the_same_as_one(shadow, ingest, event):
    """However events are split into batches and steps; beat's task takes them."""
    for number in range(6):
        ingest([event(number, amount=0.1)])

    rested(shadow)
    tasks.follow_shadows()
    for number in range(6, 9):
        ingest([event(number)])
    catch_up(shadow)

    assert sums(shadow, is_draft=True) == {"web_volume": 9}
    assert shadow.events == 9


def test_a_batch_that_commits_late_is_not_passed_over(shadow, ingest, event):
    """Numbered first, seen last: nothing behind a commit that is under way is looked at."""
    import psycopg

    from ingestion.leaves import WRITE_LEAF

    with psycopg.connect(**_own_connection()) as under_way:
        under_way.execute("SELECT pg_advisory_xact_lock_shared(%s)", [WRITE_LEAF])
        ingest([event(1)])
        catch_up(shadow)
        seen_meanwhile = shadow.events
        under_way.rollback()
    catch_up(shadow)

    assert (seen_meanwhile, shadow.events) == (0, 1)


def test_it_rests_for_what_it_has_used(shadow, ingest, event, monkeypatch):
    """Half a core: as long again as it has worked; no worker looks before."""
    ingest([event(n) for n in range(3)])
    used = iter([10.0, 16.0])
    monkeypatch.setattr("ingestion.shadow.follow.time.process_time", lambda: next(used))

    before = timezone.now()
    follow.follow(shadow.pk)

    monkeypatch.undo()
    shadow.refresh_from_db()
    assert shadow.cpu_ms == 6_000
    assert timedelta(seconds=10) < shadow.rests_until - before <= timedelta(seconds=12.5)
    assert not follow.follow(shadow.pk)
    assert sum(ms for _, ms in shadow.lately) == 6_000


def test_behind_by_minutes_it_leaves_batches_out_and_says_so(shadow, ingest, event, monkeypatch):
    """Whole batches, counted; it goes on with what came in the last minute."""
    ingest([event(n) for n in range(5)])
    later = timezone.now() + timedelta(minutes=3)
    monkeypatch.setattr("ingestion.shadow.follow.timezone.now", lambda: later)

    catch_up(shadow)

    assert (shadow.events, shadow.skipped) == (0, 5)
    assert not ShadowCell.objects.exists()


def test_it_ends_by_its_time(shadow, ingest, event):
    """What it saw stays."""
    ingest([event(1)])
    catch_up(shadow)
    Shadow.objects.filter(pk=shadow.pk).update(until=timezone.now())

    catch_up(shadow)

    assert shadow.state == "ended"
    assert shadow.ended_at is not None
    assert sums(shadow, is_draft=True) == {"web_volume": 1}


def test_it_ends_when_its_draft_goes_live(shadow):
    """There is nothing left to compare."""
    from configuration.activation import activate

    activate(shadow.version)

    catch_up(shadow)

    assert shadow.state == "ended"


def test_a_changed_draft_does_not_change_a_running_shadow(shadow, ingest, event):
    """It runs the text that it was started with."""
    from configuration.versions import save_draft

    save_draft(shadow.version, "name: default\nmetrics: []\n", by=None)
    ingest([event(1)])

    catch_up(shadow)

    assert sums(shadow, is_draft=True) == {"web_volume": 1}


def test_an_archive_that_is_away_is_waited_for(shadow, ingest, event, settings, tmp_path):
    """Nothing is lost by it: the same batches are looked at when it is back."""
    ingest([event(1)])
    archive = tmp_path / "archive"
    archive.rename(tmp_path / "away")

    follow.follow(rested(shadow).pk)
    shadow.refresh_from_db()
    waiting = (shadow.state, shadow.events, shadow.error)
    (tmp_path / "away").rename(archive)
    catch_up(shadow)

    assert waiting[:2] == ("running", 0)
    assert waiting[2].endswith("It is tried again.")
    assert (shadow.events, shadow.error) == (1, "")


def test_too_many_windows_end_it(shadow, ingest, event, monkeypatch):
    """A group by something unbounded must not fill the database."""
    monkeypatch.setattr(follow, "MOST_CELLS", 1)
    ingest([event(n, currency=c) for n, c in enumerate(["EUR", "USD"])])

    catch_up(shadow)

    assert shadow.state == "stopped"
    assert "more than 1 windows" in shadow.error


def test_too_many_findings_end_it(ready, ingest, event, monkeypatch):
    """A rule that finds every event must not fill the database either."""

    def change(document):
        rule(document, "aml_large_amount", "rules")["where"] = "amount >= 1"

    monkeypatch.setattr(follow, "MOST_FINDINGS", 1)
    shadow = start(draft_of("compliance", change), minutes=15, share=50, by=None)
    ingest([event(n) for n in range(3)])
    catch_up(shadow)
    ingest([event(n) for n in range(3, 6)])

    catch_up(shadow)

    assert shadow.state == "stopped"
    assert "more than 1 findings" in shadow.error
    assert ShadowFinding.objects.count() == 3


def test_an_unknown_error_fails_it_without_its_text(shadow, ingest, event, monkeypatch):
    """Texts of errors may quote payload."""

    def broken(*_):
        raise ValueError("4111111111111111")

    ingest([event(1)])
    monkeypatch.setattr(follow, "look_at", broken)

    with pytest.raises(ValueError, match="4111"):
        follow.follow(shadow.pk)

    shadow.refresh_from_db()
    assert (shadow.state, shadow.error) == ("failed", "It failed: ValueError.")


def _own_connection() -> Any:
    arguments = connection.get_connection_params()
    arguments.pop("cursor_factory", None)
    arguments.pop("context", None)
    return arguments
