"""To an NDJSON file or to standard output: bodies only, one a line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from payflow.lib.errors import SourceUnavailable
from payflow.lib.publish.base import OutgoingMessage, Publisher


class FilePublisher(Publisher):
    """Writes the file anew; keys and headers have no place there."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._file: BinaryIO | None = None

    def connect(self) -> None:
        self.close()
        try:
            self._file = self._path.open("wb")
        except OSError as exc:
            raise SourceUnavailable(f"{self._path}: {exc.strerror}") from exc

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        if self._file is None:
            raise SourceUnavailable(f"{self._path} is not open.")
        lines = _lines(messages)
        try:
            self._file.write(lines)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as exc:
            raise SourceUnavailable(f"{self._path}: {exc.strerror}") from exc
        self.published += len(messages)


class StdoutPublisher(Publisher):
    """Writes to standard output, for pipes; durable as far as the reader is."""

    def connect(self) -> None:
        """Standard output is there."""

    def close(self) -> None:
        """It stays open."""

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        lines = _lines(messages)
        try:
            sys.stdout.buffer.write(lines)
            sys.stdout.buffer.flush()
        except OSError as exc:
            raise SourceUnavailable(f"Standard output: {exc.strerror}") from exc
        self.published += len(messages)


def _lines(messages: Sequence[OutgoingMessage]) -> bytes:
    if any(b"\n" in message.body for message in messages):
        raise ValueError("a body with a line feed cannot be a line of NDJSON")
    return b"".join([message.body + b"\n" for message in messages])
