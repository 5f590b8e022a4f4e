"""The last day of every rule at once, by the hour: for lists of rules.

Reads windows only. Amounts of different currencies are never added: a rule over amounts is shown in
the currency that it has the most events in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import OperationalError, connection, transaction
from psycopg.errors import QueryCanceled

from metrics.buckets import quantile
from metrics.builtin import VIOLATIONS
from metrics.explore_metrics import Kind, Metric

HOURS: Final = 24
_HOUR: Final = timedelta(hours=1)
#: milliseconds after which a list goes without: longer is no answer for a person
_PATIENCE_MS: Final = 3_000
_WINDOWS: Final = """
SELECT rule, date_bin('1 hour', window_start, 'epoch'),
    CASE WHEN rule = ANY(%(money)s) THEN coalesce(group_key::jsonb ->> 'currency', '') ELSE '' END,
    sum(transactions)::bigint, sum(value_sum), sum(denominator), max(value_max)
FROM metric_windows
WHERE rule = ANY(%(rules)s) AND window_start >= %(since)s AND window_start < %(until)s
GROUP BY 1, 2, 3
"""
_HISTOGRAMS: Final = """
SELECT rule, date_bin('1 hour', window_start, 'epoch'),
    CASE WHEN rule = ANY(%(money)s) THEN coalesce(group_key::jsonb ->> 'currency', '') ELSE '' END,
    bucket, sum(events)::bigint
FROM aggregate_histograms
WHERE rule = ANY(%(rules)s) AND window_start >= %(since)s AND window_start < %(until)s
GROUP BY 1, 2, 3, 4
"""
_FINDINGS: Final = """
SELECT group_key::jsonb ->> 'rule', date_bin('1 hour', window_start, 'epoch'),
    sum(transactions)::bigint
FROM metric_windows
WHERE rule = %(rule)s AND window_start >= %(since)s AND window_start < %(until)s
GROUP BY 1, 2
"""


@dataclass(slots=True, kw_only=True)
class Day:
    """One rule over a day: a value for each hour, None where it has none."""

    hours: list[float | None] = field(default_factory=lambda: [None] * HOURS)
    events: int = 0
    #: of its amounts; "" for anything else
    currency: str = ""

    @property
    def now(self) -> float | None:
        """The value of the newest hour that has one."""
        return next((value for value in reversed(self.hours) if value is not None), None)


def metric_days(metrics: Collection[Metric], now: datetime) -> dict[str, Day]:
    """Rule -> its last day. Empty where reading takes too long."""
    kinds = {metric.rule: metric.kind for metric in metrics if metric.rule}
    money = [metric.rule for metric in metrics if metric.is_per_currency]
    first = _first_hour(now)
    days: dict[tuple[str, str], Day] = defaultdict(Day)
    for rule, hour, currency, events, total, below, high in _read(
        _WINDOWS, first, now, rules=list(kinds), money=money
    ):
        day = days[rule, currency]
        day.events += events
        day.hours[(hour - first) // _HOUR] = _value(kinds[rule], total, below, high)
    cells: dict[tuple[str, str, int], dict[int, int]] = defaultdict(dict)
    for rule, hour, currency, bucket, events in _read(
        _HISTOGRAMS, first, now, rules=list(kinds), money=money
    ):
        cells[rule, currency, (hour - first) // _HOUR][bucket] = events
    for (rule, currency, hour), buckets in cells.items():
        day = days[rule, currency]
        day.events += sum(buckets.values())
        p95 = quantile(buckets, 0.95)
        day.hours[hour] = None if p95 is None else float(p95)
    return _largest(days)


def finding_days(now: datetime) -> dict[str, Day]:
    """Compliance rule -> findings of its last day, by the hour."""
    first = _first_hour(now)
    days: dict[str, Day] = defaultdict(lambda: Day(hours=[0.0] * HOURS))
    for rule, hour, findings in _read(_FINDINGS, first, now, rule=VIOLATIONS):
        days[rule].events += findings
        days[rule].hours[(hour - first) // _HOUR] = float(findings)
    return dict(days)


def _first_hour(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0) - (HOURS - 1) * _HOUR


def _read(query: str, first: datetime, now: datetime, **values: Any) -> Sequence[Any]:
    """The rows; none when they take too long."""
    until = now.replace(minute=0, second=0, microsecond=0) + _HOUR
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(_PATIENCE_MS)])
            cursor.execute(query, {"since": first, "until": until, **values})
            rows: list[Any] = cursor.fetchall()
            return rows
    except OperationalError as exc:
        if not isinstance(exc.__cause__, QueryCanceled):
            raise
        return []


def _value(kind: Kind, total: Decimal, below: Decimal, high: Decimal | None) -> float | None:
    if kind is Kind.RATE:
        return float(total / below) if below else None
    if kind is Kind.GAUGE:
        return None if high is None else float(high)
    return float(total)


def _largest(days: Mapping[tuple[str, str], Day]) -> dict[str, Day]:
    """Of each rule, the currency with the most events."""
    best: dict[str, Day] = {}
    for (rule, currency), day in days.items():
        if rule not in best or day.events > best[rule].events:
            day.currency = currency
            best[rule] = day
    return best
