"""Whether messages are missing before the next one of a partition, and what to tell a person."""

from __future__ import annotations

from payflow.lib.errors import PositionLost


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


def hole(*, partition: str, expected: int, found: int, why: str) -> PositionLost:
    """Offsets are missing in the middle, and `why` that is not taken for normal."""
    detail = (
        f"Offset {expected} should come next and {found} came. {why} "
        f"Go on at offset {found}, or set gaps to allow."
    )
    return PositionLost(partition=partition, lost=found - expected, detail=detail)
