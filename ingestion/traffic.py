"""Events that arrived while a version was live, for the history of the configuration."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection

from configuration.traffic import Traffic
from payflow.lib.event_id import first_id_at

_SLOT: Final = timedelta(minutes=5)
_EPOCH: Final = datetime(2020, 1, 1, tzinfo=UTC)
#: a batch is numbered within this of its arrival
_NUMBERED: Final = timedelta(minutes=1)
_SUMS: Final = """
SELECT coalesce(sum(parts), 0)::bigint, coalesce(sum(failed), 0)::bigint FROM ingestion_5m
WHERE source_id = ANY(%(sources)s) AND window_start >= %(since)s AND window_start < %(until)s
"""
_BATCHES: Final = """
SELECT coalesce(sum(b.parts), 0)::bigint, coalesce(sum(b.failed), 0)::bigint
FROM batches b JOIN partitions p ON p.id = b.partition_id
WHERE p.source_id = ANY(%(sources)s) AND b.id >= %(low)s AND b.id < %(high)s
    AND b.received_at >= %(since)s AND b.received_at < %(until)s
"""


def between(sources: Collection[int], since: datetime, until: datetime) -> Traffic:
    """Parts that arrived from `since` to before `until`: whole five minutes from their sums, what
    is left at both ends from the manifest, so that no long span reads many rows."""
    if not sources or until <= since:
        return Traffic(events=0, failed=0)
    first, last = _floor(since + _SLOT - timedelta(microseconds=1)), _floor(until)
    if first >= last:
        pieces = [_batches(sources, since, until)]
    else:
        pieces = [
            _batches(sources, since, first),
            _read(_SUMS, sources, since=first, until=last),
            _batches(sources, last, until),
        ]
    return Traffic(events=sum(p[0] for p in pieces), failed=sum(p[1] for p in pieces))


def _floor(moment: datetime) -> datetime:
    return moment - (moment - _EPOCH) % _SLOT


def _batches(sources: Collection[int], since: datetime, until: datetime) -> tuple[int, int]:
    ids = {"low": first_id_at(since - _NUMBERED), "high": first_id_at(until + _NUMBERED)}
    return _read(_BATCHES, sources, since=since, until=until, **ids)


def _read(query: str, sources: Collection[int], **values: datetime | int) -> tuple[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(query, {"sources": list(sources), **values})
        events, failed = cursor.fetchone()
    return events, failed
