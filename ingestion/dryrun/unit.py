"""Archived batches as messages again, and where each of their parts is kept.

Pure: bytes of archive objects in, columns out. Runs in processes of its own, without a database.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from ingestion.sources.base import MessageBatch
from payflow.lib.event_id import event_id

if TYPE_CHECKING:
    from ingestion.models import Partition

#: what a dry run needs of an archive object
_COLUMNS: Final = ("part", "offset", "broker_time", "headers", "body", "verdict", "transaction_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One batch: its archive object and what its transaction decided."""

    id: int
    file: str
    #: the object's bytes
    content: bytes
    #: rows that are no events of their own: stored before (duplicate, conflict), or refused
    set_aside: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Batches of one partition that are evaluated in one go."""

    source_id: int
    source: str
    partition: str
    broker_type: str
    batches: Sequence[Stored] = field(repr=False)

    @classmethod
    def of(cls, partition: Partition, batches: Sequence[Stored]) -> Chunk:
        """Batches of a partition, which names its source."""
        return cls(
            source_id=partition.source_id,
            source=partition.source.name,
            partition=partition.name,
            broker_type=partition.source.broker_type,
            batches=batches,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The messages of a chunk, and a row for each part that the archive holds."""

    source_id: int
    messages: MessageBatch
    #: message -> row of `rows` where its first part is
    starts: Sequence[int]
    #: part, broker_time, verdict, transaction_id, batch, file, row, set_aside
    rows: pl.DataFrame

    def row_of(self, message: int, part: int) -> int:
        """The archived row of a part; the last one of its message for a part that is new."""
        after = self.starts[message + 1] if message + 1 < len(self.starts) else self.rows.height
        return min(self.starts[message] + part, after - 1)

    def place(self, message: int, part: int) -> dict[str, Any]:
        """Where a part is kept, for links: JSON, no payload."""
        found = self.rows.row(self.row_of(message, part), named=True)
        batch, ordinal = found["batch"], found["row"]
        id_ = event_id(first_tick=batch >> 22, slot=batch >> 12 & 1023, ordinal=ordinal)
        return {
            "id": id_,
            "batch": batch,
            "file": found["file"],
            "row": ordinal,
            "at": found["broker_time"].isoformat(),
            "stored": found["verdict"],
            "set_aside": found["set_aside"],
        }


def read_unit(chunk: Chunk) -> Unit:
    """The messages of a chunk's archive objects. Raises PolarsError for what is no such object."""
    frames = [_read(stored) for stored in chunk.batches]
    rows = pl.concat(frames)
    first = rows["part"] == 0
    messages = rows.filter(first)
    headers = messages["headers"]
    return Unit(
        source_id=chunk.source_id,
        messages=MessageBatch(
            source=chunk.source,
            partition=chunk.partition,
            broker_type=chunk.broker_type,
            batch_id="dry run",
            position="",
            next_position="",
            sequence_number=0,
            received_at=datetime.now(UTC),
            offsets=messages["offset"].to_list(),
            times_us=messages["broker_time"].to_physical().to_list(),
            bodies=messages["body"].to_list(),
            headers=None if headers.null_count() == len(headers) else headers.to_list(),
        ),
        starts=first.arg_true().to_list(),
        rows=rows.drop("offset", "headers", "body"),
    )


def _read(stored: Stored) -> pl.DataFrame:
    frame = pl.read_parquet(io.BytesIO(stored.content), columns=list(_COLUMNS))
    numbers = pl.Series("row", range(frame.height), dtype=pl.Int64)
    return frame.with_columns(
        numbers,
        batch=pl.lit(stored.id, pl.Int64),
        file=pl.lit(stored.file),
        set_aside=numbers.is_in(list(stored.set_aside)),
    )


def add_counts(into: dict[Any, int], more: Mapping[Any, int]) -> None:
    """Add counts by key to others."""
    for key, number in more.items():
        into[key] = into.get(key, 0) + number
