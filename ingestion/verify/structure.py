"""What can be decided inside the snapshot, over all rows at once, in SQL.

Chain and checkpoint are checked over whole partitions whatever the scope: they cost one index
scan. The checks of whole tables (keys, groups, files that no batch names) need the whole scope.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
from django.conf import settings
from psycopg import sql

from ingestion.verify.report import Difference, Kind, Report
from ingestion.verify.seeks import read_seeks
from payflow.lib.event_id import first_id_at

#: condition on batches `b` that are looked at; parameters from scope_parameters()
CHOSEN: Final = sql.SQL("""
b.id >= %(low_id)s
AND (%(partition)s::bigint IS NULL OR b.partition_id = %(partition)s)
AND (%(sample)s::bigint[] IS NULL OR b.id = ANY(%(sample)s))
""")
_CHAIN = """
SELECT * FROM (
    SELECT b.partition_id, b.id, b.start_position, b.sequence_number, b.epoch,
        lag(b.next_position) OVER w, lag(b.sequence_number + b.messages) OVER w,
        lag(b.epoch) OVER w,
        EXISTS (SELECT FROM seeks s
            WHERE s.partition_id = b.partition_id AND s.sequence_number = b.sequence_number)
    FROM batches b
    WHERE %(partition)s::bigint IS NULL OR b.partition_id = %(partition)s
    WINDOW w AS (PARTITION BY b.partition_id ORDER BY b.sequence_number, b.id)
) AS chain (partition_id, id, start, number, epoch, before_next, before_end, before_epoch,
    is_sought)
WHERE is_sought OR number <> coalesce(before_end, 0) OR start <> before_next OR epoch < before_epoch
ORDER BY partition_id, number, id
"""
_CHECKPOINTS = """
SELECT p.id, p.position, p.sequence_number, l.next_position, coalesce(l.number, 0)
FROM partitions p
LEFT JOIN LATERAL (
    SELECT b.next_position, b.sequence_number + b.messages AS number
    FROM batches b WHERE b.partition_id = p.id
    ORDER BY b.sequence_number DESC, b.id DESC LIMIT 1
) l ON true
WHERE (%(partition)s::bigint IS NULL OR p.id = %(partition)s)
    AND (p.sequence_number <> coalesce(l.number, 0) OR p.position <> l.next_position OR EXISTS (
        SELECT FROM seeks s
        WHERE s.partition_id = p.id AND s.sequence_number = p.sequence_number))
ORDER BY p.id
"""
_UNNAMED_FILES = """
SELECT f.path FROM archive_files f
WHERE f.superseded_at IS NULL AND NOT EXISTS (SELECT FROM batches b WHERE b.file = f.path)
ORDER BY f.path
"""
_GROUPS = """
SELECT 'group ' || coalesce(g.id, i.group_id), coalesce(g.count, 0), coalesce(i.count, 0)
FROM failure_groups g
FULL JOIN (SELECT group_id, count(*) FROM failed_items GROUP BY group_id) i ON i.group_id = g.id
WHERE g.count IS DISTINCT FROM i.count
ORDER BY 1
"""
_GROUP_WINDOWS = """
SELECT format('group %s at %s', coalesce(c.group_id, i.group_id),
        to_char(coalesce(c.window_start, i.window_start), 'YYYY-MM-DD HH24:MI')),
    coalesce(c.count, 0), coalesce(i.count, 0)
FROM failure_counts c
FULL JOIN (
    SELECT group_id, date_bin('5 minutes', failed_at, 'epoch') AS window_start, count(*)
    FROM failed_items GROUP BY 1, 2
) i ON i.group_id = c.group_id AND i.window_start = c.window_start
WHERE c.count IS DISTINCT FROM i.count
ORDER BY 1, 2
"""
_ARRIVALS = """
SELECT format('source %s at %s', coalesce(w.source_id, b.source_id),
        to_char(coalesce(w.window_start, b.window_start), 'YYYY-MM-DD HH24:MI')),
    (w.batches, w.messages, w.parts, w.accepted, w.failed, w.ignored, w.duplicates, w.late)::text,
    (b.batches, b.messages, b.parts, b.accepted, b.failed, b.ignored, b.duplicates, b.late)::text
FROM ingestion_5m w
FULL JOIN (
    SELECT p.source_id, date_bin('5 minutes', b.received_at, 'epoch') AS window_start,
        count(*) AS batches, sum(b.messages)::bigint AS messages, sum(b.parts)::bigint AS parts,
        sum(b.accepted)::bigint AS accepted, sum(b.failed)::bigint AS failed,
        sum(b.ignored)::bigint AS ignored, sum(b.duplicates)::bigint AS duplicates,
        sum(b.late)::bigint AS late
    FROM batches b JOIN partitions p ON p.id = b.partition_id GROUP BY 1, 2
) b ON b.source_id = w.source_id AND b.window_start = w.window_start
WHERE (w.batches, w.messages, w.parts, w.accepted, w.failed, w.ignored, w.duplicates, w.late)
    IS DISTINCT FROM
    (b.batches, b.messages, b.parts, b.accepted, b.failed, b.ignored, b.duplicates, b.late)
