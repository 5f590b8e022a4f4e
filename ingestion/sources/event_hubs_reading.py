"""What was read of one partition of a hub and not handed out yet, as columns."""

from __future__ import annotations

import itertools
import time
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from ingestion.sources.base import BatchLimits
from ingestion.sources.event_hubs_link import PartitionLink
from ingestion.sources.event_hubs_message import (
    ENQUEUED_TIME,
    OFFSET,
    PARTITION_KEY,
    SEQUENCE_NUMBER,
    body_of,
    headers_of,
)
from payflow.lib.event_hubs_connection import PartitionLook

#: bytes of one partition that may be on their way or wait here
BUDGET_BYTES: Final = 16 * 2**20
#: messages that the hub may send before it is asked again: enough for any distance to Azure
MAX_CREDIT: Final = 2_000
#: messages that wait here before the hub may send no more
MAX_WAITING: Final = 12_000
#: a message of which nothing is known is taken to be this large
UNKNOWN_SIZE: Final = 64 * 2**10


@dataclass(slots=True)
class HubColumns:
    """Events in parallel lists; their sequence numbers follow each other."""

    #: sequence number of the first
    first: int
    times_us: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    headers: list[bytes | None] = field(default_factory=list)
    #: the broker's own name of each
    broker_offsets: list[bytes] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.bodies)

    @property
    def end(self) -> int:
        """Sequence number of the event that comes next."""
        return self.first + len(self.bodies)

    def cut(self, limits: BatchLimits) -> HubColumns:
        """Take the first events within the limits, one at least."""
        fitting = bisect_right(list(itertools.accumulate(self.sizes)), limits.bytes)
        count = max(1, min(limits.messages, fitting))
        taken = HubColumns(self.first)
        for name in ("times_us", "bodies", "keys", "headers", "broker_offsets", "sizes"):
            column = getattr(self, name)
            setattr(taken, name, column[:count])
            del column[:count]
        self.first += count
        return taken


@dataclass(slots=True, kw_only=True)
class HubReading:
    """One assigned partition: where it stands, its link, and what was read ahead."""

    partition: str
    #: of the lease: the hub cuts off readers with a lower one
    epoch: int
    #: number of the next message to hand out, counted by our checkpoints
    sequence_number: int
    columns: HubColumns
    #: the broker's name of the event before the first in `columns`; "" if it is not known
    broker_offset: str = ""
    link: PartitionLink | None = None
    #: the sequence number that the link was opened at; None if it was opened at an offset
    opened_at: int | None = None
    #: whether the hub was asked that it still has what comes next
    is_checked: bool = False
    #: the sequence number that came where another was expected
    gap: int | None = None
    size: int = 0
    largest: int = UNKNOWN_SIZE
    #: when the first waiting message came, on the monotonic clock and in UTC
    arrived: float = 0.0
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    #: the hub's last answer about the partition
    seen: PartitionLook | None = None

    def is_full(self, limits: BatchLimits) -> bool:
        """Whether more than fits a batch waits."""
        return len(self.columns) >= limits.messages or self.size >= limits.bytes

    def reset(self) -> None:
        """Forget the link and what was read ahead."""
        if self.link is not None:
            self.link.close()
        self.link, self.opened_at, self.gap, self.is_checked = None, None, None, False
        self.columns, self.size = HubColumns(self.columns.first), 0

    def ask_for_more(self) -> None:
        """Keep the link busy, within what may wait here."""
        if self.link is None or self.gap is not None:
            return
        room = min(MAX_WAITING - len(self.columns), (BUDGET_BYTES - self.size) // self.largest)
        wanted = min(MAX_CREDIT, room)
        if wanted > 0 and self.link.credit <= wanted // 2:
            self.link.allow(wanted)

    def take(self) -> None:
        """Take over what came by the link, up to a sequence number that is not the next one."""
        messages = self.link.take() if self.link is not None else []
        if not messages or self.gap is not None:
            return
        if not self.columns.bodies:
            self.arrived, self.received_at = time.monotonic(), datetime.now(UTC)
        before = len(self.columns)
        self._append(messages)
        sizes = self.columns.sizes[before:]
        if sizes:
            self.size += sum(sizes)
            self.largest = max(*sizes, self.largest * 3 // 4, 256)

    def _append(self, messages: list[Any]) -> None:
        columns = self.columns
        expected = columns.end
        for message in messages:
            annotations = message.message_annotations
            if annotations[SEQUENCE_NUMBER] != expected:
                self.gap = annotations[SEQUENCE_NUMBER]
                return
            expected += 1
            body = body_of(message)
            key = annotations.get(PARTITION_KEY)
            headers = None
            if message.application_properties or message.properties:
                headers = headers_of(message)
            columns.times_us.append(annotations[ENQUEUED_TIME] * 1000)
            columns.bodies.append(body)
            columns.keys.append(key)
            columns.headers.append(headers)
            columns.broker_offsets.append(annotations[OFFSET])
            columns.sizes.append(len(body) + len(key or b"") + len(headers or b""))
