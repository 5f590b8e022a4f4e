"""Every error of payflow: one tree, so that a caller can tell a bad world from a wrong request.

A bad *message* is never an exception; it is a value (a failed item with its reasons).
"""

from __future__ import annotations

from dataclasses import dataclass


class PayflowError(Exception):
    """Something went wrong in payflow."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])


class Retryable(PayflowError):
    """The world is bad for now: nothing was written, the same call may succeed later."""


class Permanent(PayflowError):
    """The same call will fail again until a person changes something."""


class CheckpointMoved(Retryable):
    """Another drainer owns this partition or has moved its checkpoint; nothing was written."""


class LeafEnded(Retryable):
    """The ids of this batch would leave the leaf that is being written."""


class LeafMissing(Retryable):
    """No leaf of the partitioned tables covers the current time."""


class StorageError(Retryable):
    """The archive or the database did not take what was written."""


class SourceUnavailable(Retryable):
    """The broker does not answer."""


class BundleMissing(Retryable):
    """The source has no active bundle, or it cannot be loaded."""


class BackPressure(Retryable):
    """The stream is full: consumers are behind and the producer has to wait."""


class DuplicateTransactionError(Retryable):
    """Another commit stored an event with one of these keys in the meantime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong in a configuration document."""

    #: JSON pointer (RFC 6901) to the place, e.g. "/columns/amount/unit"
    pointer: str
    message: str
    #: of the text it was read from, from 1; 0: not known
    line: int = 0

    def __str__(self) -> str:
        where = self.pointer if self.line else self.pointer or "/"
        line = f"line {self.line}" if self.line else ""
        return f"{', '.join(filter(None, (line, where)))}: {self.message}"


class PartitionTaken(Retryable):
    """Another reader with a higher epoch has cut this one off from a partition."""

    def __init__(self, *, partition: str, detail: str = "") -> None:
        self.partition = partition
        super().__init__(f"another reader took partition {partition}. {detail}".strip())


class MessageTooLarge(Permanent):
    """A message is larger than the broker takes."""


class ConfigurationError(Permanent):
    """A configuration document is wrong; nothing of it is live."""

    def __init__(self, problems: list[Problem] | Problem) -> None:
        self.problems = [problems] if isinstance(problems, Problem) else problems
        super().__init__("; ".join(map(str, self.problems)))


class PositionLost(Permanent):
    """The broker no longer holds the position that comes next; a person has to decide."""

    def __init__(self, *, partition: str, lost: int | None, detail: str = "") -> None:
        self.partition = partition
        #: number of messages known to be lost, None when the broker cannot tell
        self.lost = lost
        count = "an unknown number of" if lost is None else f"{lost:,}"
        super().__init__(f"lost {count} messages of partition {partition}. {detail}".strip())
