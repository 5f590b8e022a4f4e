"""What came through while a version was live. Whoever counts events registers here.

Configuration lies below the numbers and cannot read them itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Parts of messages that arrived in a span: all of them, and those that failed."""

    events: int
    failed: int

    @property
    def rejected(self) -> float | None:
        """Share of the failed; None without events."""
        return self.failed / self.events if self.events else None


#: ids of sources, since, until -> what arrived
Reader = Callable[[Collection[int], datetime, datetime], Traffic]

_reader: list[Reader] = []


def register(reader: Reader) -> None:
    """Called once, by the app that counts."""
    _reader[:] = [reader]


def between(sources: Collection[int], since: datetime, until: datetime) -> Traffic:
    """What arrived at these sources from `since` to before `until`."""
    return _reader[0](sources, since, until)
