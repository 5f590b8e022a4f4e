"""What the tables say of sources now: few queries for any number of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection

from ingestion.connections import SEEN_LASTS_S
from ingestion.partitions import LAG_LASTS
from ingestion.source_models import SourceConnection
from payflow.lib.event_id import first_id_at

#: a drainer says every few seconds how its connection is; later the row is of the past
CONNECTION_LASTS: Final = timedelta(seconds=SEEN_LASTS_S)
#: seconds that a rate is taken over
RATE_S: Final = 60
_PARTITIONS: Final = """
SELECT source_id,
    count(*) FILTER (WHERE state <> 'finished'),
    count(*) FILTER (WHERE state = 'stopped'),
    count(*) FILTER (WHERE state = 'paused'),
    count(*) FILTER (WHERE state = 'active' AND leased_until > %(now)s),
    sum(lag_events) FILTER (WHERE state <> 'finished' AND lag_at > %(known)s)::bigint,
    max(lag_seconds) FILTER (WHERE state <> 'finished' AND lag_at > %(known)s)
FROM partitions WHERE source_id = ANY(%(sources)s) GROUP BY source_id
"""
# a minute of batches is a narrow range of ids
_RATES: Final = """
SELECT p.source_id, b.partition_id, sum(b.messages)::bigint
FROM batches b JOIN partitions p ON p.id = b.partition_id
WHERE b.id >= %(first)s AND p.source_id = ANY(%(sources)s) GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A source in numbers, as the tables have them now."""

    #: those that are not finished
    partitions: int = 0
    stopped: int = 0
    paused: int = 0
    #: active ones that somebody holds the lease of
    leased: int = 0
    #: None: nobody says
    lag_events: int | None = None
    #: of the worst partition
    lag_seconds: float | None = None
    #: messages of the last minute by partition
    messages: Mapping[int, int]
    #: of drainers that are alive
    connections: Sequence[SourceConnection] = ()

    @property
    def rate(self) -> float:
        """Messages a second, over the last minute."""
        return sum(self.messages.values()) / RATE_S

    @property
    def connected(self) -> list[SourceConnection]:
        return [row for row in self.connections if row.connected_since is not None]

    @property
    def failing(self) -> list[SourceConnection]:
        return [row for row in self.connections if row.failing_since is not None]


def summaries_of(sources: Sequence[int], *, now: datetime) -> dict[int, Summary]:
    """Of each source, by its number."""
    wanted: dict[str, Any] = {
        "sources": list(sources),
        "now": now,
        "known": now - LAG_LASTS,
        "first": first_id_at(now - timedelta(seconds=RATE_S)),
    }
    with connection.cursor() as cursor:
        cursor.execute(_PARTITIONS, wanted)
        counted = {source: counts for source, *counts in cursor.fetchall()}
        cursor.execute(_RATES, wanted)
        messages: dict[int, dict[int, int]] = defaultdict(dict)
        for source, partition, number in cursor.fetchall():
            messages[source][partition] = number
    connections: dict[int, list[SourceConnection]] = defaultdict(list)
    live = SourceConnection.objects.filter(seen_at__gt=now - CONNECTION_LASTS)
    for row in live.filter(source__in=sources).order_by("owner"):
        connections[row.source_id].append(row)
    return {
        source: _summary(counted.get(source), messages[source], connections[source])
        for source in sources
    }


def _summary(
    counts: Sequence[Any] | None,
    messages: Mapping[int, int],
    connections: Sequence[SourceConnection],
) -> Summary:
    if counts is None:
        return Summary(messages=messages, connections=connections)
    partitions, stopped, paused, leased, lag_events, lag_seconds = counts
    return Summary(
        partitions=partitions,
        stopped=stopped,
        paused=paused,
        leased=leased,
        lag_events=lag_events,
        lag_seconds=lag_seconds,
        messages=messages,
        connections=connections,
    )
