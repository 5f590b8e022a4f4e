"""Events of a span, and what rules are worth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import connection
from django.utils import timezone

from configuration.models import Source
from ingestion.models import Batch
from ingestion.rule_worth import worth_of
from ingestion.traffic import between


def test_every_event_of_a_span_counts_once(ingest, event):
    """However the span lies to the five minutes of the sums, and none outside of it."""
    ingest([event(1), event(2, amount="abc"), event(3)])
    source = Source.objects.get(name="files-transaction")
    at = Batch.objects.get().received_at
    ms, hour = timedelta(milliseconds=1), timedelta(hours=1)

    for since, until in [(at, at + ms), (at - hour, at + hour), (at - hour, at + ms)]:
        came = between([source.pk], since, until)
        assert (came.events, came.failed) == (3, 1)
    for since, until in [(at + ms, at + hour), (at - hour, at), (at, at)]:
        assert between([source.pk], since, until).events == 0
    assert between([], at - hour, at + hour).events == 0
    assert between([source.pk + 1], at - hour, at + hour).rejected is None


def test_sums_are_read_for_whole_slots_only(ready):
    """A part a minute, and no manifest: a span from 10:03 has those from 10:05 to its last slot."""
    begin = datetime(2026, 3, 2, 10, 3, tzinfo=UTC)
    source = Source.objects.get(name="demo").pk
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ingestion_5m (window_start, source_id, batches, messages, parts, accepted,"
            " failed, ignored, duplicates, late) SELECT date_bin('5 minutes', t, 'epoch'), %s, 1,"
            " 1, count(*), 0, 0, 0, 0, 0 FROM generate_series(%s::timestamptz - interval '1 h',"
            " %s::timestamptz + interval '1 h', interval '1 min') AS t GROUP BY 1",
            [source, begin, begin],
        )

    found = {
        minutes: between([source], begin, begin + timedelta(minutes=minutes)).events
        for minutes in (1, 2, 5, 7, 10, 23)
    }

    assert found == {1: 0, 2: 0, 5: 0, 7: 5, 10: 5, 23: 20}


def test_a_rule_is_worth_its_newest_hour(ingest, event):
    """A rate as a share, an amount in the currency with the most events, a histogram as p95."""
    now = timezone.now()
    stamp = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    ingest(
        [
            *(event(n, timestamp=stamp) for n in range(3)),
            event(3, timestamp=stamp, status="declined"),
            event(4, timestamp=stamp, currency="USD", amount=9_999),
        ]
    )

    worth = worth_of("metrics", ["approval_rate", "completed_amount", "no_such_rule"])

    assert worth["approval_rate"].value == "80.0 %"
    assert worth["approval_rate"].events == 5
    assert worth["completed_amount"].value == "37.0 EUR"
    assert "no_such_rule" not in worth


def test_findings_and_failures_of_a_rule_are_counted(ingest, event):
    """The last day of a compliance rule, with the events that it could not be computed for."""
    now = timezone.now()
    ingest([event(1, timestamp=f"{now:%Y-%m-%dT%H:%M:%SZ}", amount=60_000)])
    Batch.objects.update(rule_failures={"kyc_missing_country": {"count": 7, "error": "x"}})

    worth = worth_of("compliance", ["aml_large_amount", "kyc_missing_country"])

    assert (worth["aml_large_amount"].events, worth["aml_large_amount"].errors) == (1, 0)
    assert worth["kyc_missing_country"].errors == 7
