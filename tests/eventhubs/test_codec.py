"""AMQP values and performatives, there and back."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID

import pytest
from azure.eventhub._pyamqp._decode import decode_frame
from azure.eventhub._pyamqp._encode import encode_frame
from azure.eventhub._pyamqp.performatives import DetachFrame

from tests.eventhubs import codec
from tests.eventhubs.codec import DecodeError, Described
from tests.eventhubs.links import transfer_head

VALUES: list[tuple[bytes, Any]] = [
    (codec.NULL, None),
    (codec.TRUE, True),
    (b"\x56\x00", False),
    (codec.ubyte(255), 255),
    (codec.ushort(65_535), 65_535),
    (codec.uint(2**32 - 1), 2**32 - 1),
    (codec.ulong(2**64 - 1), 2**64 - 1),
    (codec.integer(-5), -5),
    (codec.long(-(2**63)), -(2**63)),
    (codec.timestamp(1_700_000_000_123), 1_700_000_000_123),
    (codec.binary(b""), b""),
    (codec.binary(b"x" * 300), b"x" * 300),
    (codec.string("né"), "né"),
    (codec.string("é" * 200), "é" * 200),
    (codec.symbol("amqp:not-found"), "amqp:not-found"),
    (codec.sequence([]), []),
    (codec.sequence([codec.uint(1)] * 300), [1] * 300),
    (codec.mapping({codec.string("a"): codec.TRUE}), {"a": True}),
    (codec.array(["PLAIN", "ANONYMOUS"]), ["PLAIN", "ANONYMOUS"]),
    (codec.strings(["0", "1"]), ["0", "1"]),
    (codec.described(0x24, codec.sequence([])), Described(0x24, [])),
    (b"\x98" + bytes(range(16)), UUID(bytes=bytes(range(16)))),
]


@pytest.mark.parametrize(("encoded", "value"), VALUES)
def test_a_value_is_read_as_it_was_written(encoded: bytes, value: Any) -> None:
    """Each type survives, and the next value begins where this one ends."""
    assert codec.decode(encoded + b"\x40") == (value, len(encoded))


@pytest.mark.parametrize("encoded", [encoded for encoded, _ in VALUES if len(encoded) > 1])
def test_a_value_cut_short_is_refused(encoded: bytes) -> None:
    """Bytes that end inside a value are no value."""
    with pytest.raises(DecodeError):
        codec.decode(encoded[:-1])


def test_noise_is_refused_without_another_error() -> None:
    """Whatever comes over the wire is a performative or a DecodeError."""
    noise = random.Random(5)
    refused = 0

    for _ in range(3_000):
        try:
            codec.decode_performative(b"\x00\x53\x14" + noise.randbytes(noise.randint(0, 40)))
        except DecodeError:
            refused += 1

    assert refused > 2_000


def test_the_sdk_reads_performatives_in_full_length() -> None:
    """Every field is there: the SDK takes them by index."""
    body = codec.performative(codec.ATTACH, codec.string("a"), codec.uint(7), codec.TRUE)

    _, fields = decode_frame(memoryview(body))

    assert fields == [b"a", 7, True, *[None] * 11]


def test_the_sdk_reads_a_transfer_with_its_payload() -> None:
    """The head that is packed in one go says what a transfer says."""
    head = transfer_head(5, 1, 7, 8, settled=True, more=False)

    _, fields = decode_frame(memoryview(head[8:] + b"hello"))

    assert fields[:6] == [7, 8, b"\x00\x00\x00\x08", 0, True, False]
    assert bytes(fields[11]) == b"hello"
    assert int.from_bytes(head[:4]) == len(head) + 5


def test_performatives_of_the_sdk_are_filled_up() -> None:
    """What a client leaves out is None."""
    _, encoded = encode_frame(DetachFrame(handle=3, closed=True, error=None))

    assert encoded is not None
    said = codec.decode_performative(bytes(encoded))

    assert (said.code, said.fields) == (codec.DETACH, [3, True, None])
