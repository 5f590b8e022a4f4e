"""The cells that hold an event, with what they hold now, each found by its whole key.

What one event adds to the windows of rules is the cells of a batch that holds nothing else, so
they are computed by the engine that writes them, and looked up by their keys.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import polars as pl
from django.db import connection

from ingestion.passport.archived import Again
from metrics.compliance import violation_windows
from metrics.extractors import MetricType
from metrics.models import NormalizedTransaction, PaymentMetrics1h, PaymentMetrics5m
from metrics.windows import BUCKET_KEY, WINDOW_KEY

_ROLLUPS: Final = (
    (PaymentMetrics5m, 300, "5-minute roll-up"),
    (PaymentMetrics1h, 3600, "Hourly roll-up"),
)
# lists of keys as arrays, so that the statement is one whatever their number; LATERAL: every key
# is one look-up in the primary key, whatever the planner thinks of the table
_WINDOWS = """
SELECT k.n, w.transactions, w.value_sum, w.denominator, w.value_min, w.value_max
FROM unnest(%(rule)s::text[], %(window_start)s::timestamptz[], %(rule_version)s::bigint[],
    %(window_s)s::int[], %(group_key)s::text[]) WITH ORDINALITY
    AS k (rule, window_start, rule_version, window_s, group_key, n)
CROSS JOIN LATERAL (SELECT * FROM metric_windows w WHERE w.rule = k.rule
    AND w.window_start = k.window_start AND w.rule_version = k.rule_version
    AND w.window_s = k.window_s AND w.group_key = k.group_key LIMIT 1) w
"""
_BUCKETS = """
SELECT k.n, h.events, h.total
FROM unnest(%(rule)s::text[], %(window_start)s::timestamptz[], %(rule_version)s::bigint[],
    %(window_s)s::int[], %(group_key)s::text[], %(bucket)s::int[]) WITH ORDINALITY
    AS k (rule, window_start, rule_version, window_s, group_key, bucket, n)
CROSS JOIN LATERAL (SELECT sum(h.events) AS total,
    sum(h.events) FILTER (WHERE h.bucket = k.bucket) AS events
    FROM aggregate_histograms h WHERE h.rule = k.rule
    AND h.window_start = k.window_start AND h.rule_version = k.rule_version
    AND h.window_s = k.window_s AND h.group_key = k.group_key) h
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RollupCell:
    """A cell of payment_metrics_5m or _1h, as it is now."""

    label: str
    start: datetime
    window_s: int
    transactions: int
    amount_sum: Decimal
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCell:
    """What a rule gave for the event, and the cell that it is added to."""

    rule: str
    kind: MetricType
    version: int
    start: datetime
    window_s: int
    group: dict[str, Any]
    #: COUNTER and GAUGE: the value; RATE: the numerator; HISTOGRAM: the number of its bucket
    value: Decimal
    #: of a RATE
    over: Decimal | None
    #: events that the cell counts now; None: there is no such cell
    transactions: int | None
    #: its sum now (RATE: of the numerators; None: HISTOGRAM)
    total: Decimal | None = None
    total_over: Decimal | None = None
    #: GAUGE: smallest and largest value in the cell
    lowest: Decimal | None = None
    highest: Decimal | None = None
    #: HISTOGRAM: events in the same bucket
    in_bucket: int | None = None


def rollup_cells(event: NormalizedTransaction) -> list[RollupCell]:
    """The cells of payments that hold the event; those that are gone are left out."""
    cells = []
    for model, window_s, label in _ROLLUPS:
        start = _start(event.occurred_at, window_s)
        cell = model.objects.filter(
            window_start=start,
            payment_method=event.payment_method,
            currency=event.currency,
            payment_status=event.payment_status,
            channel=event.channel,
        ).first()
        if cell is not None:
            cells.append(
                RollupCell(
                    label=label,
                    start=start,
                    window_s=window_s,
                    transactions=cell.transaction_count,
                    amount_sum=cell.amount_sum,
                    currency=cell.currency,
                )
            )
    return cells


def rule_cells(again: Again) -> list[RuleCell]:
    """Every windowed value of the event with its cell, by rule."""
    accepted = again.outcome.accepted
    engine = again.bundle.metrics.windows
    kinds = {rule.name: rule.metric.metric_type for rule in engine.rules}
    added = engine.cells(accepted)
    findings = again.outcome.findings.with_columns(
        occurred_at=pl.lit(accepted["occurred_at"].item(), accepted["occurred_at"].dtype)
    )
    windows = pl.concat([added.windows, violation_windows(findings)])
    cells = [
        *_windows(windows.rows(named=True), kinds),
        *_histograms(added.buckets.rows(named=True)),
    ]
    return sorted(cells, key=lambda cell: cell.rule)


def _windows(added: Sequence[dict[str, Any]], kinds: dict[str, MetricType]) -> list[RuleCell]:
    stored = _look_up(_WINDOWS, added, WINDOW_KEY)
    return [
        RuleCell(
            **_key(row),
            kind=(kind := kinds.get(row["rule"], MetricType.COUNTER)),
            value=row["value_sum"],
            over=row["denominator"] if kind is MetricType.RATE else None,
            transactions=found[0] if found else None,
            total=found[1] if found else None,
            total_over=found[2] if found and kind is MetricType.RATE else None,
            lowest=found[3] if found else None,
            highest=found[4] if found else None,
        )
        for row, found in zip(added, stored, strict=True)
    ]


def _histograms(added: Sequence[dict[str, Any]]) -> list[RuleCell]:
    stored = _look_up(_BUCKETS, added, BUCKET_KEY)
    return [
        RuleCell(
            **_key(row),
            kind=MetricType.HISTOGRAM,
            value=Decimal(row["bucket"]),
            over=None,
            in_bucket=int(found[0]) if found and found[0] is not None else None,
            transactions=int(found[1]) if found and found[1] is not None else None,
        )
        for row, found in zip(added, stored, strict=True)
    ]


def _key(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "rule": row["rule"],
        "version": row["rule_version"],
        "start": row["window_start"],
        "window_s": row["window_s"],
        "group": json.loads(row["group_key"]),
    }


def _look_up(
    query: str, rows: Sequence[dict[str, Any]], key: Sequence[str]
) -> list[tuple[Any, ...] | None]:
    """What is stored under each key, in the order of `rows`."""
    if not rows:
        return []
    with connection.cursor() as cursor:
        cursor.execute(query, {name: [row[name] for row in rows] for name in key})
        found = {number: tuple(values) for number, *values in cursor.fetchall()}
    return [found.get(number) for number in range(1, len(rows) + 1)]


def _start(moment: datetime, window_s: int) -> datetime:
    seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    return datetime.fromtimestamp(seconds // window_s * window_s, tz=UTC)
