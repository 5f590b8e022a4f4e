"""How the path did in a range, by arrival: messages, refused ones, lag, time to commit."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db.models import Sum

from configuration.causes import Cause, causes_near
from configuration.models import Source
from deadletter.models import FailureGroup
from ingestion.connections import SEEN_LASTS_S
from ingestion.models import Batch, IngestionWindow, Partition
from ingestion.overview.query import rows
from ingestion.overview.spans import Span
from ingestion.partitions import lag_is_known
from ingestion.source_models import SourceConnection
from metrics.buckets import quantile
from payflow.lib.event_id import first_id_at

_RATE_S: Final = 60
_GROUPS: Final = 5
_SUMS: Final = ("messages", "accepted", "failed", "ignored", "duplicates", "late")
_PER_STEP: Final = """
SELECT (extract(epoch FROM window_start - %(since)s)::bigint / %(step)s)::int, sum(messages)::bigint
FROM ingestion_5m WHERE window_start >= %(since)s AND window_start < %(until)s GROUP BY 1
"""
_LATENCY: Final = """
SELECT (extract(epoch FROM window_start - %(since)s)::bigint / %(step)s)::int, bucket,
    sum(parts)::bigint
FROM arrival_latency WHERE window_start >= %(since)s AND window_start < %(until)s GROUP BY 1, 2
"""
_LATENCY_OF_ALL: Final = """
SELECT NULL, bucket, sum(parts)::bigint FROM arrival_latency
WHERE window_start >= %(since)s AND window_start < %(until)s GROUP BY bucket
"""
_FAILED: Final = """
SELECT (extract(epoch FROM window_start - %(since)s)::bigint / %(step)s)::int, group_id,
    sum(count)::bigint
FROM failure_counts WHERE window_start >= %(since)s AND window_start < %(until)s
GROUP BY GROUPING SETS ((1), (2))
"""
_FAILED_OF_GROUPS: Final = """
SELECT (extract(epoch FROM window_start - %(since)s)::bigint / %(step)s)::int, group_id,
    sum(count)::bigint
FROM failure_counts WHERE group_id = ANY(%(groups)s)
    AND window_start >= %(since)s AND window_start < %(until)s
