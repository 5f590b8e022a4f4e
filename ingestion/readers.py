"""One source as one drainer reads it: its consumer, the partitions held, and the bundle it runs."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from configuration.models import Source
from ingestion.broker_calls import BrokerCalls, Call
from ingestion.bundles import CompiledBundle
from ingestion.leases import Lease
from ingestion.sources.base import Checkpoint, MessageConsumer

#: seconds before the next try: doubled with each failure in a row, up to the maximum
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_MAX_S: Final = 5.0
#: the same for one partition, which a reader outside payflow may take again and again
SETBACK_MAX_S: Final = 30.0
#: seconds after its last try for which a setback says something about its source
SETBACK_LASTS_S: Final = 60.0
#: seconds that a broker which had failed must hold before it counts as well, without messages:
#: some say yes to a connection, and no to the reader on it a moment later
PROBATION_S: Final = 3.0


def backoff_s(failures: int, *, at_most: float = BACKOFF_MAX_S) -> float:
    """Seconds to wait after so many failures in a row: up to half less, by chance.

    Workers that lost one broker at one moment do not come back at one moment.
    """
    longest = min(at_most, BACKOFF_FIRST_S * 2.0 ** min(failures, 32))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  nothing secret


@dataclass(slots=True)
class Setback:
    """A partition that could not be read, or that a reader outside payflow took."""

    times: int = 0
    #: monotonic time before which it is left alone
    retry_at: float = 0.0


@dataclass(slots=True)
class SourceReader:
    """One source as this process reads it: its consumer and what it holds of it."""

    source: Source
    consumer: MessageConsumer
    #: every call of the consumer goes through here
    calls: BrokerCalls
    #: of the settings that the consumer has, or that were refused last
    settings_serial: int = 0
    #: leases held, by partition name
    held: dict[str, Lease] = field(default_factory=dict)
    #: number of the call that assigned each of them
    assigned: dict[str, int] = field(default_factory=dict)
    #: partitions that committed under the lease held now
    proven: set[str] = field(default_factory=set)
    #: partitions that could not be read though their source could, until they commit
    setbacks: dict[str, Setback] = field(default_factory=dict)
    #: the last good one: every batch is evaluated under exactly this
    bundle: CompiledBundle | None = None
    #: (bundle id, serial) of the source's row that was answered last
    answered: tuple[int, int] | None = None
    #: monotonic time at which a bundle that does not load is tried again; None if the last did
    load_again_at: float | None = None
    #: the broker answered the last `connect()`, and nothing failed since
    is_open: bool = False
    #: monotonic time since when
    opened_at: float = 0.0
    failures: int = 0
    #: monotonic time before which the broker is left alone
    retry_at: float = 0.0
    #: monotonic time of the last failure: calls that were begun before it fail for the same reason
    failed_at: float = 0.0
    #: messages that it is behind in all it holds, as of its last answer; None: not known since
    #: something was read or assigned
    behind: int | None = None
    #: monotonic time before which partitions that nobody reads are not looked at
    look_at: float = 0.0

    @property
    def is_resting(self) -> bool:
        return time.monotonic() < self.retry_at

    @property
    def may_look(self) -> bool:
        """Whether the broker can be asked about partitions that nobody reads."""
        is_due = time.monotonic() >= self.look_at
        return self.is_open and is_due and not self.calls.is_under_way("unread")

    @property
    def is_set_back(self) -> bool:
        """Whether some partition could not be read lately."""
        earliest = time.monotonic() - SETBACK_LASTS_S
        return any(setback.retry_at >= earliest for setback in self.setbacks.values())

    def open(self) -> None:
        """The broker has answered."""
        if not self.is_open:
            self.is_open = True
            self.opened_at = time.monotonic()

    def has_recovered(self, *, has_messages: bool) -> bool:
        """Whether the broker may be called well now; its failures are forgotten then."""
        if has_messages or time.monotonic() >= self.opened_at + PROBATION_S:
            self.failures = 0
        return self.failures == 0

    def may_take(self, partition: str) -> bool:
        """Whether a lease of this partition is of use here now."""
        setback = self.setbacks.get(partition)
        return self.is_open and (setback is None or time.monotonic() >= setback.retry_at)

    def set_back(self, partition: str) -> float:
        """Leave a partition alone for a while; returns the monotonic time of the next try."""
        setback = self.setbacks.setdefault(partition, Setback())
        setback.times += 1
        delay = backoff_s(setback.times, at_most=SETBACK_MAX_S)
        setback.retry_at = time.monotonic() + delay
        return setback.retry_at

    def prove(self, partition: str) -> None:
        """It has committed: whatever it met before is over."""
        self.proven.add(partition)
        self.setbacks.pop(partition, None)

    def reopen(self, consumer: MessageConsumer, calls: BrokerCalls) -> None:
        """Go on with another consumer; nothing may be held."""
        self.consumer, self.calls = consumer, calls
        self.is_open = False
        self.failures = 0
        self.retry_at = self.failed_at = self.look_at = 0.0
        self.setbacks.clear()

    def assign(self, lease: Lease, *, then: Callable[[Call], None]) -> None:
        """Hold a partition, and tell the consumer where to read on; `then` hears how that ended."""
        self.held[lease.partition] = lease
        self.behind = None
        checkpoint = Checkpoint(
            partition=lease.partition,
            position=lease.position,
            sequence_number=lease.sequence_number,
            broker_offset=lease.broker_offset,
            shift=lease.shift,
            epoch=lease.epoch,
        )
        self.assigned[lease.partition] = self.calls.begin(
            f"assign {lease.partition} {lease.epoch}",
            partial(self.consumer.checkpoint, checkpoint),
            then=then,
        )

    def drop(self, partition: str) -> None:
        """Forget a partition, whatever its row says."""
        self.held.pop(partition, None)
        self.assigned.pop(partition, None)
        self.proven.discard(partition)
        self.calls.post(partial(self.consumer.release, partition))
