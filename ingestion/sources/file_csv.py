"""Records of a CSV file: each row one JSON object of texts, by the names in the first row."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from ingestion.sources.file_records import Extent, SequentialRecords, read_line
from payflow.lib.errors import Permanent


class CsvRecords(SequentialRecords):
    """Rows, numbered from the first behind the names; empty lines are none.

    Every value is a text as it is written, "" where nothing is: types are for the schema to say.
    What cannot become an object stays visible and fails there: a row with more or fewer fields
    than there are names is a JSON array of its texts, a row whose quotes are wrong (or never end:
    at most 128 KiB) or whose text is not UTF-8 keeps its own bytes.
    """

    def __init__(self, path: Path, *, delimiter: str = ",") -> None:
        self._delimiter = delimiter
        super().__init__(path)

    def behind(self, extent: Extent) -> int:
        return 0 if self._ended else max(0, extent.lines - 1 - self.position)

    def _rewind(self) -> None:
        super()._rewind()
        #: the lines of the row that is read
        self._lines: list[bytes] = []
        self._rows = csv.reader(self._texts(), delimiter=self._delimiter, strict=True)
        self._names: list[str] | None = None

    def _next(self) -> bytes | None:
        if self._names is None:
            self._names = self._read_names()
        while True:
            self._lines.clear()
            try:
                row = next(self._rows, None)
            except csv.Error:
                return b"".join(self._lines).rstrip(b"\r\n")
            if row is None:
                self._ended = True
                return None
            if row:
                return self._record(row, self._names)

    def _record(self, row: list[str], names: list[str]) -> bytes:
        value = dict(zip(names, row, strict=True)) if len(row) == len(names) else row
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "surrogateescape")

    def _read_names(self) -> list[str]:
        try:
            names = next(self._rows, [])
        except csv.Error as exc:
            raise Permanent("The quotes of the CSV's first row are wrong.") from exc
        if len(set(names)) != len(names):
            raise Permanent("The first row of the CSV names a column twice.")
        if any("\udc80" <= char <= "\udcff" for name in names for char in name):
            raise Permanent("The first row of the CSV is not UTF-8.")
        return names

    def _texts(self) -> Iterator[str]:
        while line := read_line(self._file, kind="CSV"):
            self._lines.append(line)
            yield line.decode("utf-8", "surrogateescape")
