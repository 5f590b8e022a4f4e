"""How far partitions are behind: said each second of what is read, now and then of what is not.

What the brokers answered, as the tables keep it; `lag_questions` asks them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import connection

#: seconds after which the lag of a partition that nobody reads is looked at again
UNREAD_EVERY_S: Final = 10.0
#: partitions of one look, so that it cannot hold up reading for long; the oldest figures first
UNREAD_AT_ONCE: Final = 32

# What waits at a partition that stands still waits since it was first seen to wait: that much older
# is the oldest message than at the look before. SKIP LOCKED: a stuck row must not hold up the rest.
_NOTE = """
WITH told AS (
    SELECT * FROM unnest(%(ids)s::bigint[], %(events)s::bigint[], %(seconds)s::float[])
        AS t (id, events, seconds)
), free AS (
    SELECT p.id FROM partitions p JOIN told ON told.id = p.id
    ORDER BY p.id FOR NO KEY UPDATE OF p SKIP LOCKED
), noted AS (
    UPDATE partitions p SET lag_events = told.events, lag_at = now(), lag_seconds = CASE
        WHEN told.events IS NULL OR told.seconds IS NOT NULL THEN told.seconds
        WHEN told.events = 0 THEN 0
        ELSE coalesce(extract(epoch FROM now() - p.lag_at), 0)
            + CASE WHEN p.lag_events > 0 THEN coalesce(p.lag_seconds, 0) ELSE 0 END
        END
    FROM told JOIN free ON free.id = told.id
    WHERE p.id = told.id
    RETURNING p.id, p.sequence_number, p.lag_events, p.lag_seconds
)
INSERT INTO partition_minutes AS m
    (partition_id, minute, sequence_number, lag_events, lag_seconds)
SELECT id, date_trunc('minute', now()), sequence_number, lag_events, lag_seconds FROM noted
ON CONFLICT (partition_id, minute) DO UPDATE
SET sequence_number = excluded.sequence_number,
    lag_events = greatest(m.lag_events, excluded.lag_events),
    lag_seconds = greatest(m.lag_seconds, excluded.lag_seconds)
WHERE m.sequence_number <> excluded.sequence_number
    OR excluded.lag_events > coalesce(m.lag_events, -1)
    OR excluded.lag_seconds > coalesce(m.lag_seconds, -1)
"""
_UNREAD = """
SELECT p.id, p.source_id, p.name, p.position
FROM partitions p JOIN sources s ON s.id = p.source_id
WHERE p.source_id = ANY(%(sources)s)
    AND (p.state IN ('stopped', 'paused') OR (p.state = 'active' AND s.paused_at IS NOT NULL))
    AND (p.lag_at IS NULL OR p.lag_at < now() - %(every_s)s * interval '1 s')
ORDER BY p.lag_at NULLS FIRST, p.id LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """How far one partition is behind; None: the broker cannot tell."""

    partition_id: int
    events: int | None
    #: age of the oldest message that waits; None: as long as some have waited
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A partition that nobody reads, and where it stands."""

    partition_id: int
    source_id: int
    name: str
    position: str


def note(found: Sequence[Behind]) -> None:
    """Write it into the partitions' rows and those of the minute, where the greatest lag stays."""
    if not found:
        return
    values: dict[str, Any] = {
        "ids": [row.partition_id for row in found],
        "events": [row.events for row in found],
        "seconds": [row.seconds for row in found],
    }
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, values)


def unread(sources: Sequence[int]) -> list[Unread]:
    """Partitions of these sources that stand still and whose lag nobody has looked at lately."""
    values: dict[str, Any] = {
        "sources": list(sources),
        "every_s": UNREAD_EVERY_S,
        "limit": UNREAD_AT_ONCE,
    }
    with connection.cursor() as cursor:
        cursor.execute(_UNREAD, values)
        return [
            Unread(partition_id=row[0], source_id=row[1], name=row[2], position=row[3])
            for row in cursor.fetchall()
        ]
