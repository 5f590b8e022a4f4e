"""The one short snapshot: what commits change is copied out, all at one moment.

Checkpoints, roll-up cells and group counts change with every commit, so they and the list of the
batches that they stand for are read in one REPEATABLE READ transaction. What concerns all rows at
once (do positions chain, is every key stored once) is decided there in SQL. The rows of these
batches never change afterwards, so they are read later, batch by batch, while ingestion goes on.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any, Final

import polars as pl
import psycopg
from psycopg import sql

from ingestion.verify import structure
from ingestion.verify.cell_tables import CELL_TABLES
from ingestion.verify.report import Report
from ingestion.verify.scope import Scope, scope_parameters

_BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_PARTITIONS: Final = """
SELECT p.id, p.source_id, s.name, p.name, s.broker_type
FROM partitions p JOIN sources s ON s.id = p.source_id
"""
#: the fields of Manifest, in their order
_BATCHES: Final = sql.SQL("""
COPY (
    SELECT b.id, b.last_id, b.partition_id, b.bundle_id, b.epoch, b.start_position, b.next_position,
        b.sequence_number, b.messages, b.parts, b.accepted, b.failed, b.ignored, b.duplicates,
        b.late, b.min_occurred_at, b.max_occurred_at, b.file, b.first_row, b.received_at,
        b.rule_failures, f.sha256, f.size, f.rows, f.min_occurred_at, f.max_occurred_at,
        f.superseded_at
    FROM batches b LEFT JOIN archive_files f ON f.path = b.file
    WHERE {chosen}
    ORDER BY b.partition_id, b.sequence_number, b.id
) TO STDOUT (FORMAT csv)
""").format(chosen=structure.CHOSEN)
_EXTENT: Final = sql.SQL("""
SELECT coalesce(sum(b.parts), 0)::bigint, date_bin('1 hour', min(b.min_occurred_at), 'epoch'),
    max(b.max_occurred_at)
FROM batches b WHERE {chosen}
""").format(chosen=structure.CHOSEN)
#: event times of the batches that are not looked at: windows in them are not known in full
_LEFT_OUT: Final = sql.SQL("""
SELECT lower(times), upper(times) FROM unnest((
    SELECT range_agg(tstzrange(date_bin('5 minutes', b.min_occurred_at, 'epoch'),
        date_bin('5 minutes', b.max_occurred_at, 'epoch') + interval '5 minutes'))
    FROM batches b WHERE b.min_occurred_at IS NOT NULL AND NOT ({chosen})
)) AS times
""").format(chosen=structure.CHOSEN)
_TOTALS: Final = """
SELECT (SELECT count(*) FROM normalized_transactions), (SELECT count(*) FROM dynamic_metrics),
    (SELECT count(*) FROM batch_outcomes), (SELECT count(*) FROM failed_items)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionInfo:
    """What a batch's own row does not say of its partition."""

    id: int
    source_id: int
    source: str
    name: str
    broker_type: str

    @property
    def label(self) -> str:
        return f"{self.source}/{self.name}"


def _time(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _number(text: str) -> int | None:
    return int(text) if text else None


def _failures(text: str) -> dict[str, Any]:
    failures: dict[str, Any] = json.loads(text or "{}")
    return failures


#: how each field of Manifest is read from CSV
_READ: Final[tuple[Callable[[str], Any], ...]] = (
    *[int] * 5, *[str] * 2, *[int] * 8, *[_time] * 2, str, int, _time, _failures,
    str, *[_number] * 2, *[_time] * 3,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Manifest:
    """A row of batches and, from `sha256` on, of its archive file (None when there is no row)."""

    id: int
    last_id: int
    partition_id: int
    bundle_id: int
    epoch: int
    start_position: str
    next_position: str
    sequence_number: int
    messages: int
    parts: int
    accepted: int
    failed: int
    ignored: int
    duplicates: int
    late: int
    min_occurred_at: datetime | None
    max_occurred_at: datetime | None
    file: str
    first_row: int
    received_at: datetime
    rule_failures: dict[str, Any]
    sha256: str
    size: int | None
    rows: int | None
    file_min_occurred_at: datetime | None
    file_max_occurred_at: datetime | None
    superseded_at: datetime | None

    @classmethod
    def from_csv(cls, row: list[str]) -> Manifest:
        fields = zip(_READ, row, strict=True)
        return cls(*(read(text) for read, text in fields))


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Rows of each table in the snapshot."""

    transactions: int
    metrics: int
    outcomes: int
    failed_items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What was copied out. Batches are on disk: their number has no bound."""

    spool: IO[bytes]
    #: parts of all batches looked at
    parts: int
    partitions: Mapping[int, PartitionInfo]
    #: all of them, or those of the windows between the first and last event looked at
    cells: Mapping[str, pl.DataFrame]
    #: only when all batches are looked at
    totals: Totals | None
    #: half-open ranges of event time of the batches that are not
    left_out: list[tuple[datetime, datetime]]

    @property
    def names(self) -> dict[int, str]:
        return {id_: partition.label for id_, partition in self.partitions.items()}

    def batches(self) -> Iterator[Manifest]:
        """The batches looked at: partition by partition, in the order of their positions."""
        self.spool.seek(0)
        with io.TextIOWrapper(self.spool, encoding="utf-8", newline="") as text:
            yield from map(Manifest.from_csv, csv.reader(text))


def take_snapshot(conn: psycopg.Connection[Any], scope: Scope, report: Report) -> Snapshot:
    """Copy out and check what needs one moment; the transaction is over when this returns."""
    started = time.monotonic()
    with conn.cursor() as cursor:
        cursor.execute(_BEGIN)
        try:
            return _copy_out(cursor, scope, report)
        finally:
            conn.rollback()
            report.snapshot_s = time.monotonic() - started


def _copy_out(cursor: psycopg.Cursor[Any], scope: Scope, report: Report) -> Snapshot:
    parameters = scope_parameters(cursor, scope)
    partitions = {
        id_: PartitionInfo(id=id_, source_id=source_id, source=source, name=name, broker_type=kind)
        for id_, source_id, source, name, kind in cursor.execute(_PARTITIONS)
    }
    spool = tempfile.TemporaryFile()  # noqa: SIM115  closed by Snapshot.batches()
    with cursor.copy(_BATCHES, parameters) as copy:
        spool.writelines(copy)
    parts, first, last = cursor.execute(_EXTENT, parameters).fetchone() or (0, None, None)
    windows = {"whole": scope.is_whole, "first": first, "last": last}
    names = {id_: partition.label for id_, partition in partitions.items()}
    structure.check_chain(cursor, parameters, names=names, report=report)
    totals = None
    if scope.is_whole:
        totals = _whole_tables(cursor, names=names, report=report)
    return Snapshot(
        spool=spool,
        parts=parts,
        partitions=partitions,
        cells={table.name: table.fetch(cursor, windows) for table in CELL_TABLES},
        totals=totals,
        left_out=cursor.execute(_LEFT_OUT, parameters).fetchall(),
    )


def _whole_tables(
    cursor: psycopg.Cursor[Any], *, names: Mapping[int, str], report: Report
) -> Totals:
    structure.check_groups(cursor, report)
    structure.check_arrivals(cursor, report)
    structure.check_unnamed_files(cursor, report)
    report.repeats += structure.check_keys(cursor, names=names, report=report)
    transactions, metrics, outcomes, items = cursor.execute(_TOTALS).fetchone() or (0, 0, 0, 0)
    return Totals(transactions=transactions, metrics=metrics, outcomes=outcomes, failed_items=items)
