"""What a shadow saw, compared: rules, the series that differ most, and findings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import connection

from configuration.diff import Change, diff_documents
from configuration.models import Activation
from ingestion.shadow.models import Shadow
from metrics.buckets import quantile
from metrics.extractors import MetricType

#: series that are shown with both lines
MOST_SERIES: Final = 8
#: windows of a line, the newest
MOST_WINDOWS: Final = 160
#: findings of each kind that are named
MOST_SAMPLES: Final = 5

# buckets are added up weighted: two histograms of as many events may still differ
_SERIES = """
WITH sides AS (
    SELECT rule, group_key, max(window_s) AS window_s,
        sum(transactions) FILTER (WHERE NOT is_draft) AS live_events,
        sum(transactions) FILTER (WHERE is_draft) AS draft_events,
        sum(coalesce(value_sum, 0) + bucket * transactions) FILTER (WHERE NOT is_draft) AS live,
        sum(coalesce(value_sum, 0) + bucket * transactions) FILTER (WHERE is_draft) AS draft,
        sum(denominator) FILTER (WHERE NOT is_draft) AS live_over,
        sum(denominator) FILTER (WHERE is_draft) AS draft_over
    FROM shadow_cells WHERE shadow_id = %(shadow)s GROUP BY rule, group_key
)
"""
_RULES = (
    _SERIES
    + """
SELECT rule, coalesce(sum(live_events), 0)::bigint, coalesce(sum(draft_events), 0)::bigint,
    count(*) FILTER (WHERE live_events IS NULL), count(*) FILTER (WHERE draft_events IS NULL),
    count(*) FILTER (WHERE live_events IS NOT NULL AND draft_events IS NOT NULL
        AND (live_events, live, live_over) IS DISTINCT FROM (draft_events, draft, draft_over)),
    count(*)
FROM sides GROUP BY rule
"""
)
_MOST_DIFFERENT = (
    _SERIES  # noqa: S608  both are constants
    + """
, ranked AS (
    SELECT *, row_number() OVER (PARTITION BY rule ORDER BY
        abs(coalesce(draft_events, 0) - coalesce(live_events, 0)) DESC,
        greatest(coalesce(draft_events, 0), coalesce(live_events, 0)) DESC, group_key) AS place
    FROM sides
    WHERE (live_events, live, live_over) IS DISTINCT FROM (draft_events, draft, draft_over)
)
SELECT rule, group_key, window_s FROM ranked
ORDER BY place, abs(coalesce(draft_events, 0) - coalesce(live_events, 0)) DESC, rule
LIMIT %(most)s
"""
)
_CELLS = """
SELECT is_draft, window_start, bucket, sum(transactions)::bigint, sum(value_sum), sum(denominator)
FROM shadow_cells
WHERE shadow_id = %(shadow)s AND rule = %(rule)s AND group_key = %(group)s
GROUP BY 1, 2, 3
"""
_FINDINGS = """
SELECT rule, max(severity), count(*) FILTER (WHERE by_live AND by_draft),
    count(*) FILTER (WHERE NOT by_draft), count(*) FILTER (WHERE NOT by_live),
    (array_agg(event_id ORDER BY event_id DESC) FILTER (WHERE NOT by_draft))[:%(most)s],
    (array_agg(event_id ORDER BY event_id DESC) FILTER (WHERE NOT by_live))[:%(most)s]
FROM shadow_findings WHERE shadow_id = %(shadow)s GROUP BY rule
ORDER BY count(*) FILTER (WHERE NOT by_draft OR NOT by_live) DESC, rule
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSides:
    """A metric rule that is not the same on both sides."""

    name: str
    #: None on the side that has no such rule
    live_kind: MetricType | None
    draft_kind: MetricType | None
    changes: Sequence[Change]
    live_events: int = 0
    draft_events: int = 0
    #: series that only the draft, only the live rule has; that differ; in all
    appear: int = 0
    vanish: int = 0
    change: int = 0
    series: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesSides:
    """One group of a rule over time, on both sides; None where a window has no value."""

    rule: str
    kind: MetricType
    group: Mapping[str, Any]
    starts: Sequence[datetime]
    step_s: int
    live: Sequence[Decimal | None]
    draft: Sequence[Decimal | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingSides:
    """A compliance rule that is not the same on both sides, by what it finds."""

    rule: str
    severity: str
    changes: Sequence[Change]
    both: int = 0
    only_live: int = 0
    only_draft: int = 0
    #: event ids, the newest first
    live_samples: Sequence[int] = ()
    draft_samples: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that the page shows besides the shadow's own row."""

    rules: Sequence[RuleSides] = ()
    series: Sequence[SeriesSides] = ()
    findings: Sequence[FindingSides] = ()


@dataclass(slots=True)
class _Window:
    """One side of one window."""

    transactions: int = 0
    value: Decimal = Decimal(0)
    over: Decimal = Decimal(0)
    buckets: dict[int, int] = field(default_factory=dict)

    def read(self, kind: MetricType) -> Decimal | None:
        """What is drawn: a sum, a share, a mean, a median."""
        if kind is MetricType.HISTOGRAM:
            return quantile(self.buckets, 0.5)
        if kind is MetricType.RATE:
            return self.value / self.over if self.over else None
        if kind is MetricType.GAUGE:
            return self.value / self.transactions if self.transactions else None
        return self.value


#: (under the draft, start) -> window
_Windows = dict[tuple[bool, datetime], _Window]


def compare(shadow: Shadow) -> Comparison:
    """Read both sides, as far as the shadow has come."""
    live = _live_document(shadow)
    changes: dict[str, list[Change]] = {}
    for change in diff_documents(shadow.version.kind, live, shadow.document):
        if change.what != "description":
            changes.setdefault(change.subject, []).append(change)
    if shadow.version.kind == "compliance":
        return Comparison(findings=_findings(shadow, changes))
    kinds = [
        {entry["name"]: MetricType(entry["type"]) for entry in document.get("metrics", [])}
        for document in (live, shadow.document)
    ]
    return Comparison(
        rules=_rules(shadow, changes, *kinds), series=_series(shadow, {**kinds[0], **kinds[1]})
    )


def _live_document(shadow: Shadow) -> dict[str, Any]:
    """The version that was live when the shadow began."""
    before = Activation.objects.filter(
        version__kind=shadow.version.kind,
        version__name=shadow.version.name,
        activated_at__lte=shadow.started_at,
    )
    newest = before.select_related("version").order_by("-pk").first()
    document: dict[str, Any] = newest.version.document if newest else {}
    return document


def _rules(
    shadow: Shadow,
    changes: Mapping[str, Sequence[Change]],
    live: Mapping[str, MetricType],
    draft: Mapping[str, MetricType],
) -> list[RuleSides]:
    """Those that gave something on a side, and those that differ and gave nothing."""
    with connection.cursor() as cursor:
        cursor.execute(_RULES, {"shadow": shadow.pk})
        seen = {name: numbers for name, *numbers in cursor.fetchall()}
    names = [name for name in changes if name in live or name in draft]
    found = [
        RuleSides(
            name=name,
            live_kind=live.get(name),
            draft_kind=draft.get(name),
            changes=changes.get(name, []),
            **dict(zip(_NUMBERS, seen.get(name, [0] * len(_NUMBERS)), strict=True)),
        )
        for name in dict.fromkeys([*seen, *names])
    ]
    return sorted(found, key=lambda rule: -abs(rule.draft_events - rule.live_events))


_NUMBERS: Final = ("live_events", "draft_events", "appear", "vanish", "change", "series")


def _series(shadow: Shadow, kinds: Mapping[str, MetricType]) -> list[SeriesSides]:
    with connection.cursor() as cursor:
        cursor.execute(_MOST_DIFFERENT, {"shadow": shadow.pk, "most": MOST_SERIES})
        return [
            _lines(
                _windows(cursor, shadow, rule, group), rule, group, step_s=step_s, kind=kinds[rule]
            )
            for rule, group, step_s in cursor.fetchall()
            if rule in kinds
        ]


def _windows(cursor: Any, shadow: Shadow, rule: str, group: str) -> _Windows:
    cursor.execute(_CELLS, {"shadow": shadow.pk, "rule": rule, "group": group})
    windows: _Windows = {}
    for is_draft, start, bucket, transactions, value, over in cursor.fetchall():
        window = windows.setdefault((is_draft, start), _Window())
        window.transactions += transactions
        window.value += value or 0
        window.over += over or 0
        window.buckets[bucket] = transactions
    return windows


def _lines(
    windows: _Windows, rule: str, group: str, *, step_s: int, kind: MetricType
) -> SeriesSides:
    last = max(start for _, start in windows)
    first = max(
        min(start for _, start in windows), last - timedelta(seconds=step_s * (MOST_WINDOWS - 1))
    )
    count = (last - first) // timedelta(seconds=step_s) + 1
    starts = [first + timedelta(seconds=step_s * number) for number in range(count)]
    sides = [
        [found.read(kind) if (found := windows.get((side, start))) else None for start in starts]
        for side in (False, True)
    ]
    return SeriesSides(
        rule=rule,
        kind=kind,
        group=json.loads(group),
        starts=starts,
        step_s=step_s,
        live=sides[0],
        draft=sides[1],
    )


def _findings(shadow: Shadow, changes: Mapping[str, Sequence[Change]]) -> list[FindingSides]:
    with connection.cursor() as cursor:
        cursor.execute(_FINDINGS, {"shadow": shadow.pk, "most": MOST_SAMPLES})
        rows = cursor.fetchall()
    found = [
        FindingSides(
            rule=rule,
            severity=severity,
            changes=changes.get(rule, []),
            both=both,
            only_live=only_live,
            only_draft=only_draft,
            live_samples=live_samples or [],
            draft_samples=draft_samples or [],
        )
        for rule, severity, both, only_live, only_draft, live_samples, draft_samples in rows
    ]
    seen = {row[0] for row in rows}
    rest = [name for name in changes if name and name not in seen]
    return [*found, *(FindingSides(rule=name, severity="", changes=changes[name]) for name in rest)]