GROUP BY 1, 2
"""


@dataclass(slots=True, kw_only=True)
class Intake:
    """Messages per step, and the sums of a span."""

    steps: list[int]
    totals: dict[str, int]


@dataclass(slots=True, kw_only=True)
class Latency:
    """Milliseconds from arrival to commit that half, and 95 of 100, parts took at most."""

    p50: float | None
    p95: float | None
    p50_steps: list[float | None]
    p95_steps: list[float | None]


@dataclass(slots=True, kw_only=True)
class DeadGroup:
    """One cause of failed items in a span."""

    group: FailureGroup
    count: int
    steps: list[int]
    #: what changed shortly before its very first failure
    cause: Cause | None = None


@dataclass(slots=True, kw_only=True)
class DeadLetters:
    """Failed items of a span: per step, and by their largest groups."""

    total: int
    steps: list[int]
    groups: list[DeadGroup] = field(default_factory=list)
    n_groups: int = 0


@dataclass(slots=True, kw_only=True)
class SourceLag:
    """How far a source is behind: its worst partition. None when nobody says."""

    source: Source
    events: int | None
    seconds: float | None
    partitions: int
    stopped: int
    #: no worker that is alive reaches its broker
    is_cut_off: bool = False


def read_rate(now: datetime) -> float:
    """Messages per second of the last minute: a narrow range of batches, so that it is new."""
    taken = Batch.objects.filter(id__gte=first_id_at(now - timedelta(seconds=_RATE_S)))
    return float(taken.aggregate(n=Sum("messages"))["n"] or 0) / _RATE_S


def read_intake(span: Span) -> Intake:
    """Sums over what arrived in a span."""
    windows = IngestionWindow.objects.filter(
        window_start__gte=span.since, window_start__lt=span.until
    )
    totals = windows.aggregate(**{name: Sum(name) for name in _SUMS})
    steps = [0] * span.points
    for step, messages in rows(_PER_STEP, span):
        steps[step] = messages
    return Intake(steps=steps, totals={name: int(value or 0) for name, value in totals.items()})


def read_latency(span: Span, *, steps: bool = True) -> Latency:
    """Quantiles from the buckets, within 1 %; `steps=False` gives those of the whole span only."""
    whole: dict[int, int] = defaultdict(int)
    buckets: list[dict[int, int]] = [{} for _ in range(span.points)] if steps else []
    for step, bucket, parts in rows(_LATENCY if steps else _LATENCY_OF_ALL, span):
        whole[bucket] += parts
        if step is not None:
            buckets[step][bucket] = parts
    return Latency(
        p50=_quantile(whole, 0.5),
        p95=_quantile(whole, 0.95),
        p50_steps=[_quantile(step, 0.5) for step in buckets],
        p95_steps=[_quantile(step, 0.95) for step in buckets],
    )


def _quantile(buckets: Mapping[int, int], q: float) -> float | None:
    value = quantile(buckets, q)
    return None if value is None else float(value)


def read_dead_letters(span: Span, *, groups: bool = True) -> DeadLetters:
    """Failed items by the time of their arrival; `groups=False` leaves the groups out."""
    steps = [0] * span.points
    counts: dict[UUID, int] = {}
    for step, group, number in rows(_FAILED, span):
        if group is None:
            steps[step] = number
        else:
            counts[group] = number
    found = DeadLetters(total=sum(steps), steps=steps, n_groups=len(counts))
    if groups and counts:
        found.groups = _largest(counts, span)
    return found


def _largest(counts: Mapping[UUID, int], span: Span) -> list[DeadGroup]:
    keys = sorted(counts, key=lambda key: (-counts[key], key))[:_GROUPS]
    found = FailureGroup.objects.select_related("source").in_bulk(keys)
    steps = {key: [0] * span.points for key in keys}
    for step, key, number in rows(_FAILED_OF_GROUPS, span, groups=keys):
        steps[key][step] = number
    groups = [
        DeadGroup(group=found[k], count=counts[k], steps=steps[k]) for k in keys if k in found
    ]
    causes = causes_near({g.group.pk: (g.group.began_at, g.group.source_id) for g in groups})
    for group in groups:
        group.cause = causes.get(group.group.pk)
    return groups


def read_lag(now: datetime) -> list[SourceLag]:
    """Sources that have something to read, worst first; unknown comes before all."""
    sources: dict[Source, list[Partition]] = defaultdict(list)
    waiting = Partition.objects.filter(state__in=("active", "stopped")).select_related("source")
    for partition in waiting.order_by("pk"):
        sources[partition.source].append(partition)
    lags = [_lag(source, partitions, now=now) for source, partitions in sources.items()]
    cut_off = _cut_off(now)
    for lag in lags:
        lag.is_cut_off = lag.source.pk in cut_off
    return sorted(lags, key=lambda lag: -math.inf if lag.seconds is None else -lag.seconds)


def _cut_off(now: datetime) -> set[int]:
    """Sources that every worker which tries to reach them fails to."""
    recent = SourceConnection.objects.filter(seen_at__gt=now - timedelta(seconds=SEEN_LASTS_S))
    found = recent.values_list("source_id", "connected_since")
    return {source for source, _ in found} - {source for source, since in found if since}


def _lag(source: Source, partitions: Sequence[Partition], *, now: datetime) -> SourceLag:
    known = [partition for partition in partitions if lag_is_known(partition, now=now)]
    return SourceLag(
        source=source,
        events=sum(partition.lag_events or 0 for partition in known) if known else None,
        seconds=max(partition.lag_seconds or 0.0 for partition in known) if known else None,
        partitions=len(partitions),
        stopped=sum(partition.state == Partition.State.STOPPED for partition in partitions),
    )
