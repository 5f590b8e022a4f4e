"""What the overview reads: each figure is the sum of the right cells, and of no others."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from configuration.models import Activation, ConfigurationVersion, Source
from deadletter.models import FailureCount, FailureGroup
from ingestion.models import ArrivalLatency, IngestionWindow
from ingestion.overview.falls import read_falls
from ingestion.overview.intake import read_dead_letters, read_intake, read_latency
from ingestion.overview.payments import (
    CHANNEL,
    METHOD,
    read_failures,
    read_findings,
    read_outcomes,
    read_payments,
    read_processors,
)
from ingestion.overview.spans import Span, read_span
from metrics.buckets import bucket_of
from metrics.models import MetricWindow, PaymentMetrics1h, PaymentMetrics5m
from tests.pages import fresh_cache

__all__ = ["fresh_cache"]


@pytest.fixture
def hour(db: None) -> Span:
    """The last hour, on a database without anything."""
    return read_span({"range": "1h"}, now=timezone.now())


def _cell(start: datetime, number: int, *, table: Any = PaymentMetrics5m, **fields: Any) -> None:
    values = {
        "payment_method": "card",
        "currency": "EUR",
        "payment_status": "completed",
        "channel": "web",
        "amount_sum": Decimal(10 * number),
    } | fields
    # the model knows the first key column only: an update would hit other cells
    table.objects.bulk_create(
        [
            table(
                window_start=start,
                transaction_count=number,
                amount_min=1,
                amount_max=10,
                latency_count=0,
                latency_sum_us=0,
                **values,
            )
        ]
    )


def _window(name: str, start: datetime, value: int, over: int = 0, /, **group: str) -> None:
    MetricWindow.objects.bulk_create(
        [
            MetricWindow(
                rule=name,
                window_start=start,
                rule_version=1,
                window_s=300,
                group_key=json.dumps(group, separators=(",", ":")),
                transactions=value,
                value_sum=value,
                denominator=over,
            )
        ]
    )


def test_payments_are_added_up_by_channel_method_and_currency(hour):
    """Other windows stay out; pending events are events, but decide nothing."""
    first, last = hour.starts[0], hour.starts[-1]
    _cell(first, 5)
    _cell(first, 3, payment_status="failed")
    _cell(last, 2, channel="pos", payment_method="cash", currency="JPY")
    _cell(last, 7, payment_status="pending")
    _cell(first - hour.step, 100)
    _cell(hour.until, 100)

    found = read_payments(hour)

    assert read_outcomes(hour) == found.all
    assert (found.all.completed[0], found.all.failed[0], found.all.completed[-1]) == (5, 3, 2)
    assert found.all.decided == 10
    assert found.events == 17
    assert found.by[CHANNEL]["web"].success == pytest.approx(62.5)
    assert found.by[METHOD]["cash"].successes[-1] == 100
    assert found.by[METHOD]["cash"].successes[0] is None, "a gap, not zero"
    amounts = {currency: (a.payments, a.total) for currency, a in found.amounts.items()}
    assert amounts == {"EUR": (5, Decimal(50)), "JPY": (2, Decimal(20))}


def test_a_week_is_read_from_the_cells_of_an_hour(db):
    """Twelve times fewer of them."""
    week = read_span({"range": "7d"}, now=timezone.now())
    _cell(week.starts[3], 4, table=PaymentMetrics1h)
    _cell(week.starts[3], 100)

    assert read_payments(week).all.completed[3] == 4


def test_processors_failures_and_findings_are_those_of_their_windows(hour):
    """Of all versions of the built-in metric: an upgrade makes no gap."""
    start = hour.starts[4]
    _window("processor_success", start, 9, 10, processor="acme")
    _window("processor_success", start, 1, 1, processor="")
    _window("payment_failures", start, 4, error_code="timeout")
    _window("payment_failures", start + hour.step, 2, error_code="timeout")
    _window("violations", start, 3, rule="aml_large_amount", severity="critical")
    _window("violations", start - timedelta(hours=2), 9, rule="old", severity="low")

    processors, findings = read_processors(hour), read_findings(hour)

    assert processors["acme"].success == pytest.approx(90)
    assert processors[""].decided == 1
    assert read_failures(hour) == {"timeout": 6}
    assert findings.by_rule == {("aml_large_amount", "critical"): 3}
    assert findings.steps[4] == 3


def test_times_to_commit_are_quantiles_over_all_sources(hour):
    """Buckets add up where averages do not; within the buckets' one percent."""
    for source, milliseconds, parts in ((1, 10, 90), (2, 10, 4), (2, 500, 6)):
        ArrivalLatency.objects.bulk_create(
            [
                ArrivalLatency(
                    window_start=hour.starts[1],
                    source_id=source,
                    bucket=bucket_of(Decimal(milliseconds)),
                    parts=parts,
                )
            ]
        )

    whole, steps = read_latency(hour, steps=False), read_latency(hour)

    assert whole.p50 == pytest.approx(10, rel=0.01)
    assert whole.p95 == pytest.approx(500, rel=0.01)
    assert steps.p95_steps[1] == whole.p95
    assert steps.p95_steps[0] is None


