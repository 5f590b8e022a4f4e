"""How payments went in a range: outcomes over time, amounts, reasons of failure, findings.

By event time. Reads payment_metrics_5m or _1h once, and the windows of three built-in metrics.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from ingestion.overview.query import rows
from ingestion.overview.spans import Span

#: breakdowns of the success rate; the first two are dimensions of payment_metrics
CHANNEL: Final = "channel"
METHOD: Final = "payment_method"
PROCESSOR: Final = "processor"
_HOUR_S: Final = 3600
#: one scan gives the outcomes over time by each dimension, and the amounts of all
_CELLS: Final = """
SELECT (extract(epoch FROM window_start - %(since)s)::bigint / %(step)s)::int AS step,
    channel, payment_method, currency, grouping(channel, payment_method, currency),
    coalesce(sum(transaction_count) FILTER (WHERE payment_status = 'completed'), 0)::bigint,
    coalesce(sum(transaction_count) FILTER (WHERE payment_status = 'failed'), 0)::bigint,
    coalesce(sum(transaction_count), 0)::bigint,
    sum(amount_sum) FILTER (WHERE payment_status = 'completed')
FROM {table} WHERE window_start >= %(since)s AND window_start < %(until)s
GROUP BY GROUPING SETS ((1, channel), (1, payment_method), (currency))
"""
#: a day before needs no breakdown: half the time
_OUTCOMES: Final = """
SELECT (extract(epoch FROM window_start - %(since)s)::bigint / %(step)s)::int,
    coalesce(sum(transaction_count) FILTER (WHERE payment_status = 'completed'), 0)::bigint,
    coalesce(sum(transaction_count) FILTER (WHERE payment_status = 'failed'), 0)::bigint
FROM {table} WHERE window_start >= %(since)s AND window_start < %(until)s GROUP BY 1
"""
_RATES: Final = """
SELECT (extract(epoch FROM window_start - %(since)s)::bigint / %(step)s)::int, group_key,
    sum(value_sum)::bigint, sum(denominator)::bigint
FROM metric_windows WHERE rule = 'processor_success'
    AND window_start >= %(since)s AND window_start < %(until)s GROUP BY 1, 2
"""
_FAILURES: Final = """
SELECT group_key, sum(value_sum)::bigint FROM metric_windows WHERE rule = 'payment_failures'
    AND window_start >= %(since)s AND window_start < %(until)s GROUP BY 1
"""
_VIOLATIONS: Final = """
SELECT (extract(epoch FROM window_start - %(since)s)::bigint / %(step)s)::int, group_key,
    sum(value_sum)::bigint
FROM metric_windows WHERE rule = 'violations'
    AND window_start >= %(since)s AND window_start < %(until)s GROUP BY 1, 2
"""
#: grouping(): a bit for each of channel, method and currency that the row's group leaves open
_BY_CHANNEL: Final = 0b011
_BY_CURRENCY: Final = 0b110


@dataclass(slots=True)
class Outcomes:
    """Completed and failed payments per step of a span."""

    completed: list[int]
    failed: list[int]

    @classmethod
    def none(cls, points: int) -> Outcomes:
        return cls([0] * points, [0] * points)

    def __add__(self, other: Outcomes) -> Outcomes:
        return Outcomes(
            [a + b for a, b in zip(self.completed, other.completed, strict=True)],
            [a + b for a, b in zip(self.failed, other.failed, strict=True)],
        )

    @property
    def decided(self) -> int:
        return sum(self.completed) + sum(self.failed)

    @property
    def success(self) -> float | None:
        """Completed over decided payments in percent, None without any."""
        return _percent(sum(self.completed), self.decided)

    @property
    def successes(self) -> list[float | None]:
        """The same for each step."""
        pairs = zip(self.completed, self.failed, strict=True)
        return [_percent(completed, completed + failed) for completed, failed in pairs]


@dataclass(slots=True)
class Amount:
    """Completed payments of one currency."""

    payments: int
    total: Decimal


@dataclass(slots=True, kw_only=True)
class Payments:
    """What payment_metrics say of a span."""

    all: Outcomes
    by: dict[str, dict[str, Outcomes]]
    amounts: dict[str, Amount]
    #: events of every status
    events: int = 0


@dataclass(slots=True, kw_only=True)
class Findings:
    """Violations of a span: per step, and by rule and severity."""

    steps: list[int]
    by_rule: dict[tuple[str, str], int] = field(default_factory=dict)


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def read_payments(span: Span) -> Payments:
    """Outcomes by channel and method, amounts by currency."""
    channels: dict[str, Outcomes] = {}
    methods: dict[str, Outcomes] = {}
    found = Payments(
        all=Outcomes.none(span.points), by={CHANNEL: channels, METHOD: methods}, amounts={}
    )
    for step, channel, method, currency, kind, completed, failed, events, amount in rows(
        _CELLS.format(table=_table(span)), span
    ):
        if kind == _BY_CURRENCY:
            found.events += events
            if completed:
                found.amounts[currency] = Amount(completed, amount)
            continue
        group, name = (channels, channel) if kind == _BY_CHANNEL else (methods, method)
        outcomes = _at(group, name, span)
        outcomes.completed[step] += completed
        outcomes.failed[step] += failed
    for outcomes in channels.values():
        found.all += outcomes
    return found


def read_outcomes(span: Span) -> Outcomes:
    """Those of all payments together."""
    found = Outcomes.none(span.points)
    for step, completed, failed in rows(_OUTCOMES.format(table=_table(span)), span):
        found.completed[step] = completed
        found.failed[step] = failed
    return found


def _table(span: Span) -> str:
    """Cells of an hour where they do: they are twelve times fewer."""
    return "payment_metrics_1h" if span.step_s % _HOUR_S == 0 else "payment_metrics_5m"


def read_processors(span: Span) -> dict[str, Outcomes]:
    """Outcomes by processor, by the built-in metric processor_success."""
    groups: dict[str, Outcomes] = {}
    for step, key, completed, decided in rows(_RATES, span):
        outcomes = _at(groups, json.loads(key).get("processor") or "", span)
        outcomes.completed[step] += completed
        outcomes.failed[step] += decided - completed
    return groups


def read_failures(span: Span) -> dict[str, int]:
    """Failed payments by error code, "" where events state none."""
    counts: dict[str, int] = defaultdict(int)
    for key, number in rows(_FAILURES, span):
        counts[json.loads(key).get("error_code") or ""] += number
    return dict(counts)


def read_findings(span: Span) -> Findings:
    """Violations by rule and severity."""
    found = Findings(steps=[0] * span.points)
    for step, key, number in rows(_VIOLATIONS, span):
        group = json.loads(key)
        rule = (group["rule"], group["severity"])
        found.steps[step] += number
        found.by_rule[rule] = found.by_rule.get(rule, 0) + number
    return found


def _at(groups: dict[str, Outcomes], name: str, span: Span) -> Outcomes:
    """The outcomes of a group, made at its first row."""
    if name not in groups:
        groups[name] = Outcomes.none(span.points)
    return groups[name]
