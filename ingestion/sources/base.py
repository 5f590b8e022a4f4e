"""What every source of messages is: a batch in columns, a position, and a consumer that gives both.

A position always names the *next* message. The checkpoint in PostgreSQL is the truth; a consumer is
told where to read on and never stores where it stands.
"""

from __future__ import annotations

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, NoReturn

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message as the broker gave it, with its coordinates."""

    #: "<source>/<partition>/<offset>", unique for as long as the broker keeps its offsets
    message_id: str
    #: header `correlation_id`, or the message id where there is none
    correlation_id: str
    #: the broker's time, UTC (files: the load time)
    timestamp: datetime
    headers: Mapping[str, str]
    body: bytes
    offset: str
    sequence_number: int

    def get_body_as_dict(self) -> dict[str, Any]:
        """The body as a JSON object, fractions as Decimal; ValueError when it is anything else."""
        try:
            value = json.loads(
                self.body.decode(), parse_float=Decimal, parse_constant=_refuse_constant
            )
        except (ValueError, RecursionError):
            # The cause would carry payload text: json keeps the document, the codec its bytes.
            raise ValueError("the body is not JSON") from None
        if not isinstance(value, dict):
            raise ValueError("the body is not a JSON object")  # noqa: TRY004 - one error for callers
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageBatch:
    """Messages of one partition in the broker's order, as parallel lists."""

    source: str
    partition: str
    broker_type: str
    #: uuid4 hex, for logs only
    batch_id: str
    #: the checkpoint this batch expects: where reading stood before it, the previous batch's
    #: `next_position`. The first message lies at or after it (a broker's ids may have holes).
    position: str
    #: the checkpoint after this batch
    next_position: str
    #: number of the first message, counted from the partition's start by our own checkpoint
    sequence_number: int
    #: arrival of the first message in this process, UTC
    received_at: datetime
    #: the broker's name of each message, e.g. "1731-0" (redis) or "17" (record of a file)
    offsets: list[str]
    #: broker time of each message, microseconds since 1970 UTC (files: the load time)
    times_us: list[int]
    bodies: list[bytes]
    #: what the broker calls the last message where it is more than `offsets` say, else ""
    broker_offset: str = ""
    #: None: no message of the batch has one
    keys: list[bytes | None] | None = None
    #: each a JSON object as the producer wrote it, unchecked; None: no message has one
    headers: list[bytes | None] | None = None

    def __len__(self) -> int:
        return len(self.bodies)

    def __iter__(self) -> Iterator[Message]:
        """The same messages one by one, for people and rare paths; the fast path uses the lists."""
        for index, body in enumerate(self.bodies):
            headers = parse_headers(self.headers[index]) if self.headers else {}
            message_id = f"{self.source}/{self.partition}/{self.offsets[index]}"
            yield Message(
                message_id=message_id,
                correlation_id=headers.get("correlation_id", message_id),
                timestamp=_EPOCH + timedelta(microseconds=self.times_us[index]),
                headers=headers,
                body=body,
                offset=self.offsets[index],
                sequence_number=self.sequence_number + index,
            )

    def with_bodies(
        self,
        bodies: list[bytes],
        *,
        keys: list[bytes | None] | None,
        headers: list[bytes | None] | None,
    ) -> MessageBatch:
        """The same coordinates with other bytes (what scrub gave back)."""
        return dataclasses.replace(self, bodies=bodies, keys=keys, headers=headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Where to read on: what the partition's row in PostgreSQL says."""

    partition: str
    #: of the next message
    position: str
    #: number of messages committed before it
    sequence_number: int
    #: `MessageBatch.broker_offset` of the batch before it; "" at the beginning and after a seek
    broker_offset: str = ""
    #: messages that the broker counts before the position, less those that we committed: what
    #: seeks have skipped (repeated: below 0)
    shift: int = 0
    #: of the lease: a reader with a higher one cuts the others off, where the broker can do that
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """A batch closes when the first of these is reached."""

    messages: int = 10_000
    #: of bodies, keys and headers; one message larger than this is a batch of its own
    bytes: int = 8 * 2**20
    #: after the first message arrived here
    linger_s: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far reading is behind the end of a partition."""

    events: int
    #: age of the oldest message that was not handed out yet, by the broker's clock; 0 if none
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a partition holds now, as positions."""

    #: of the oldest message that is still there; where an empty partition goes on
    first: str
    #: where the next message will be
    end: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStep:
    """One thing that must hold for a source to be read, and whether it does."""

    #: what was looked at, e.g. "DNS", "TLS", "Credentials", "Topic", "Consumer group"
    name: str
    #: None: not looked at, because a step before it failed
    is_ok: bool | None
    #: what was found or what is wrong, without a secret; what to do about it
    detail: str = ""


class MessageConsumer(ABC):
    """Reads assigned partitions of one source; one per source and process, not thread-safe.

    Every method may raise SourceUnavailable: call `connect()` again and read on. Assignments
    outlive a lost connection, and reading goes on behind the last batch handed out. A caller that
    did not commit that batch calls `checkpoint()` to read it again.
    """

    broker_type: ClassVar[str]
    #: settings that name the log itself: the checkpoints belong to it, so they never change
    LOG_FIELDS: ClassVar[frozenset[str]]

    @classmethod
    @abstractmethod
    def parse_settings(cls, settings: Mapping[str, Any]) -> Any:
        """The source's settings as a frozen object; raises ConfigurationError, one Problem a field.

        Pure: no environment, no network. References (`env:NAME`) are resolved by `connect()`.
        """

    @abstractmethod
    def __init__(self, *, source: str, settings: Any) -> None:
        """`settings` as `parse_settings` gave them; does not connect."""

    @abstractmethod
    def connect(self) -> None:
        """(Re)open the connection; raises SourceUnavailable."""

    @abstractmethod
    def disconnect(self) -> None:
        """Close it; never raises. Assignments stay."""

    @property
    @abstractmethod
    def is_connected(self) -> bool:
        """Whether `connect()` succeeded and nothing failed since."""

    @abstractmethod
    def partitions(self) -> list[str]:
        """Names of the partitions that the broker has now."""

    @abstractmethod
    def first_position(self, partition: str) -> str:
        """Where a partition that nobody has read begins."""

    @abstractmethod
    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Assign a partition, or assign it anew, and read on from there.

        What was buffered for it is dropped. Raises PositionLost when the broker no longer holds
        that position. After any error the partition is not assigned.
        """

    @abstractmethod
    def release(self, partition: str) -> None:
        """Stop reading a partition; unknown ones are ignored."""

    @abstractmethod
    def consume_batch(self, *, wait_s: float) -> MessageBatch | None:
        """The next non-empty batch of any assigned partition, in turn; None after `wait_s`.

        Raises PositionLost when messages nobody read are gone: that partition is released, the
        others go on with the next call.
        """

    @abstractmethod
    def acknowledge_batch(self, batch: MessageBatch) -> None:
        """Tell the broker that our commit holds the batch; failures are logged, never raised."""

    @abstractmethod
    def lag(self) -> dict[str, Lag]:
        """Of each assigned partition, behind what was handed out. One round trip."""

    # --- what a partition holds, assigned or not -------------------------------------------------

    @abstractmethod
    def bounds(self, partition: str) -> Bounds:
        """What it holds now, by one look at the broker."""

    @abstractmethod
    def position_at(self, partition: str, moment: datetime) -> str:
        """Of the first message at or after that broker time; the end when there is none."""

    @abstractmethod
    def count_between(self, partition: str, start: str, end: str) -> int | None:
        """Messages held from `start` to before `end`; None when the broker cannot tell."""

    def counted_before(self, partition: str, position: str) -> int | None:  # noqa: ARG002
        """Messages that the broker ever took before a position, where it compares counters.

        `Checkpoint.shift` is this less `Checkpoint.sequence_number`. None: no such broker.
        """
        return None

    @abstractmethod
    def diagnose(self) -> list[ConnectionStep]:
        """What must hold for this source to be read, in order, on a connection of its own.

        Never raises, takes 10 seconds at most; also before `connect()` and when it fails.
        """


def position_key(position: str) -> tuple[int, ...]:
    """What positions of one partition are ordered by; ValueError when it is no position."""
    return tuple(map(int, position.split("-")))


def parse_headers(raw: bytes | None) -> dict[str, str]:
    """Headers as text; whatever is no JSON object counts as none, values keep their JSON text."""
    if not raw:
        return {}
    try:
        value = json.loads(raw.decode())
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in value.items()}


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")
