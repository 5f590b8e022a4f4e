"""Records of a file that is one JSON array: each element's own bytes, in bounded memory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from ingestion.sources import file_records
from ingestion.sources.file_records import Extent, SequentialRecords
from payflow.lib.errors import Permanent

_BLOCK = 2**20
_STRING: Final = rb'"(?:[^"\\]++|\\.)*+"'
_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
#: all up to the next bracket that is no part of a text
_TO_BRACKET: Final = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+([\[\]{}])", re.DOTALL)
#: a text, a number or a word: all up to the next comma or end
_SCALAR: Final = re.compile(rb'(?:[^",\[\]{}]++|' + _STRING + rb")++(?=[,\]])", re.DOTALL)


class JsonArrayRecords(SequentialRecords):
    """Elements of one array, or the one object that the file holds.

    Elements are told apart by their brackets alone: what else is wrong within one is for the
    schema to find. Raises Permanent, behind the elements that are whole, where the array breaks
    off or goes on behind its end.
    """

    #: counted when somebody asks
    _length: int | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        super().__init__(path)

    def behind(self, extent: Extent) -> int:  # noqa: ARG002 - neither lines nor bytes tell
        if self._length is None:
            self._length = self._count_all()
        return 0 if self._ended else max(0, self._length - self.position)

    def _rewind(self) -> None:
        super()._rewind()
        self._buffer, self._at = b"", 0
        self._count = 0
        self._is_array = self._is_begun = False

    def _next(self) -> bytes | None:
        if not self._is_begun:
            self._begin()
        if self._ended:
            return None
        first = self._peek()
        if first == b"]" and self._is_array:
            self._at += 1
            self._end()
            return None
        element = self._element(first)
        self._count += 1
        if not self._is_array:
            self._end()
            return element
        after = self._peek()
        if after == b",":
            self._at += 1
        elif after not in {b"]", b""}:  # a missing end is told when the next is asked for
            raise self._refused("has no comma")
        return element

    def _count_all(self) -> int:
        """Elements of the file, as far as it is whole: one more pass over it."""
        other = JsonArrayRecords(self._path)
        try:
            return other.last()
        finally:
            other.close()

    def _begin(self) -> None:
        self._is_begun = True
        first = self._peek()
        if first == b"[":
            self._at += 1
        elif first not in {b"{", b""}:
            raise Permanent("The file is no JSON array: it must begin with [ (or {, one record).")
        self._is_array = first == b"["
        self._ended = first == b""

    def _end(self) -> None:
        """Nothing may follow."""
        if self._peek():
            raise Permanent("The file goes on behind its JSON array: one line each is NDJSON.")
        self._ended = True

    def _element(self, first: bytes) -> bytes:
        if first in {b"{", b"["}:
            return self._nested()
        size = _BLOCK
        while (found := _SCALAR.match(self._buffer, self._at)) is None:
            if first in {b",", b"]", b"}"}:
                raise self._refused("has a comma or bracket too many")
            if not self._more(size):
                raise self._refused("breaks off")
            size *= 2
        self._at = found.end()
        return found[0].rstrip()

    def _nested(self) -> bytes:
        depth, size, at = 0, _BLOCK, self._at
        while True:
            found = _TO_BRACKET.match(self._buffer, at)
            if found is None:
                at -= self._at
                # twice as much each time, so that a long text is not read again and again
                if not self._more(size):
                    raise self._refused("breaks off")
                size *= 2
                continue
            depth += 1 if found[1] in b"[{" else -1
            at = found.end()
            if depth == 0:
                element = self._buffer[self._at : at]
                self._at = at
                return element

    def _peek(self) -> bytes:
        """The next byte that is no white space; nothing at the end."""
        while True:
            found = _SPACE.match(self._buffer, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._buffer):
                return self._buffer[self._at : self._at + 1]
            if not self._more(_BLOCK):
                return b""

    def _more(self, size: int) -> bool:
        """Read on, and forget what is done."""
        if len(self._buffer) - self._at > file_records.MAX_LINE:
            raise Permanent("A record is longer than 64 MiB: this file is no array of events.")
        block = self._file.read(size)
        self._buffer = self._buffer[self._at :] + block
        self._at = 0
        return bool(block)

    def _refused(self, what: str) -> Permanent:
        return Permanent(f"The JSON array {what} behind its first {self._count:,} records.")
