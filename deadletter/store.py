"""Write failed items and add to their groups, inside the transaction of the path."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import polars as pl
import xxhash

from payflow.lib.copy import copy_frame

#: raised when the values behind a group's fingerprint change; groups of older versions stay
FINGERPRINT_VERSION: Final = 1
#: bytes; larger payloads are read in the archive
MAX_PAYLOAD: Final = 2**20
#: characters; a longer path is cut, and stands whole in the item's errors
MAX_FIELD: Final = 256
_WINDOW: Final = timedelta(minutes=5)
#: after such a pause a kind of failure has begun anew, and may have a new cause
PAUSE: Final = timedelta(minutes=10)

_UPSERT_GROUPS = """
INSERT INTO failure_groups (id, fingerprint_version, source_id, schema_name, stage, reason, field,
    first_seen, last_seen, began_at, count)
SELECT g.id, %(version)s, %(source)s, g.schema, g.stage, g.reason, g.field, %(at)s, %(at)s,
    %(at)s, g.count
FROM unnest(%(ids)s::uuid[], %(schemas)s::text[], %(stages)s::text[], %(reasons)s::text[],
    %(fields)s::text[], %(counts)s::bigint[]) AS g (id, schema, stage, reason, field, count)
ON CONFLICT (id) DO UPDATE SET count = failure_groups.count + EXCLUDED.count,
    began_at = CASE WHEN EXCLUDED.first_seen > failure_groups.last_seen + %(pause)s
        THEN EXCLUDED.first_seen
        ELSE least(failure_groups.began_at, EXCLUDED.first_seen) END,
    first_seen = least(failure_groups.first_seen, EXCLUDED.first_seen),
    last_seen = greatest(failure_groups.last_seen, EXCLUDED.last_seen)
"""
_UPSERT_COUNTS = """
INSERT INTO failure_counts (window_start, group_id, count)
SELECT %(window)s, g.id, g.count
FROM unnest(%(ids)s::uuid[], %(counts)s::bigint[]) AS g (id, count)
ON CONFLICT (window_start, group_id) DO UPDATE SET count = failure_counts.count + EXCLUDED.count
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRow:
    """One refused part, ready to be written."""

    id: int
    batch: int
    ordinal: int
    part: int
    position: str
    #: "" when no schema takes the message
    schema_name: str
    stage: str
    reason: str
    field: str
    #: every error; each encodes to a JSON object without payload text
    errors: Sequence[Any]
    #: None when it is left to the archive
    payload: bytes | None
    other_id: int | None
    transaction_id: str
    correlation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What all failed items of a batch share."""

    source_id: int
    partition_name: str
    bundle_id: int
    archive_file: str
    failed_at: datetime


def write_items(cursor: Any, rows: Sequence[FailedRow], *, origin: Origin) -> None:
    """COPY the items; call add_to_groups() later in the same transaction."""
    if not rows:
        return
    encode = msgspec.json.encode
    frame = pl.DataFrame(
        {
            "id": [row.id for row in rows],
            "batch": [row.batch for row in rows],
            "ordinal": [row.ordinal for row in rows],
            "part": [row.part for row in rows],
            "archive_row": [row.ordinal for row in rows],
            "position": [row.position for row in rows],
            "schema_name": [row.schema_name for row in rows],
            "stage": [row.stage for row in rows],
            "reason": [str(row.reason) for row in rows],
            "field": [row.field for row in rows],
            "errors": [encode(row.errors).decode() for row in rows],
            "payload": pl.Series([row.payload for row in rows], dtype=pl.Binary),
            "other_id": pl.Series([row.other_id for row in rows], dtype=pl.Int64),
            "transaction_id": [row.transaction_id for row in rows],
            "correlation_id": [row.correlation_id for row in rows],
            "group_id": [str(fingerprint(row, origin=origin)) for row in rows],
        }
    )
    constants = {
        "source_id": origin.source_id,
        "partition_name": origin.partition_name,
        "bundle_id": origin.bundle_id,
        "archive_file": origin.archive_file,
        "failed_at": origin.failed_at.isoformat(),
        "status": "open",
        "retry_count": 0,
    }
    copy_frame(
        cursor, "failed_items", frame.with_columns(**{k: pl.lit(v) for k, v in constants.items()})
    )


def add_to_groups(cursor: Any, rows: Sequence[FailedRow], *, origin: Origin) -> None:
    """Add the items to their groups and 5-minute counts, sorted by key."""
    if not rows:
        return
    causes = {fingerprint(row, origin=origin): row for row in rows}
    counts = Counter(fingerprint(row, origin=origin) for row in rows)
    ids = sorted(counts)
    parameters = {
        "version": FINGERPRINT_VERSION,
        "source": origin.source_id,
        "at": origin.failed_at,
        "window": _window_of(origin.failed_at),
        "ids": [str(key) for key in ids],
        "schemas": [causes[key].schema_name for key in ids],
        "stages": [causes[key].stage for key in ids],
        "reasons": [str(causes[key].reason) for key in ids],
        "fields": [causes[key].field for key in ids],
        "counts": [counts[key] for key in ids],
        "pause": PAUSE,
    }
    cursor.execute(_UPSERT_GROUPS, parameters)
    cursor.execute(_UPSERT_COUNTS, parameters)


def fingerprint(row: FailedRow, *, origin: Origin) -> uuid.UUID:
    """The group of an item: one cause is one stage, reason, field, schema and source."""
    cause = (
        FINGERPRINT_VERSION,
        origin.source_id,
        row.schema_name,
        row.stage,
        row.reason,
        row.field,
    )
    return uuid.UUID(bytes=xxhash.xxh3_128_digest("\x1f".join(map(str, cause)).encode()))


def _window_of(moment: datetime) -> datetime:
    seconds = int(moment.timestamp())
    return moment.replace(microsecond=0) - timedelta(seconds=seconds % int(_WINDOW.total_seconds()))
