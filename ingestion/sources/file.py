"""A file as a source: one partition, named by the SHA-256 of its content.

One record is one message. The same bytes under another name are the same partition, so nothing is
taken twice. A position is the number of the next record, from "0".
"""

from __future__ import annotations

import gzip
import hashlib
import os
import time
import uuid
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from ingestion.sources.base import (
    BatchLimits,
    Bounds,
    Checkpoint,
    ConnectionStep,
    Lag,
    MessageBatch,
    MessageConsumer,
)
from ingestion.sources.diagnosis import StepFailed, look_in_order
from ingestion.sources.file_csv import CsvRecords
from ingestion.sources.file_json import JsonArrayRecords
from ingestion.sources.file_records import (
    Extent,
    NdjsonRecords,
    ParquetRecords,
    Records,
    open_bytes,
)
from ingestion.sources.settings import SettingsReader
from payflow.lib.errors import Permanent, PositionLost, SourceUnavailable

FORMATS: dict[str, type[Records]] = {
    "ndjson": NdjsonRecords,
    "json": JsonArrayRecords,
    "csv": CsvRecords,
    "parquet": ParquetRecords,
}
_SUFFIXES = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "json",
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}

_BLOCK = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSettings:
    """Which file."""

    path: str
    #: a key of FORMATS
    format: str
    #: between the fields of CSV
    delimiter: str = ","


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """The file as it was when it was opened."""

    sha256: str
    extent: Extent
    #: changes when somebody writes to the file or puts another in its place
    state: tuple[int, int, int]
    loaded_at: datetime


