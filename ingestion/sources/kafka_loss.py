"""Whether messages are missing before the next one of a partition, and what to tell a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from confluent_kafka import KafkaError, Message

from payflow.lib.errors import PositionLost

#: errors that say something of one partition, by the names that librdkafka gives its own
EOF: Final = KafkaError._PARTITION_EOF  # noqa: SLF001  the names of librdkafka's own errors
RESET: Final = KafkaError._AUTO_OFFSET_RESET  # noqa: SLF001
TRUNCATED: Final = KafkaError._LOG_TRUNCATION  # noqa: SLF001
UNREADABLE: Final = frozenset(
    {
        KafkaError._BAD_MSG,  # noqa: SLF001
        KafkaError._BAD_COMPRESSION,  # noqa: SLF001
        KafkaError._NOT_IMPLEMENTED,  # noqa: SLF001
    }
)
OF_PARTITIONS: Final = UNREADABLE | {EOF, RESET, TRUNCATED}
#: answers to a question about a partition that nobody leads now, or that is not there
LEADERLESS: Final = frozenset(
    {
        KafkaError._DESTROY_BROKER,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)


def gone(*, partition: str, expected: int, first: int, end: int) -> PositionLost | None:
    """By what the partition holds now: from offset `first` to before `end`; None: nothing is."""
    if expected < first:
        detail = (
            f"The topic begins at offset {first} now: those before it expired, or were deleted, "
            f"before offset {expected} was read."
        )
        return PositionLost(partition=partition, lost=first - expected, detail=detail)
    if expected > end:
        detail = (
            f"The partition ends at offset {end}, behind offset {expected}: "
            "the topic was made anew, or the broker lost its end."
        )
        return PositionLost(partition=partition, lost=None, detail=detail)
    return None


def no_such_partition(*, partition: str, topic: str) -> PositionLost:
    """The topic was made anew with fewer."""
    detail = f"The topic {topic} has no such partition any more."
    return PositionLost(partition=partition, lost=None, detail=detail)


def truncated(*, partition: str) -> PositionLost:
    """Another broker took over that did not have the end."""
    detail = "The broker lost its end and took other messages in its place."
    return PositionLost(partition=partition, lost=None, detail=detail)


def unreadable(*, partition: str, expected: int, why: str) -> PositionLost:
    """The broker's own copy is broken: it gave the same bytes twice."""
    detail = f"What the broker holds from offset {expected} on cannot be read ({why})."
    return PositionLost(partition=partition, lost=None, detail=detail)


def first_hole(messages: Sequence[Message], *, expected: int) -> tuple[int, int, int]:
    """Where it is: index of the message behind it, the offset expected there, and the one found.

    The last is -1 when there is none. Messages before what is expected do not count.
    """
    for index, message in enumerate(messages):
        offset = message.offset() or 0
        if offset > expected:
            return index, expected, offset
        expected = max(expected, offset + 1)
    return len(messages), expected, -1


def hole(*, partition: str, expected: int, found: int, why: str) -> PositionLost:
    """Offsets are missing in the middle, and `why` that is not taken for normal."""
    detail = (
        f"Offset {expected} should come next and {found} came. {why} "
        f"Go on at offset {found}, or set gaps to allow."
    )
    return PositionLost(partition=partition, lost=found - expected, detail=detail)