ORDER BY 1
"""
# the inner query reads the leaves' key indexes only
_REPEATED_KEYS = """
SELECT t.event_key::text, t.id, b.id, b.partition_id, b.received_at, s.broker_type
FROM normalized_transactions t
LEFT JOIN batches b ON b.id = t.batch
LEFT JOIN partitions p ON p.id = b.partition_id
LEFT JOIN sources s ON s.id = p.source_id
WHERE t.event_key IN (
    SELECT event_key FROM normalized_transactions
    WHERE %(keys)s::uuid[] IS NULL OR event_key = ANY(%(keys)s::uuid[])
    GROUP BY event_key HAVING count(*) > 1)
ORDER BY t.event_key, t.id
"""


def check_chain(
    cursor: psycopg.Cursor[Any],
    parameters: Mapping[str, Any],
    *,
    names: Mapping[int, str],
    report: Report,
) -> None:
    """Every batch begins where the one before it ended, and the checkpoint behind the last.

    Where a person moved the checkpoint in between, it begins where that led, and nowhere else.
    """
    seeks = read_seeks(cursor, parameters)
    cursor.execute(_CHAIN, parameters)
    for partition, batch, start, number, epoch, next_, end, before_epoch, _ in cursor:
        place = {"kind": Kind.CHAIN, "partition": _name(names, partition), "batch": batch}
        if number != (end or 0):
            report.add(_chained(place, "sequence_number", number, end or 0))
        expected = seeks.lead(partition, number, next_)
        if expected is not None and start != expected:
            report.add(_chained(place, "start_position", start, expected))
        if before_epoch is not None and epoch < before_epoch:
            report.add(_chained(place, "epoch", epoch, f"at least {before_epoch}"))
    cursor.execute(_CHECKPOINTS, parameters)
    for partition, position, number, next_, end in cursor:
        place = {"kind": Kind.CHECKPOINT, "partition": _name(names, partition)}
        expected = seeks.lead(partition, number, next_)
        if expected is not None and position != expected:
            report.add(_chained(place, "position", position, expected))
        if number != end:
            report.add(_chained(place, "sequence_number", number, end))
    for bad in seeks.unfounded:
        place = {"kind": Kind.SEEK, "partition": _name(names, bad.partition)}
        place |= {"row": f"seek {bad.seek}"}
        report.add(_chained(place, bad.column, bad.stored, bad.expected))


def check_arrivals(cursor: psycopg.Cursor[Any], report: Report) -> None:
    """The sums over five minutes of arrival are those of the batches."""
    cursor.execute(_ARRIVALS)
    for row, stored, recomputed in cursor:
        report.add(
            Difference(
                kind=Kind.ARRIVAL,
                row=row,
                column="counts",
                stored=stored or "no row",
                recomputed=recomputed or "no row",
            )
        )


def check_groups(cursor: psycopg.Cursor[Any], report: Report) -> None:
    """Each failure group, and each of its 5 minutes, counts the failed items that are there."""
    for query in (_GROUPS, _GROUP_WINDOWS):
        for row, stored, items in cursor.execute(query):
            report.add(
                Difference(
                    kind=Kind.GROUP,
                    row=row,
                    column="count",
                    stored=str(stored),
                    recomputed=f"{items} failed items",
                )
            )


def check_unnamed_files(cursor: psycopg.Cursor[Any], report: Report) -> None:
    """Every object that counts is some batch's."""
    for (path,) in cursor.execute(_UNNAMED_FILES):
        report.add(
            Difference(
                kind=Kind.FILE, row=path, column="batch", stored="no batch", recomputed="one"
            )
        )


def check_keys(
    cursor: psycopg.Cursor[Any],
    *,
    names: Mapping[int, str],
    report: Report,
    keys: str | None = None,
) -> int:
    """Each event is stored once over all leaves, or among `keys` (an array literal of uuids) only.

    A live message looks back over the horizon only: a redelivery beyond it is stored again by
    design. Returns how many of these there are.
    """
    cursor.execute(_REPEATED_KEYS, {"keys": keys})
    horizon = timedelta(days=settings.PAYFLOW["HORIZON_DAYS"])
    first_key, first_id, beyond = "", 0, 0
    for key, identifier, batch, partition, received_at, broker_type in cursor:
        if key != first_key:
            first_key, first_id = key, identifier
            continue
        if _is_beyond_horizon(first_id, received_at, broker_type, horizon):
            beyond += 1
            first_id = identifier
            continue
        report.add(
            Difference(
                kind=Kind.KEY,
                partition=_name(names, partition) if partition else "",
                batch=batch,
                row=f"transaction {identifier}",
                column="event_key",
                stored=key,
                recomputed=f"once, as {first_id}",
            )
        )
    return beyond


def _is_beyond_horizon(
    first_id: int, received_at: datetime | None, broker_type: str | None, horizon: timedelta
) -> bool:
    if received_at is None or broker_type == "file":
        return False
    return first_id < first_id_at(received_at - horizon)


def _chained(place: Mapping[str, Any], column: str, stored: object, expected: object) -> Difference:
    return Difference(**place, column=column, stored=str(stored), recomputed=str(expected))


def _name(names: Mapping[int, str], partition: int) -> str:
    return names.get(partition, f"partition {partition}")
