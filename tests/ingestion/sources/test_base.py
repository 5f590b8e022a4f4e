"""The values that every source gives."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from ingestion.sources.base import Message, MessageBatch


def _batch(*bodies: bytes, headers: list[bytes | None] | None = None) -> MessageBatch:
    return MessageBatch(
        source="s",
        partition="0",
        broker_type="t",
        batch_id="b",
        position="0",
        next_position=str(len(bodies)),
        sequence_number=40,
        received_at=datetime(2026, 3, 1, tzinfo=UTC),
        offsets=[str(n) for n in range(len(bodies))],
        times_us=[1_767_225_600_123_456] * len(bodies),
        bodies=list(bodies),
        headers=headers,
    )


def _message(body: bytes) -> Message:
    return next(iter(_batch(body)))


def test_a_message_has_its_coordinates():
    """Id, time and number come from the batch."""
    _, second = _batch(b"1", b"2", headers=[None, b'{"correlation_id": "c"}'])

    assert second.message_id == "s/0/1"
    assert second.correlation_id == "c"
    assert second.timestamp == datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    assert second.sequence_number == 41


def test_an_amount_is_never_a_float():
    """Fractions keep every digit."""
    assert _message(b'{"amount": 0.1000}').get_body_as_dict() == {"amount": Decimal("0.1000")}


@pytest.mark.parametrize(
    "body",
    [
        b"4111111111111111 is no JSON",
        b'{"card": "4111111111111111"',
        b'{"card": "4111111111111111\xff"}',
        b'["4111111111111111"]',
        b'{"card4111111111111111": NaN}',
        b'{"n": 4111111111111111' + b"1" * 5000 + b"}",
        b"[" * 100_000,
        b"",
    ],
)
def test_what_is_no_object_is_a_value_error_without_payload(body: bytes):
    """Whatever the bytes are; the traceback, which may be logged, repeats none of them."""
    with pytest.raises(ValueError, match="not") as caught:
        _message(body).get_body_as_dict()

    assert "4111" not in "".join(traceback.format_exception(caught.value))


def test_other_bytes_keep_their_coordinates():
    """What scrub gave back replaces the columns, nothing else."""
    batch = _batch(b"1", b"2")

    scrubbed = batch.with_bodies([b"*", b"2"], keys=[b"k", None], headers=None)

    assert (scrubbed.bodies, scrubbed.keys) == ([b"*", b"2"], [b"k", None])
    assert (scrubbed.offsets, scrubbed.position) == (batch.offsets, batch.position)
    assert batch.bodies == [b"1", b"2"]