def test_intake_is_the_sum_over_sources(hour):
    """By arrival, not by event time."""
    rows = [
        IngestionWindow(
            window_start=hour.starts[0],
            source_id=source,
            batches=1,
            messages=10,
            parts=10,
            accepted=7,
            failed=1,
            ignored=0,
            duplicates=2,
            late=3,
        )
        for source in (1, 2)
    ]
    IngestionWindow.objects.bulk_create(rows)

    found = read_intake(hour)

    assert found.steps[0] == 20
    assert found.totals["duplicates"] == 4


def _group(**fields: Any) -> FailureGroup:
    now = timezone.now()
    return FailureGroup.objects.create(
        **{
            "id": f"00000000-0000-0000-0000-{FailureGroup.objects.count():012d}",
            "source": Source.objects.get_or_create(name="demo", schema_name="transaction")[0],
            "stage": "validate",
            "reason": "wrong_type",
            "first_seen": now,
            "last_seen": now,
            "began_at": fields.get("first_seen", now),
        }
        | fields
    )


def test_the_largest_groups_are_named_and_all_items_are_counted(hour):
    """Six groups, five rows, one total."""
    for number in range(6):
        FailureCount.objects.create(
            group=_group(), window_start=hour.starts[2], count=10 * (number + 1)
        )

    found = read_dead_letters(hour)

    assert found.total == 210
    assert found.n_groups == 6
    assert [group.count for group in found.groups] == [60, 50, 40, 30, 20]
    assert found.groups[0].steps[2] == 60


def test_what_went_live_just_before_a_group_began_is_its_likely_cause(hour):
    """Within ten minutes; the first version of a name replaced nothing."""
    schema = ConfigurationVersion.objects.create(
        kind="schema", name="transaction", number=2, document={}
    )
    now = timezone.now()
    caused = _group(first_seen=now + timedelta(seconds=14))
    older = _group(first_seen=now - timedelta(days=1))
    Activation.objects.create(version=schema, previous=schema, serials={str(caused.source_id): 1})
    for group in (caused, older):
        FailureCount.objects.create(group=group, window_start=hour.starts[0], count=1)

    by_key = {str(found.group.pk): found for found in read_dead_letters(hour).groups}

    cause = by_key[str(caused.pk)].cause
    assert cause is not None
    assert cause.activation is not None
    assert cause.activation.version == schema
    assert cause.seconds == pytest.approx(14, abs=2)
    assert by_key[str(older.pk)].cause is None


def _processor(name: str, *, usual: float, lately: float, payments: int = 100) -> None:
    """A day of hours at one rate, and the last two windows at another."""
    now = timezone.now()
    window = now.replace(minute=now.minute // 5 * 5, second=0, microsecond=0)
    for hours in range(2, 12):
        start = window - timedelta(hours=hours)
        _window("processor_success", start, round(100 * usual), 100, processor=name)
    for back in (0, 5):
        good = round(payments * lately)
        start = window - timedelta(minutes=back)
        _window("processor_success", start, good, payments, processor=name)


@pytest.mark.parametrize(
    ("usual", "lately", "payments", "falls"),
    [
        (0.95, 0.5, 100, True),
        (0.95, 0.84, 1000, True),
        (0.95, 0.90, 1000, False),
        (0.95, 0.5, 5, False),
        (0.5, 0.95, 100, False),
        (0.30, 0.18, 30, False),
    ],
)
def test_a_fall_is_deep_and_no_chance(db, usual, lately, payments, falls):
    """Ten points at least, and more failures than chance gives; few payments say nothing."""
    _processor("acme", usual=usual, lately=lately, payments=payments)

    found = read_falls(timezone.now())

    assert [fall.name for fall in found] == (["acme"] if falls else [])


def test_a_processor_that_was_never_seen_before_has_no_usual_rate(db):
    """Without a past there is no fall."""
    start = timezone.now().replace(minute=0, second=0, microsecond=0)
    _window("processor_success", start, 0, 500, processor="new")

    assert read_falls(timezone.now()) == []
