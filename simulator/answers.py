"""The answer key: which of the sent events are part of which violation, in a file beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from payflow.lib.errors import SourceUnavailable
from simulator.patterns import Answer
from simulator.shapes import time_text


class AnswerKey:
    """Writes JSON Lines anew; one line per event of a violation, after the event was sent."""

    def __init__(self, path: str | Path) -> None:
        """Raises SourceUnavailable when the file cannot be written."""
        self.path = Path(path)
        try:
            self._file = self.path.open("wb")
        except OSError as exc:
            raise SourceUnavailable(f"{self.path}: {exc.strerror}") from exc

    def write(self, answers: Sequence[Answer]) -> None:
        """Add them; they are in the file when this returns."""
        if not answers:
            return
        self._file.write(b"".join(_line(answer) for answer in answers))
        self._file.flush()

    def close(self) -> None:
        """Nothing can be added any more."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _line(answer: Answer) -> bytes:
    row = {
        "transaction_id": answer.transaction_id,
        "kind": answer.kind,
        "severity": answer.severity,
        "pattern_id": answer.pattern_id,
        "event": answer.event,
        "events": answer.events,
        "occurred_at": time_text(answer.occurred_us),
    }
    return msgspec.json.encode(row) + b"\n"
