"""Records of a file one after another, in bounded memory: NDJSON lines and Parquet rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from pathlib import Path
from typing import BinaryIO

import msgspec
import polars as pl

from payflow.lib.errors import Permanent

#: A longer line is no record: the file is not NDJSON, and memory must not pay for it.
MAX_LINE = 64 * 2**20

_BOM = b"\xef\xbb\xbf"
_JSON_SPACE = b" \t\r\n"


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
    def behind(self, lines: int) -> int:
        """Records that follow; for a format that does not know, at most the file's lines."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file."""


class NdjsonRecords(Records):
    """Lines, each the record's own bytes without the line end (LF or CRLF).

    A line without anything but JSON white space is no record: it is skipped and has no number. A
    byte order mark belongs to the file, not to its first record.
    """

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb")
        #: a record that was read and did not fit
        self._kept: bytes | None = None
        self._rewind()

    def read(self, *, messages: int, size: int) -> list[bytes]:
        records: list[bytes] = []
        while len(records) < messages and (record := self._next()) is not None:
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
        while self.position < position and self._next() is not None:
            self.position += 1
        return self.position == position

    def behind(self, lines: int) -> int:
        return 0 if self._ended else max(0, lines - self.position)

    def close(self) -> None:
        self._file.close()

    def _rewind(self) -> None:
        self.position, self._kept, self._ended = 0, None, False
        self._file.seek(0)
        if self._file.read(len(_BOM)) != _BOM:
            self._file.seek(0)

    def _next(self) -> bytes | None:
        if self._kept is not None:
            record, self._kept = self._kept, None
            return record
        while line := self._file.readline(MAX_LINE):
            if len(line) == MAX_LINE and not line.endswith(b"\n"):
                self._rewind()  # the rest of the line must not be read as a record
                raise Permanent("A line is longer than 64 MiB: this file is not NDJSON.")
            record = line.removesuffix(b"\n").removesuffix(b"\r")
            if record and (record[0] not in _JSON_SPACE or record.strip(_JSON_SPACE)):
                return record
        self._ended = True
        return None


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

    def behind(self, lines: int) -> int:  # noqa: ARG002 - the file knows its rows
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
