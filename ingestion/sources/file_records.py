"""Records of a file one after another, in bounded memory: NDJSON lines and Parquet rows."""

from __future__ import annotations

import gzip
import io
import sys
from abc import ABC, abstractmethod
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec
import polars as pl

from payflow.lib.errors import Permanent

#: A longer line is no record: the file is not NDJSON, and memory must not pay for it.
MAX_LINE = 64 * 2**20

_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_JSON_SPACE = b" \t\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much a file holds, unpacked."""

    #: line ends, and one more where the last line has none
    lines: int


class Records(ABC):
    """A position in a file of records, numbered from 0."""

    #: number of the next record
    position: int = 0

    @abstractmethod
    def __init__(self, path: Path) -> None:
        """Open the file at its first record; OSError or PolarsError when that fails."""

    @abstractmethod
    def read(self, *, messages: int, size: int) -> list[bytes]:
        """The next records within both limits, at least one; none at the end of the file."""

    @abstractmethod
    def seek(self, position: int) -> bool:
        """Go to a record; False when the file has fewer (its end is a position)."""

    @abstractmethod
    def last(self) -> int:
        """Position behind the last record, as far as the file is whole; reads on to it."""

    @abstractmethod
    def behind(self, extent: Extent) -> int:
        """Records that follow; a format that does not know says what the extent suggests."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file."""


class SequentialRecords(Records):
    """Records that can only be read from the first on; gzip is unpacked on the way."""

    def __init__(self, path: Path) -> None:
        self._file = open_bytes(path)
        #: a record that was read and did not fit
        self._kept: bytes | None = None
        #: what is wrong behind the records that were handed out
        self._trouble: Permanent | None = None
        self._rewind()

    def read(self, *, messages: int, size: int) -> list[bytes]:
        if self._trouble is not None:
            raise self._trouble
        records: list[bytes] = []
        while len(records) < messages and (record := self._following(records)) is not None:
            size -= len(record)
            if size < 0 and records:
                self._kept = record
                break
            records.append(record)
        self.position += len(records)
        return records

    def seek(self, position: int) -> bool:
        if position < self.position:
            self._rewind()
        while self.position < position and self._following(None) is not None:
            self.position += 1
        return self.position == position

    def last(self) -> int:
        with suppress(Permanent):  # told when reading gets there
            self.seek(sys.maxsize)
        return self.position

    def close(self) -> None:
        self._file.close()

    def _rewind(self) -> None:
        self.position, self._kept, self._trouble, self._ended = 0, None, None, False
        self._file.seek(0)
        if self._file.read(len(_BOM)) != _BOM:
            self._file.seek(0)

    def _following(self, before: list[bytes] | None) -> bytes | None:
        """The next record; what is wrong with it waits until those before are handed out."""
        if self._kept is not None:
            record, self._kept = self._kept, None
            return record
        try:
            return self._next()
        except Permanent as exc:
            self._trouble = exc
            if not before:
                raise
            return None

    @abstractmethod
    def _next(self) -> bytes | None:
        """The next record; None at the end. Raises Permanent when the file is another."""


class NdjsonRecords(SequentialRecords):
    """Lines, each the record's own bytes without the line end (LF or CRLF).

    A line without anything but JSON white space is no record: it is skipped and has no number. A
    byte order mark belongs to the file, not to its first record.
    """

    def behind(self, extent: Extent) -> int:
        return 0 if self._ended else max(0, extent.lines - self.position)

    def _next(self) -> bytes | None:
        while line := read_line(self._file, kind="NDJSON"):
            record = line.removesuffix(b"\n").removesuffix(b"\r")
            if record and (record[0] not in _JSON_SPACE or record.strip(_JSON_SPACE)):
                return record
        self._ended = True
        return None


def open_bytes(path: Path) -> BinaryIO:
    """The file's bytes, unpacked where they are gzip, whatever it is called."""
    with path.open("rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
    return io.BufferedReader(gzip.GzipFile(path)) if packed else path.open("rb")


def read_line(file: BinaryIO, *, kind: str) -> bytes:
    """The next line with its end, nothing at the end; Permanent when it is longer than any."""
    line = file.readline(MAX_LINE)
    if len(line) == MAX_LINE and not line.endswith(b"\n"):
        raise Permanent(f"A line is longer than 64 MiB: this file is not {kind}.")
    return line


class ParquetRecords(Records):
    """Rows, each one JSON object: keys in column order, nulls kept, money exact.

    Decimals are JSON numbers with all their digits. Times are RFC 3339 in UTC with "Z" and as many
    digits as they have (a time without a zone is taken as UTC), binary is base64, and a number that
    JSON does not know (NaN, Infinity) is null. 32-bit floats get the digits that they were written
    with.
    """

    #: rows decoded at once: enough to spread the cost of a row group that is decoded again
    _WINDOW_ROWS = 65_536
    _WINDOW_BYTES = 32 * 2**20
    #: before the size of a row is known
    _FIRST_ROWS = 1_000

    def __init__(self, path: Path) -> None:
        frame = pl.scan_parquet(path, glob=False)
        schema = frame.collect_schema()
        self._length: int = frame.select(pl.len()).collect().item()
        self._frame = frame.select(
            _plain(pl.col(name), kind).alias(name) for name, kind in schema.items()
        )
        self._window = self._FIRST_ROWS
        self._encoded: deque[bytes] = deque()
        self._encode = msgspec.json.Encoder(decimal_format="number").encode

    def read(self, *, messages: int, size: int) -> list[bytes]:
        records: list[bytes] = []
        while len(records) < messages and (self._encoded or self._decode(len(records))):
            size -= len(self._encoded[0])
            if size < 0 and records:
                break
            records.append(self._encoded.popleft())
        self.position += len(records)
        return records

    def seek(self, position: int) -> bool:
        self.position = position
        self._encoded.clear()
        return position <= self._length

    def last(self) -> int:
        return self._length

    def behind(self, extent: Extent) -> int:  # noqa: ARG002 - the file knows its rows
        return self._length - self.position

    def close(self) -> None:
        self._encoded.clear()

    def _decode(self, ahead: int) -> bool:
        rows = self._frame.slice(self.position + ahead, self._window).collect()
        self._encoded.extend(map(self._encode, rows.iter_rows(named=True)))
        if self._encoded:
            fitting = self._WINDOW_BYTES * len(rows) // max(1, int(rows.estimated_size()))
            self._window = max(1, min(self._WINDOW_ROWS, fitting))
        return bool(self._encoded)


def _plain(value: pl.Expr, kind: object) -> pl.Expr:
    """The column in types that JSON has (and Decimal); nested ones by their parts."""
    match kind:
        case pl.Datetime(time_zone=None):
            value = value.dt.to_string("%Y-%m-%dT%H:%M:%S%.fZ")
        case pl.Datetime():
            value = value.dt.convert_time_zone("UTC").dt.to_string("%Y-%m-%dT%H:%M:%S%.fZ")
        case pl.Date() | pl.Time() | pl.Duration():
            value = value.dt.to_string("iso")
        case pl.Float32():
            value = value.cast(pl.String).cast(pl.Float64)
        case pl.Categorical() | pl.Enum():
            value = value.cast(pl.String)
        case pl.List(inner=inner):
            value = value.list.eval(_plain(pl.element(), inner))
        case pl.Array(inner=inner):
            value = value.arr.to_list().list.eval(_plain(pl.element(), inner))
        case pl.Struct(fields=fields):
            parts = [_plain(value.struct.field(f.name), f.dtype).alias(f.name) for f in fields]
            value = pl.when(value.is_not_null()).then(pl.struct(parts))
    return value
