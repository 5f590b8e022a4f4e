"""Encoded messages: a batch taken apart, and what Event Hubs writes on each event."""

from __future__ import annotations

from typing import NamedTuple

from tests.eventhubs.codec import (
    DecodeError,
    binary,
    decode,
    described,
    long,
    mapping,
    raw_mapping,
    sequence,
    string,
    symbol,
    timestamp,
)

BATCH_FORMAT = 0x80013700
_HEADER, _DELIVERY, _ANNOTATIONS, _PROPERTIES, _APPLICATION, _DATA = range(0x70, 0x76)
_PARTITION_KEY = "x-opt-partition-key"
_KEY, _SEQUENCE, _OFFSET, _ENQUEUED = (
    symbol(name)
    for name in (
        _PARTITION_KEY, "x-opt-sequence-number", "x-opt-offset", "x-opt-enqueued-time",
    )
)  # fmt: skip


class Section(NamedTuple):
    """One section of a message and where it is."""

    code: int
    start: int
    value_start: int
    end: int


class Event(NamedTuple):
    """One event as a producer sent it, taken apart so that annotations can be added."""

    #: header and delivery annotations
    head: bytes
    #: encoded pairs of the message annotations
    annotations: bytes
    annotation_count: int
    #: properties, application properties, body, footer
    tail: bytes
    partition_key: str | None


def sections(message: bytes) -> list[Section]:
    """Where the sections of a message are.

    Raises:
        DecodeError: not a message.
    """
    found, at = [], 0
    while at < len(message):
        if message[at] != 0:
            raise DecodeError("a section is a described value")
        code, value_start = decode(message, at + 1)
        if not isinstance(code, int) or not _HEADER <= code <= 0x78:
            raise DecodeError("no such section")
        _, end = decode(message, value_start)
        found.append(Section(code, at, value_start, end))
        at = end
    return found


def split(message: bytes, *, message_format: int) -> list[Event]:
    """The events of one delivery; all of a batch have the partition key of the envelope.

    Raises:
        DecodeError: not a message, or a batch of something else.
    """
    if message_format != BATCH_FORMAT:
        return [_event(message)]
    envelope = sections(message)
    key = _partition_key(message, envelope)
    events = [
        _event(decode(message, section.value_start)[0])
        for section in envelope
        if section.code == _DATA
    ]
    if key is None:
        return events
    return [event if event.partition_key else _with_key(event, key) for event in events]


def _event(message: bytes) -> Event:
    head, tail, annotations, count, key = [], [], b"", 0, None
    for section in sections(message):
        if section.code in (_HEADER, _DELIVERY):
            head.append(message[section.start : section.end])
        elif section.code == _ANNOTATIONS:
            values, _ = decode(message, section.value_start)
            key = values.get(_PARTITION_KEY)
            count = len(values) * 2
            skip = 3 if message[section.value_start] == 0xC1 else 9
            annotations = message[section.value_start + skip : section.end]
        else:
            tail.append(message[section.start : section.end])
    return Event(b"".join(head), annotations, count, b"".join(tail), key)


def _partition_key(message: bytes, found: list[Section]) -> str | None:
    for section in found:
        if section.code == _ANNOTATIONS:
            return decode(message, section.value_start)[0].get(_PARTITION_KEY)  # type: ignore[no-any-return]
    return None


def _with_key(event: Event, key: str) -> Event:
    return event._replace(
        annotations=event.annotations + _KEY + string(key),
        annotation_count=event.annotation_count + 2,
        partition_key=key,
    )


def stored(event: Event, *, number: int, offset: int, enqueued_ms: int) -> bytes:
    """The event as readers get it: with its place in the partition."""
    annotations = b"".join(
        (
            event.annotations,
            _SEQUENCE, long(number), _OFFSET, string(str(offset)), _ENQUEUED,
            timestamp(enqueued_ms),
        )
    )  # fmt: skip
    section = described(_ANNOTATIONS, raw_mapping(event.annotation_count + 6, annotations))
    return event.head + section + event.tail


def plain_event(
    body: bytes, *, properties: dict[str, str] | None = None, key: str | None = None
) -> Event:
    """An event as a producer would send it."""
    tail = described(_DATA, binary(body))
    if properties:
        pairs = {string(name): string(value) for name, value in properties.items()}
        tail = described(_APPLICATION, mapping(pairs)) + tail
    event = Event(b"", b"", 0, tail, None)
    return event if key is None else _with_key(event, key)


def message_of(message: bytes) -> tuple[bytes, dict[str, object], object]:
    """(raw message id, application properties, body value) of a request.

    Raises:
        DecodeError: not a message.
    """
    message_id, properties, body = b"\x40", {}, None
    for section in sections(message):
        if section.code == _PROPERTIES:
            message_id = _first_field(message, section.value_start)
        elif section.code == _APPLICATION:
            properties = decode(message, section.value_start)[0]
        elif section.code == 0x77:
            body = decode(message, section.value_start)[0]
    return message_id, properties, body


def _first_field(message: bytes, at: int) -> bytes:
    """The first field of a list, as it came."""
    start = at + (3 if message[at] == 0xC0 else 9)
    _, end = decode(message, start)
    return message[start:end]


def reply(correlation_id: bytes, properties: dict[bytes, bytes], body: bytes) -> bytes:
    """An answer to a request; `correlation_id` as it came, the rest encoded."""
    fields = [b"\x40"] * 13
    fields[5] = correlation_id
    return (
        described(_PROPERTIES, sequence(fields))
        + described(_APPLICATION, mapping(properties))
        + described(0x77, body)
    )
