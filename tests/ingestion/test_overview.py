"""The overview: its figures are those of the path, and what needs a person comes first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from configuration import sources
from configuration.models import Source
from ingestion import overview
from ingestion.attention import what_needs_a_person
from ingestion.models import Batch, Partition
from ingestion.overview import Totals, failed_by_reason, read_overview, sums_between, sums_since
from payflow.lib.event_id import first_id_at
from tests.pages import fresh_cache, look, staff

__all__ = ["fresh_cache", "look", "staff"]


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


def test_the_figures_are_those_of_what_was_taken(ingest, event):
    """Accepted, failed, duplicates and late add up to the messages."""
    ingest([event(1), event(2), event(2), event(3, amount="abc"), b"{"])

    seen = read_overview()

    assert seen.today == Totals(messages=5, accepted=2, failed=2, duplicates=1, late=2)
    assert seen.rate == pytest.approx(5 / 60)
    assert {(row.reason, row.count) for row in seen.reasons} >= {("invalid_json", 1)}
    assert sum(row.count for row in seen.reasons) == 2
    assert sum(row.share for row in seen.reasons) == pytest.approx(1)
    assert seen.has_events


def test_sums_kept_for_the_day_are_the_sums_of_the_day(ingest, event, monkeypatch):
    """What is settled is summed once; no batch is left out or counted twice at a border."""
    monkeypatch.setattr(overview, "_SETTLED", timedelta(0))
    start = timezone.now() - timedelta(minutes=1)
    seen = []

    for number in range(4):
        ingest([event(10 * number), event(10 * number + 1), b"{"])
        seen.append(sums_since(start, now=timezone.now()))

    assert [totals.messages for totals in seen] == [3, 6, 9, 12]
    assert seen[-1] == sums_between(start, None)


def test_a_second_look_does_not_sum_the_day_again(ingest, event):
    """With millions of batches a day each look would be a scan."""
    start, now = timezone.now() - timedelta(hours=3), timezone.now()
    ingest([event(1)])
    sums_since(start, now=now)

    with CaptureQueriesContext(connection) as queries:
        sums_since(start, now=now + timedelta(seconds=5))

    lows = [int(q["sql"].split("id >= ")[1].split(" ")[0]) for q in queries]
    assert min(lows) >= first_id_at(now - timedelta(minutes=5))


def test_rare_reasons_are_others(ingest, event):
    """The card stays short, and its items still add up."""
    ingest([event(1, amount="abc"), event(2, amount="abc"), event(3, currency="XXX"), b"{"])
    since = timezone.now() - timedelta(hours=1)

    rows = failed_by_reason(since, limit=1)

    assert rows[0].count == 2
    assert (rows[1].reason, rows[1].count) == ("others", 2)


def test_the_chart_has_every_window_and_their_counts(ingest, event):
    """Six hours of five minutes; zeros included, older events left out."""
    now = timezone.now()
    recent = now - timedelta(minutes=30)
    ingest(
        [event(1, timestamp=recent.isoformat()), event(2, timestamp=recent.isoformat()), event(3)]
    )

    windows = overview.accepted_windows(timezone.localtime(now))

    assert len(windows) == 72
    assert sum(window.count for window in windows) == 2
    (hit,) = [window for window in windows if window.count]
    assert hit.start <= recent < hit.start + timedelta(minutes=5)


def test_all_is_well_when_all_is_well(ready):
    """A source that is read, without lag, has nothing to say."""
    _partition()

    assert _titles() == []


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ({"state": "stopped", "stopped_reason": "lost"}, "Partition 0 of demo stopped itself"),
        ({"lag_at": None}, "Nobody reads demo"),
        ({"last_error": "away", "last_error_at": "now"}, "demo has errors"),
        ({"lag_events": 9, "lag_seconds": 400.0}, "demo is 6 min 40 s behind"),
        ({"committed_at": "long ago"}, "demo is silent for 1 h 00 min"),
    ],
)
def test_what_is_wrong_is_said(ready, fields, title):
    """One sentence that names the source and the fact."""
    times = {"now": timezone.now(), "long ago": timezone.now() - timedelta(hours=1)}
    _partition(**{key: times.get(value, value) for key, value in fields.items()})

    assert _titles() == [title]


def test_a_lag_that_nobody_has_said_lately_is_unknown(ready):
    """Zero from an hour ago would look as if all were well."""
    _partition(lag_at=timezone.now() - timedelta(hours=1))

    seen = read_overview()

    assert seen.lag_events is None
    assert [partition.lag_seconds for partition in seen.partitions] == [None]


def test_a_stopped_partition_comes_before_everything_else(ready):
    """Worst first: it does not go on by itself."""
    _partition(name="1", lag_events=9, lag_seconds=400.0)
    _partition(name="0", state="stopped", stopped_reason="lost 5 messages")

    assert _titles() == ["Partition 0 of demo stopped itself", "demo is 6 min 40 s behind"]


def test_a_paused_source_is_no_fault(ready):
    """A person paused it: it is neither silent nor unread, but it is not forgotten either."""
    _partition(lag_at=None)
    sources.pause(Source.objects.get(name="demo"), reason="maintenance")

    (item,) = what_needs_a_person(
        list(Partition.objects.select_related("source")), now=timezone.now()
    )

    assert item.kind == "info"
    assert item.text == "maintenance"


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


def test_the_page_and_its_live_part_show_the_same(ingest, event, look):
    """The first paint is whole; the live part only replaces it."""
    ingest([event(1), event(2, amount="abc")])

    page, part = look("/"), look("/overview/live/")

    assert part in page
    assert "Accepted today 1 of 2 messages" in part
    assert "Failed today 1" in part


def test_before_the_first_event_the_page_says_how_to_begin(look):
    """An empty database is not an error."""
    page = look("/")

    assert "No events yet" in page
    assert "manage.py ingest_file" in page


def test_all_viewers_share_one_look(ingest, event, look):
    """Fifty open tabs ask the database once in two seconds."""
    ingest([event(1)])
    look("/overview/live/")

    with CaptureQueriesContext(connection) as queries:
        look("/overview/live/")

    assert not [q for q in queries if "batches" in q["sql"]]


def test_who_may_not_view_batches_sees_no_figures(ingest, event, staff):
    """The page says who can help; the live part is refused."""
    ingest([event(1)])
    client = staff("metrics.view_normalizedtransaction")

    page = client.get("/").content.decode()

    assert "You can sign in, but not look yet" in page
    assert "Accepted today" not in page
    assert client.get("/overview/live/").status_code == 403


def test_the_live_part_needs_a_login(ready, client):
    """A redirect, which payflow.js takes for a lost link."""
    assert client.get("/overview/live/").status_code == 302
