"""To an NDJSON file or to standard output: bodies only, one a line."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

from payflow.lib.errors import SourceUnavailable
from payflow.lib.publish.base import OutgoingMessage, Publisher


class FilePublisher(Publisher):
    """Writes the file anew; keys and headers have no place there."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._file: FileIO | None = None
        self._size = 0

    def connect(self) -> None:
        self.close()
        try:
            self._file = self._path.open("wb", buffering=0)
        except OSError as exc:
            raise SourceUnavailable(f"{self._path}: {exc.strerror}") from exc
        self._size = 0

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        if self._file is None:
            self.connect()
        assert self._file is not None  # noqa: S101 - for the type checker
        lines = as_lines(messages)
        is_regular = stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)
        try:
            _write_all(self._file, lines)
            if is_regular:
                os.fsync(self._file.fileno())
        except OSError as exc:
            if is_regular:  # half a chunk would come twice when the caller goes on
                self._file.truncate(self._size)
                self._file.seek(self._size)
            raise SourceUnavailable(f"{self._path}: {exc.strerror}") from exc
        self._size += len(lines)
        self.published += len(messages)


class StdoutPublisher(Publisher):
    """Writes to standard output; BrokenPipeError when nobody reads it any more."""

    def connect(self) -> None:
        """Standard output is there."""

    def close(self) -> None:
        """It stays open."""

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        # Past the buffer, which would complain once more at exit when nobody reads.
        with FileIO(sys.stdout.fileno(), "w", closefd=False) as stdout:
            _write_all(stdout, as_lines(messages))
        self.published += len(messages)


def as_lines(messages: Sequence[OutgoingMessage]) -> bytes:
    """One body a line; ValueError when a body holds a line feed."""
    if any(b"\n" in message.body for message in messages):
        raise ValueError("a body with a line feed cannot be a line of NDJSON")
    return b"".join([message.body + b"\n" for message in messages])


def _write_all(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
