"""What was read of one Kafka partition and not handed out yet, in parallel lists."""

from __future__ import annotations

import base64
import itertools
import time
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from ingestion.sources.base import BatchLimits, Checkpoint, Lag
from payflow.lib.errors import PayflowError

#: in the buffers of all partitions together
BUFFERED_BYTES: Final = 32 * 2**20
BUFFERED_MESSAGES: Final = 60_000
#: Times after the year 9999 are no times; the clock is the producer's, and it may say anything.
_LATEST_MS: Final = 253_402_300_799_999

#: for a message of which one header's name is no UTF-8: the client library gives none of them then
_UNREADABLE: Final = [("payflow_headers_unreadable", b"the name of a header is not UTF-8")]

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Taken:
    """The messages of one batch."""

    offsets: list[int]
    times_us: list[int]
    bodies: list[bytes]
    keys: list[bytes | None] | None
    headers: list[bytes | None] | None


@dataclass(slots=True, kw_only=True)
class KafkaReading:
    """One assigned partition."""

    checkpoint: Checkpoint
    number: int
    #: offset of the next message to hand out, and its number
    position: int
    sequence_number: int
    #: offset expected of the next message that the broker sends
    expected: int
    #: offset up to which nothing is left at the broker, as it said last
    read_to: int = 0
    offsets: list[int] = field(default_factory=list)
    times_us: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    headers: list[bytes | None] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    #: bytes of all of them
    size: int = 0
    #: when the first of them came, on the monotonic clock and in UTC
    arrived: float = 0.0
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    #: of the last message handed out, and when nothing was left last; microseconds since 1970 UTC
    last_us: int = 0
    caught_up_us: int = 0
    #: what to raise once everything before it is handed out
    trouble: PayflowError | None = None

    @classmethod
    def start(cls, checkpoint: Checkpoint) -> KafkaReading:
        """Nothing read yet; ValueError when the names are no numbers."""
        position = int(checkpoint.position)
        return cls(
            checkpoint=checkpoint,
            number=int(checkpoint.partition),
            position=position,
            sequence_number=checkpoint.sequence_number,
            expected=position,
        )

    def is_full(self, limits: BatchLimits) -> bool:
        """Whether it fills a batch."""
        return self.size >= limits.bytes or len(self.bodies) >= limits.messages

    def forget(self) -> None:
        """Drop what was not handed out: it will be read again."""
        for column in (self.offsets, self.times_us, self.bodies, self.keys, self.headers):
            column.clear()
        self.sizes.clear()
        self.size = 0
        self.expected = self.position
        self.read_to = 0
        self.trouble = None

    def add(self, messages: Sequence[Message]) -> None:
        """Append messages in the broker's order; what came before what is expected is dropped."""
        offsets: list[Any] = list(map(Message.offset, messages))
        if offsets[0] < self.expected:
            messages = messages[bisect_right(offsets, self.expected - 1) :]
            offsets = list(map(Message.offset, messages))
            if not offsets:
                return
        if not self.bodies:
            self.arrived, self.received_at = time.monotonic(), datetime.now(UTC)
        bodies: list[Any] = list(map(Message.value, messages))
        if None in bodies:  # a tombstone is a message, an empty one
            bodies = [body or b"" for body in bodies]
        keys: list[Any] = list(map(Message.key, messages))
        headers = [as_json(raw) if raw else None for raw in map(_headers, messages)]
        sizes = [
            len(body) + len(key or b"") + len(header or b"")
            for body, key, header in zip(bodies, keys, headers, strict=True)
        ]
        self.offsets += offsets
        self.times_us += _times_us(messages)
        self.bodies += bodies
        self.keys += keys
        self.headers += headers
        self.sizes += sizes
        self.size += sum(sizes)
        self.expected = offsets[-1] + 1

    def take(self, *, messages: int, size: int) -> Taken:
        """The first messages within both limits, at least one; they are handed out by this."""
        if self.size <= size and len(self.bodies) <= messages:
            cut = len(self.bodies)
        else:
            fitting = bisect_right(list(itertools.accumulate(self.sizes)), size)
            cut = max(1, min(messages, fitting))
        taken = Taken(
            offsets=self.offsets[:cut],
            times_us=self.times_us[:cut],
            bodies=self.bodies[:cut],
            keys=_used(self.keys[:cut]),
            headers=_used(self.headers[:cut]),
        )
        self.size -= sum(self.sizes[:cut])
        for column in (self.offsets, self.times_us, self.bodies, self.keys, self.headers):
            del column[:cut]
        del self.sizes[:cut]
        self.position = taken.offsets[-1] + 1
        self.sequence_number += cut
        self.last_us = taken.times_us[-1]
        return taken

    def is_unknown(self, *, end: int) -> bool:
        """Something is left at the broker, and nothing tells how old it is."""
        return not (self._behind(end) == 0 or self.bodies or self.last_us or self.caught_up_us)

    def lag(self, *, end: int, now_us: int) -> Lag:
        """Behind an end. What is still at the broker is younger than what was handed out last, and
        than the last look that found nothing left."""
        behind = self._behind(end)
        if behind == 0:
            self.caught_up_us = now_us
            return Lag(events=0, seconds=0.0)
        known_us = self.times_us[0] if self.bodies else max(self.last_us, self.caught_up_us)
        age_us = now_us - known_us if known_us else 0
        return Lag(events=behind, seconds=max(0.0, age_us / 1e6))

    def _behind(self, end: int) -> int:
        """Marks of transactions at the end are nothing to read: the broker said how far it read."""
        from_ = self.position if self.bodies else max(self.position, self.read_to)
        return max(0, end - from_)


def is_crowded(readings: Collection[KafkaReading]) -> bool:
    """Whether all of them together hold as much as may be held."""
    return (
        sum(reading.size for reading in readings) >= BUFFERED_BYTES
        or sum(len(reading.bodies) for reading in readings) >= BUFFERED_MESSAGES
    )


def as_json(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    """Headers as one JSON object, nothing lost.

    A value that is no UTF-8 becomes {"base64": ..}, none at all null; several values of one name
    become a list.
    """
    values: dict[str, Any] = {}
    for name, value in headers:
        text = _as_text(value)
        if name not in values:
            values[name] = text
        elif isinstance(values[name], list):
            values[name].append(text)
        else:
            values[name] = [values[name], text]
    return _encode(values)


def _as_text(value: bytes | str | None) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _headers(message: Message) -> Any:
    try:
        return message.headers()
    except (SystemError, UnicodeDecodeError):  # which of the two is the wheel's affair
        return _UNREADABLE


def _times_us(messages: Sequence[Message]) -> list[int]:
    """The broker's time of each message; the time of its arrival where it has none."""
    now_us = time.time_ns() // 1000
    return [
        ms * 1000 if kind != TIMESTAMP_NOT_AVAILABLE and 0 <= ms <= _LATEST_MS else now_us
        for kind, ms in map(Message.timestamp, messages)
    ]


def _used(column: list[bytes | None]) -> list[bytes | None] | None:
    return column if any(value is not None for value in column) else None


def place_and_error(message: Message) -> tuple[int | None, int | None]:
    """An error says something of the messages before it only. (Errors cannot be compared.)"""
    error = message.error()
    return message.partition(), None if error is None else error.code()
