"""What was read of one stream and not handed out yet, as columns."""

from __future__ import annotations

import itertools
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from ingestion.sources.stream_position import id_before
from payflow.lib.streams import BODY, HEADERS, KEY

#: One entry as the server sends it: [id, [name, value, name, value, ..]]
Entry = Sequence[Any]
Column = list[bytes | None]

#: A message of which nothing is known is taken to be this large.
UNKNOWN_SIZE = 2**20

_FIELDS = itemgetter(1)


@dataclass(slots=True)
class Columns:
    """Entries in parallel lists; a column that no entry has is None."""

    offsets: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    keys: Column | None = None
    headers: Column | None = None
    #: bytes of each entry
    sizes: list[int] = field(default_factory=list)

    @classmethod
    def from_entries(cls, entries: Sequence[Entry]) -> Columns:
        """Unknown fields are ignored; an entry without a body is still a message, an empty one."""
        fields = list(map(_FIELDS, entries))
        names = fields[0][::2]
        if BODY in names and all(names == values[::2] for values in fields):
            bodies, keys, headers = (_column(fields, names, name) for name in (BODY, KEY, HEADERS))
        else:
            pairs = [dict(zip(f[::2], f[1::2], strict=False)) for f in fields]
            bodies = [pair.get(BODY, b"") for pair in pairs]
            keys, headers = (_used([pair.get(name) for pair in pairs]) for name in (KEY, HEADERS))
        sizes = list(map(len, bodies))
        for column in (keys, headers):
            if column is not None:
                sizes = [
                    size + len(value or b"") for size, value in zip(sizes, column, strict=True)
                ]
        return cls(
            offsets=b" ".join(map(itemgetter(0), entries)).decode().split(" "),
            bodies=bodies,
            keys=keys,
            headers=headers,
            sizes=sizes,
        )

    def __len__(self) -> int:
        return len(self.bodies)

    def extend(self, more: Columns) -> None:
        """Append the entries of another."""
        self.keys = _joined(self.keys, more.keys, len(self), len(more))
        self.headers = _joined(self.headers, more.headers, len(self), len(more))
        self.offsets += more.offsets
        self.bodies += more.bodies
        self.sizes += more.sizes

    def split(self, *, messages: int, size: int) -> tuple[Columns, Columns]:
        """The first entries within both limits, at least one, and the rest."""
        fitting = bisect_right(list(itertools.accumulate(self.sizes)), size)
        cut = max(1, min(messages, fitting))
        if cut >= len(self):
            return self, Columns()
        return self._part(slice(cut)), self._part(slice(cut, None))

    def _part(self, part: slice) -> Columns:
        return Columns(
            offsets=self.offsets[part],
            bodies=self.bodies[part],
            keys=_used(self.keys and self.keys[part]),
            headers=_used(self.headers and self.headers[part]),
            sizes=self.sizes[part],
        )


@dataclass(slots=True, kw_only=True)
class StreamReading:
    """One assigned partition and what was read of it ahead."""

    partition: str
    key: str
    #: of the next message to hand out
    position: str
    #: number of that message
    sequence_number: int
    #: messages that the server counts before it beside those
    shift: int = 0
    columns: Columns = field(default_factory=Columns)
    size: int = 0
    #: the last reply was as long as it could be, so the server has more
    more: bool = False
    #: of the last reply
    largest: int = UNKNOWN_SIZE
    #: when the first buffered message came, on the monotonic clock and in UTC
    arrived: float = 0.0
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def counted(self) -> int:
        """Messages that the server counts before the position."""
        return self.sequence_number + self.shift

    @property
    def read_after(self) -> str:
        """The id to read on after."""
        return self.columns.offsets[-1] if self.columns.offsets else id_before(self.position)

    def add(self, entries: Sequence[Entry], *, asked: int) -> None:
        """Take over one reply to a read of at most `asked` entries."""
        self.more = len(entries) == asked
        if not entries:
            return
        if not self.columns.bodies:
            self.arrived, self.received_at = time.monotonic(), datetime.now(UTC)
        columns = Columns.from_entries(entries)
        self.largest = max(1, *columns.sizes)
        self.size += sum(columns.sizes)
        self.columns.extend(columns)


def times_us(offsets: Sequence[str]) -> list[int]:
    """The server's clock when each entry was added, in microseconds since 1970 UTC."""
    milliseconds = " ".join(offsets).replace("-", " ").split(" ")[::2]
    return [int(ms) * 1000 for ms in milliseconds]


def _column(fields: list[Any], names: list[bytes], name: bytes) -> Any:
    return list(map(itemgetter(2 * names.index(name) + 1), fields)) if name in names else None


def _joined(left: Column | None, right: Column | None, n_left: int, n_right: int) -> Column | None:
    if left is None and right is None:
        return None
    return (left or [None] * n_left) + (right or [None] * n_right)


def _used(column: Column | None) -> Column | None:
    return column if column and any(value is not None for value in column) else None
