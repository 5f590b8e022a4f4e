"""The key figures of a source, each with its trend over the last hour."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connection

from configuration.models import Source
from ingestion.attention import LAGGING_S
from ingestion.source_page.reading import Summary
from metrics.buckets import quantile
from payflow.lib.pages.charts import sparkline
from payflow.lib.pages.display import DASH, count, list_url, rate
from payflow.lib.pages.display import span as span_text
from payflow.lib.pages.filters import arrived_between

_WINDOW: Final = timedelta(minutes=5)
_WINDOWS: Final = 12
_MINUTES: Final = 60
_INTAKE: Final = """
SELECT window_start, messages, parts, failed FROM ingestion_5m
WHERE source_id = %(source)s AND window_start >= %(since)s
"""
_LATENCY: Final = """
SELECT window_start, bucket, parts FROM arrival_latency
WHERE source_id = %(source)s AND window_start >= %(since)s
"""
_LAG: Final = """
SELECT m.minute, sum(m.lag_events)::bigint, max(m.lag_seconds)
FROM partition_minutes m JOIN partitions p ON p.id = m.partition_id
WHERE p.source_id = %(source)s AND m.minute >= %(since)s GROUP BY m.minute
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number, what it is called, its trend, and the page behind it; `kind` colours it."""

    id: str
    label: str
    value: str
    unit: str = ""
    kind: str = ""
    spark: str = ""
    note: str = ""
    url: str = ""


def figures(source: Source, summary: Summary, *, now: datetime) -> list[Figure]:
    """Rate, lag twice, rejected, time to commit."""
    since = _floor(now) - _WINDOW * (_WINDOWS - 1)
    starts = [since + _WINDOW * number for number in range(_WINDOWS)]
    intake = {start: rest for start, *rest in _rows(_INTAKE, source, since)}
    sums = [intake.get(start, (0, 0, 0)) for start in starts]
    arrived = arrived_between(since, now)
    return [
        _rate(source, summary, sums, arrived),
        *_lags(source, summary, now=now),
        _rejected(source, sums, arrived),
        _latency(source, starts, arrived),
    ]


def _floor(moment: datetime) -> datetime:
    step = _WINDOW.total_seconds()
    return datetime.fromtimestamp(moment.timestamp() // step * step, UTC)


def _rows(query: str, source: Source, since: datetime) -> Sequence[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, {"source": source.pk, "since": since})
        found: Sequence[Any] = cursor.fetchall()
        return found


def _rate(source: Source, summary: Summary, sums: Sequence[Sequence[int]], arrived: str) -> Figure:
    # the window that is being filled would look like a fall
    trend = [messages / _WINDOW.total_seconds() for messages, _, _ in sums[:-1]]
    return Figure(
        id="figure-rate",
        label="Rate",
        value=rate(summary.rate),
        unit="/s",
        spark=sparkline(trend),
        note="messages, last minute",
        url=list_url("ingestion.batch", partition__source__id__exact=source.pk, arrived=arrived),
    )


def _lags(source: Source, summary: Summary, *, now: datetime) -> list[Figure]:
    """How far behind it is; unknown where nobody says so."""
    first = now.replace(second=0, microsecond=0) - timedelta(minutes=_MINUTES - 1)
    by_minute = {minute: rest for minute, *rest in _rows(_LAG, source, first)}
    minutes = [by_minute.get(first + timedelta(minutes=n), (None, None)) for n in range(_MINUTES)]
    seconds = summary.lag_seconds
    kind = "bad" if seconds is not None and seconds >= LAGGING_S else ""
    value, _, unit = span_text(seconds).rpartition(" ")
    url = list_url("ingestion.partition", source__id__exact=source.pk)
    spark = kind or "neutral"
    return [
        Figure(
            id="figure-lag-events",
            label="Lag, events",
            value=count(summary.lag_events),
            kind=kind,
            spark=sparkline([_number(events) for events, _ in minutes], kind=spark),
            note="wait at the broker" if summary.lag_events is not None else "nobody says",
            url=url,
        ),
        Figure(
            id="figure-lag-time",
            label="Lag, time",
            value=value or DASH,
            unit=unit if value else "",
            kind=kind,
            spark=sparkline([_number(seconds) for _, seconds in minutes], kind=spark),
            note="oldest event not yet stored" if value else "nobody says",
            url=url,
        ),
    ]


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _rejected(source: Source, sums: Sequence[Sequence[int]], arrived: str) -> Figure:
    parts, failed = sum(row[1] for row in sums), sum(row[2] for row in sums)
    share = failed / parts if parts else None
    digits = 2 if share and share < 0.01 else 1
    trend = [failed / parts if parts else None for _, parts, failed in sums]
    return Figure(
        id="figure-rejected",
        label="Rejected, last hour",
        value=DASH if share is None else "0" if not share else f"{share * 100:.{digits}f}",
        unit="" if share is None else "%",
        spark=sparkline(trend),
        note="no events" if share is None else f"{count(failed)} of {count(parts)} events",
        url=list_url("deadletter.faileditem", source__id__exact=source.pk, arrived=arrived),
    )


def _latency(source: Source, starts: Sequence[datetime], arrived: str) -> Figure:
    whole: dict[int, int] = defaultdict(int)
    windows: dict[datetime, dict[int, int]] = defaultdict(dict)
    for start, bucket, parts in _rows(_LATENCY, source, starts[0]):
        whole[bucket] += parts
        windows[start][bucket] = parts
    p95 = quantile(whole, 0.95) if whole else None
    trend = [
        _number(quantile(windows[start], 0.95)) if windows[start] else None for start in starts
    ]
    return Figure(
        id="figure-latency",
        label="Arrival to commit, p95",
        value=DASH if p95 is None else count(round(p95)),
        unit="" if p95 is None else "ms",
        spark=sparkline(trend),
        note="last hour" if p95 is not None else "no events",
        url=list_url("ingestion.batch", partition__source__id__exact=source.pk, arrived=arrived),
    )
