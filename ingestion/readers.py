"""One source as one drainer reads it: its consumer, the partitions held, and the bundle it runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from configuration.models import Source
from ingestion.bundles import CompiledBundle
from ingestion.leases import Lease
from ingestion.sources.base import MessageConsumer

#: seconds before the next try: doubled with each failure in a row, up to the maximum
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_MAX_S: Final = 5.0


def backoff_s(failures: int) -> float:
    """Seconds to wait after so many failures in a row."""
    return min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0**failures)


@dataclass(slots=True)
class SourceReader:
    """One source as this process reads it: its consumer and what it holds of it."""

    source: Source
    consumer: MessageConsumer
    #: leases held, by partition name
    held: dict[str, Lease] = field(default_factory=dict)
    #: partitions that committed under the lease held now
    proven: set[str] = field(default_factory=set)
    #: the last good one: every batch is evaluated under exactly this
    bundle: CompiledBundle | None = None
    #: (bundle id, serial) of the source's row that was answered last
    answered: tuple[int, int] | None = None
    #: monotonic time at which a bundle that does not load is tried again; None if the last did
    load_again_at: float | None = None
    failures: int = 0
    #: monotonic time before which the broker is left alone
    retry_at: float = 0.0

    @property
    def is_resting(self) -> bool:
        return time.monotonic() < self.retry_at

    def drop(self, partition: str) -> None:
        """Forget a partition, whatever its row says."""
        self.held.pop(partition, None)
        self.proven.discard(partition)
        self.consumer.release(partition)