class FileConsumer(MessageConsumer):
    """Reads one file from any record on; the end of the file is not an error."""

    broker_type: ClassVar[str] = "file"
    #: a file is its content, wherever it lies; what a record is depends on these
    LOG_FIELDS: ClassVar[frozenset[str]] = frozenset({"format", "delimiter"})

    @classmethod
    def parse_settings(cls, settings: Mapping[str, Any]) -> FileSettings:
        """path (required), format (default by the extension before .gz), delimiter (CSV)."""
        reader = SettingsReader(settings)
        path = reader.text("path", max_length=4096)
        name = Path(path.lower().removesuffix(".gz"))
        by_suffix = _SUFFIXES.get(name.suffix, "")
        file_format = reader.choice("format", default=by_suffix, choices=tuple(FORMATS))
        delimiter = reader.text("delimiter", default=",", max_length=1)
        if delimiter in '"\r\n' or not delimiter.isascii():
            reader.refuse("delimiter", "it must be one ASCII character, and no quote or line end")
        elif delimiter != "," and file_format != "csv":
            reader.refuse("delimiter", "only CSV has one")
        reader.finish()
        return FileSettings(path=path, format=file_format, delimiter=delimiter)

    def __init__(self, *, source: str, settings: FileSettings) -> None:
        self._source = source
        self._path = Path(settings.path)
        self._settings = settings
        self._limits = BatchLimits()
        self._content: _Content | None = None
        self._records: Records | None = None
        self._next: Checkpoint | None = None
        #: position behind the last record, once somebody asked
        self._last: int | None = None

    # --- connection ------------------------------------------------------------------------------

    def connect(self) -> None:
        """Open the file and read it through once for its name."""
        self.disconnect()
        with self._translated():
            self._content = _examine(self._path)
            self._records = self._open_records()

    def disconnect(self) -> None:
        if self._records is not None:
            self._records.close()
        self._records = self._content = self._last = None

    @property
    def is_connected(self) -> bool:
        return self._records is not None

    def _open_records(self) -> Records:
        if self._settings.format == "csv":
            return CsvRecords(self._path, delimiter=self._settings.delimiter)
        return FORMATS[self._settings.format](self._path)

    @property
    def _open(self) -> tuple[_Content, Records]:
        if self._content is None or self._records is None:
            raise SourceUnavailable(f"Source {self._source} is not connected.")
        return self._content, self._records

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
            self.disconnect()
            raise Permanent(f"{self._path} is not a whole gzip file.") from exc
        except OSError as exc:
            self.disconnect()
            raise SourceUnavailable(f"{self._path}: {exc.strerror or type(exc).__name__}") from exc
        except pl.exceptions.PolarsError as exc:
            self.disconnect()
            raise Permanent(f"{self._path} is not a readable Parquet file.") from exc

    # --- partitions ------------------------------------------------------------------------------

    def partitions(self) -> list[str]:
        return [self._open[0].sha256]

    def first_position(self, partition: str) -> str:  # noqa: ARG002 - every file begins at 0
        return "0"

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        self._next = None
        self._seek(checkpoint)
        self._next = checkpoint

    def release(self, partition: str) -> None:
        if self._next is not None and self._next.partition == partition:
            self._next = None

    def _seek(self, checkpoint: Checkpoint) -> None:
        """Go to the checkpoint, unless the reader stands there."""
        content, records = self._open
        with self._translated():
            same = content.sha256 == checkpoint.partition and content.state == _state(self._path)
            if same and records.position == int(checkpoint.position):
                return
            found = same and records.seek(int(checkpoint.position))
        if not found:
            self._next = None
            detail = f"It ends before record {checkpoint.position}." if same else "It was changed."
            raise PositionLost(
                partition=checkpoint.partition, lost=None, detail=f"{self._path}: {detail}"
            )

    # --- reading ---------------------------------------------------------------------------------

    def consume_batch(self, *, wait_s: float) -> MessageBatch | None:
        content, records = self._open
        checkpoint = self._next
        if checkpoint is not None:
            self._seek(checkpoint)
            with self._translated():
                bodies = records.read(messages=self._limits.messages, size=self._limits.bytes)
            if bodies:
                return self._batch(bodies, checkpoint, content)
        time.sleep(wait_s)
        return None

    def _batch(
        self, bodies: list[bytes], checkpoint: Checkpoint, content: _Content
    ) -> MessageBatch:
        first = int(checkpoint.position)
        self._next = Checkpoint(
            partition=checkpoint.partition,
            position=str(first + len(bodies)),
            sequence_number=checkpoint.sequence_number + len(bodies),
        )
        return MessageBatch(
            source=self._source,
            partition=checkpoint.partition,
            broker_type=self.broker_type,
            batch_id=uuid.uuid4().hex,
            position=checkpoint.position,
            next_position=self._next.position,
            sequence_number=checkpoint.sequence_number,
            received_at=datetime.now(UTC),
            offsets=list(map(str, range(first, first + len(bodies)))),
            times_us=[_microseconds(content.loaded_at)] * len(bodies),
            bodies=bodies,
        )

    def acknowledge_batch(self, batch: MessageBatch) -> None:
        """Nothing to tell: a file keeps what was read."""

    def lag(self) -> dict[str, Lag]:
        content, records = self._open
        if self._next is None:
            return {}
        events = records.behind(content.extent)
        seconds = (datetime.now(UTC) - content.loaded_at).total_seconds() if events else 0.0
        return {self._next.partition: Lag(events=events, seconds=seconds)}

    # --- what the file holds ---------------------------------------------------------------------

    def bounds(self, partition: str) -> Bounds:
        """Reads the file through the first time, beside whoever reads it."""
        content, _ = self._open
        with self._translated():
            if partition != content.sha256 or content.state != _state(self._path):
                raise SourceUnavailable(f"{self._path} is another file than {partition} now.")
            if self._last is None:
                records = self._open_records()
                self._last = records.last()
                records.close()
        return Bounds(first="0", end=str(self._last))

    def position_at(self, partition: str, moment: datetime) -> str:
        bounds = self.bounds(partition)
        return bounds.first if moment <= self._open[0].loaded_at else bounds.end

    def count_between(self, partition: str, start: str, end: str) -> int | None:
        last = int(self.bounds(partition).end)
        return max(0, min(int(end), last) - min(int(start), last))

    def diagnose(self) -> list[ConnectionStep]:
        return look_in_order([("File", self._find_file), ("Format", self._find_record)])

    def _find_file(self) -> str:
        try:
            with self._path.open("rb"):
                size = self._path.stat().st_size
        except OSError as exc:
            reason = exc.strerror or type(exc).__name__
            raise StepFailed(f"{self._path}: {reason}") from exc
        return f"{self._path} has {size:,} bytes."

    def _find_record(self) -> str:
        try:
            records = self._open_records()
            found = records.read(messages=1, size=1)
            records.close()
        except (Permanent, OSError, EOFError, zlib.error, pl.exceptions.PolarsError) as exc:
            reason = f" {exc}" if isinstance(exc, Permanent) else ""
            name = self._settings.format
            raise StepFailed(f"The first record cannot be read as {name}.{reason}") from exc
        return f"It begins with a record of {len(found[0]):,} bytes." if found else "It is empty."


def _examine(path: Path) -> _Content:
    state = _state(path)  # before reading: a write while we read is noticed later
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    lines = 0
    last = b""
    with open_bytes(path) as file:
        while block := file.read(_BLOCK):
            lines += block.count(b"\n")
            last = block
    lines += bool(last) and not last.endswith(b"\n")
    return _Content(
        sha256=digest.hexdigest(),
        extent=Extent(lines=lines),
        state=state,
        loaded_at=datetime.now(UTC),
    )


def _state(path: Path) -> tuple[int, int, int]:
    stat = os.stat(path)
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond
