"""Lag by time: the partitions that were furthest behind, and what happened to the source."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.db.models import Q
from django.utils.safestring import SafeString

from configuration.changes import Change, marks_of
from configuration.models import Activation, AuditEntry, Source
from ingestion.models import Partition
from ingestion.source_models import Seek
from payflow.lib.pages.display import list_url, row_url
from payflow.lib.pages.line_charts import Line, Mark, line_chart

#: partitions with a line of their own; the others share one
_LINES: Final = 4
#: more partitions than this: the last hour only, so that the page stays fast
_MANY: Final = 256
_LONG: Final = (timedelta(hours=6), 300)
_SHORT: Final = (timedelta(hours=1), 60)
#: seconds of lag from which minutes read better
_IN_MINUTES: Final = 180
_MOST_ENTRIES: Final = 50
#: share of the axis that a mark's label takes, at most: the chart has two thirds of the page
_APART: Final = 0.22
#: share of the greatest lag
_WORTH_A_LINE: Final = 0.05
_WORST: Final = """
SELECT m.partition_id, max(m.lag_seconds)
FROM partition_minutes m JOIN partitions p ON p.id = m.partition_id
WHERE p.source_id = %(source)s AND m.minute >= %(since)s AND m.lag_seconds IS NOT NULL
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %(lines)s
"""
# partition 0 is none: it stands for all that have no line of their own
_STEPS: Final = """
SELECT CASE WHEN m.partition_id = ANY(%(worst)s) THEN m.partition_id ELSE 0 END,
    (extract(epoch FROM m.minute - %(since)s)::bigint / %(step)s)::int, max(m.lag_seconds)
FROM partition_minutes m JOIN partitions p ON p.id = m.partition_id
WHERE p.source_id = %(source)s AND m.minute >= %(since)s AND m.lag_seconds IS NOT NULL
GROUP BY 1, 2
"""
#: action of the trail -> what its mark says, of a source and of a partition
_ACTIONS: Final = {
    "paused source": "paused",
    "resumed source": "resumed",
    "changed settings": "settings",
    "paused partition": "p{} paused",
    "resumed partition": "p{} resumed",
}
_KINDS: Final = {"schema": "Schema", "metrics": "Metric rules", "compliance": "Compliance"}


def lag_chart(source: Source, *, partitions: int, now: datetime) -> SafeString | None:
    """Seconds (or minutes) that the oldest event had waited; None where nothing was noted yet."""
    is_new = source.created_at > now - _SHORT[0]
    length, step_s = _SHORT if is_new or partitions > _MANY else _LONG
    last = datetime.fromtimestamp(now.timestamp() // step_s * step_s, UTC)
    starts = [
        last - length + timedelta(seconds=step_s) * (n + 1)
        for n in range(length_of(length, step_s))
    ]
    found = _rows(_WORST, source, starts[0], lines=_LINES)
    if not found:
        return None
    # beside one that is hours behind, seconds of the others are not worth a line each
    worst = [partition for partition, lag in found if lag >= _WORTH_A_LINE * found[0][1]]
    values: dict[int, list[float | None]] = {
        partition: [None] * len(starts) for partition in [*worst, 0]
    }
    for partition, number, seconds in _rows(_STEPS, source, starts[0], worst=worst, step=step_s):
        if number < len(starts):
            values[partition][number] = float(seconds)
    highest = max(v for line in values.values() for v in line if v is not None)
    unit, divisor = ("min", 60) if highest >= _IN_MINUTES else ("s", 1)
    until = starts[-1] + timedelta(seconds=step_s)
    return line_chart(
        _lines(values, others=partitions - len(worst), divisor=divisor),
        times=starts,
        step_s=step_s,
        label=f"Lag of {source.name} by time",
        unit=unit,
        marks=_marks(source, since=starts[0], until=until),
        marks_are="paused, resumed, moved, changed or activated",
    )


def length_of(length: timedelta, step_s: int) -> int:
    """Steps of so many seconds in a stretch of time."""
    return int(length.total_seconds()) // step_s


def _rows(query: str, source: Source, since: datetime, **further: Any) -> Sequence[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, {"source": source.pk, "since": since, **further})
        found: Sequence[Any] = cursor.fetchall()
        return found


def _lines(values: dict[int, list[float | None]], *, others: int, divisor: int) -> list[Line]:
    """One a partition, worst first; those of the others together are their worst."""
    rows = Partition.objects.in_bulk(list(values))
    lines = []
    for partition, seconds in values.items():
        known = [None if value is None else round(value / divisor, 1) for value in seconds]
        if partition:
            row = rows[partition]
            url = row_url("ingestion.partition", partition)
            lines.append(Line(f"Partition {row.label or row.name}", known, [url] * len(known)))
        elif any(value is not None for value in known):
            lines.append(Line(f"{others:,} others" if others > 1 else "The other", known))
    return lines


def _marks(source: Source, *, since: datetime, until: datetime) -> list[Mark]:
    changes = [*_steered(source, since), *_moved(source, since), *_went_live(source, since)]
    trail = list_url("configuration.auditentry", q=source.name)
    return marks_of(changes, since=since, until=until, more=trail, apart=_APART)


def _steered(source: Source, since: datetime) -> list[Change]:
    """What people did to it and its partitions: pauses, other settings."""
    entries = AuditEntry.objects.filter(
        Q(target=source.name) | Q(target__startswith=f"{source.name}/"),
        at__gte=since,
        action__in=_ACTIONS,
    ).order_by("-id")[:_MOST_ENTRIES]
    return [
        Change(
            at=entry.at,
            label=_ACTIONS[entry.action].format(entry.target.partition("/")[2])[:24],
            url=row_url("configuration.auditentry", entry.pk),
        )
        for entry in entries
    ]


def _moved(source: Source, since: datetime) -> list[Change]:
    seeks = Seek.objects.filter(partition__source=source, at__gte=since).select_related("partition")
    return [
        Change(
            at=seek.at,
            label=f"p{seek.partition.name} moved"[:24],
            url=row_url("ingestion.partition", seek.partition_id),
        )
        for seek in seeks[:_MOST_ENTRIES]
    ]


def _went_live(source: Source, since: datetime) -> list[Change]:
    """Versions that it is evaluated under, and those before them."""
    bundle = source.active_bundle
    schemas = {schema["name"] for schema in bundle.schemas} if bundle else {source.schema_name}
    rows = Activation.objects.filter(
        Q(version__kind="schema", version__name__in=schemas)
        | Q(version__kind="metrics", version__name=source.metrics_name)
        | Q(version__kind="compliance", version__name=source.compliance_name),
        activated_at__gte=since,
    ).select_related("version")
    return [
        Change(
            at=row.activated_at,
            label=f"{_KINDS[row.version.kind]} v{row.version.number}",
            url=row_url("configuration.configurationversion", row.version_id),
            is_activation=True,
        )
        for row in rows.order_by("-pk")[:_MOST_ENTRIES]
    ]
