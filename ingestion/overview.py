"""What the overview shows, read from roll-ups and narrow ranges of ids only.

Everything here is the same for every viewer: views.py keeps it for a moment and shares it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.core.cache import cache
from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from deadletter.models import FailureCount
from ingestion.attention import Attention, what_needs_a_person
from ingestion.models import Batch, Drainer, Partition
from ingestion.partitions import lag_is_known
from metrics.models import PaymentMetrics5m
from payflow.lib.event_id import first_id_at

_RATE_S: Final = 60
_LAST_BATCHES: Final = 8
_CHART_WINDOWS: Final = 72
_WINDOW: Final = timedelta(minutes=5)
#: ids older than this get no further rows: no transaction lives so long
_SETTLED: Final = timedelta(minutes=5)
_SUMS = """
SELECT coalesce(sum(messages), 0), coalesce(sum(accepted), 0), coalesce(sum(failed), 0),
    coalesce(sum(ignored), 0), coalesce(sum(duplicates), 0), coalesce(sum(late), 0)
FROM batches WHERE id >= %(low)s AND id < %(high)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over batches."""

    messages: int = 0
    accepted: int = 0
    failed: int = 0
    ignored: int = 0
    duplicates: int = 0
    late: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            messages=self.messages + other.messages,
            accepted=self.accepted + other.accepted,
            failed=self.failed + other.failed,
            ignored=self.ignored + other.ignored,
            duplicates=self.duplicates + other.duplicates,
            late=self.late + other.late,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonCount:
    """Failed items of one reason today, and their share of all."""

    reason: str
    count: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Accepted events of five minutes of event time."""

    start: datetime
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """One look at everything."""

    at: datetime
    midnight: datetime
    #: events per second taken in the last minute
    rate: float
    today: Totals
    #: worst of the active partitions; None when no drainer has said
    lag_events: int | None
    lag_seconds: float | None
    partitions: Sequence[Partition]
    reasons: Sequence[ReasonCount]
    batches: Sequence[Batch]
    windows: Sequence[Window]
    attention: Sequence[Attention]
    drainers: int
    #: False until the very first batch
    has_events: bool


def read_overview() -> Overview:
    """All of it, by about ten queries of a few milliseconds."""
    now = timezone.localtime()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    active = list(
        Partition.objects.filter(state__in=("active", "stopped"))
        .select_related("source")
        .order_by("pk")
    )
    attention = what_needs_a_person(active, now=now)
    for partition in active:
        if not lag_is_known(partition, now=now):
            partition.lag_events = partition.lag_seconds = None
    # unknown first: nobody reads them
    active.sort(key=lambda p: -math.inf if p.lag_seconds is None else -p.lag_seconds)
    waiting = [partition for partition in active if partition.lag_events is not None]
    batches = list(Batch.objects.select_related("partition__source")[:_LAST_BATCHES])
    return Overview(
        at=now,
        midnight=midnight,
        rate=sums_between(now - timedelta(seconds=_RATE_S), None).messages / _RATE_S,
        today=sums_since(midnight, now=now),
        lag_events=sum(p.lag_events or 0 for p in waiting) if waiting else None,
        lag_seconds=max(p.lag_seconds or 0 for p in waiting) if waiting else None,
        partitions=active,
        reasons=failed_by_reason(midnight),
        batches=batches,
        windows=accepted_windows(now),
        attention=attention,
        drainers=Drainer.objects.live().count(),
        has_events=bool(batches),
    )


def sums_between(since: datetime, until: datetime | None) -> Totals:
    """Sums over the batches that arrived in a range of time."""
    low = first_id_at(since)
    high = first_id_at(until) if until else 2**63 - 1
    with connection.cursor() as cursor:
        cursor.execute(_SUMS, {"low": low, "high": high})
        row = [int(value) for value in cursor.fetchone()]
    return Totals(
        messages=row[0],
        accepted=row[1],
        failed=row[2],
        ignored=row[3],
        duplicates=row[4],
        late=row[5],
    )


def sums_since(start: datetime, *, now: datetime) -> Totals:
    """Sums since `start`; what is settled is summed once and kept, so that no look is a scan."""
    settled = max(start, now - _SETTLED)
    key = f"overview.sums.{first_id_at(start)}"
    until, total = cache.get(key) or (start, Totals())
    if until < settled:
        total += sums_between(until, settled)
        cache.set(key, (settled, total), timeout=86_400)
        until = settled
    return total + sums_between(until, None)


def failed_by_reason(since: datetime, *, limit: int = 6) -> list[ReasonCount]:
    """Failed items by their first reason, most frequent first; the rest as "others"."""
    rows = (
        FailureCount.objects.filter(window_start__gte=since)
        .values_list("group__reason")
        .annotate(total=Sum("count"))
        .order_by("-total", "group__reason")
    )
    counts = [(reason or "unknown", total) for reason, total in rows]
    everything = sum(total for _, total in counts)
    rest = sum(total for _, total in counts[limit:])
    shown = counts[:limit] + ([("others", rest)] if rest else [])
    return [
        ReasonCount(reason=reason, count=total, share=total / everything) for reason, total in shown
    ]


def accepted_windows(now: datetime) -> list[Window]:
    """Accepted events per five minutes of event time over the last six hours, zeros included."""
    current = now.replace(minute=now.minute // 5 * 5, second=0, microsecond=0)
    starts = [current - _WINDOW * step for step in range(_CHART_WINDOWS - 1, -1, -1)]
    counts = dict(
        PaymentMetrics5m.objects.filter(window_start__gte=starts[0], window_start__lte=current)
        .values_list("window_start")
        .annotate(total=Sum("transaction_count"))
        .order_by()
    )
    return [Window(start=start, count=counts.get(start, 0)) for start in starts]
