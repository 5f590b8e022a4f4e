"""What a drainer does when a broker does not give what it should.

A broker that is away is left alone for a while, its leases kept. A partition whose messages are
gone stops for a person. A partition that another reader took is let go. Whatever happens to one
partition or source, the others go on.
"""

from __future__ import annotations

import logging
import math
import time
import traceback

from ingestion import leases
from ingestion.broker_calls import Call
from ingestion.connections import Connections, Kind
from ingestion.leases import Lease
from ingestion.readers import SourceReader, backoff_s
from payflow.lib.errors import (
    CheckpointMoved,
    ConfigurationError,
    PartitionTaken,
    PayflowError,
    Permanent,
    PositionLost,
)

logger = logging.getLogger(__name__)


class Troubles:
    """Judges the calls that failed."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def failed(self, reader: SourceReader, call: Call) -> None:
        """A call about a whole source; it may tell of one partition."""
        error = call.error
        if isinstance(error, PositionLost | PartitionTaken):
            # of the lease and position before: a person may have moved it on since, or a new
            # lease may have cut off the old one
            if call.number < reader.assigned.get(error.partition, math.inf):
                return
            if isinstance(error, PositionLost):
                self._lost(reader, error)
            else:
                self._taken(reader, error)
        elif error is not None and call.began_at >= reader.failed_at:
            self._unavailable(reader, _text(error))

    def assigned(self, reader: SourceReader, lease: Lease, call: Call) -> None:
        """A partition's assignment; nothing when it went well or the partition was let go."""
        error = call.error
        if error is None or reader.held.get(lease.partition) is not lease:
            return
        if isinstance(error, PositionLost):
            self._lost(reader, error)
        elif isinstance(error, PartitionTaken):
            self._taken(reader, error)
        elif isinstance(error, ValueError) or (
            isinstance(error, Permanent) and not isinstance(error, ConfigurationError)
        ):
            self._stop(reader, lease, _text(error))
        else:
            self._put_off(reader, lease, _text(error))

    def _unavailable(self, reader: SourceReader, text: str) -> None:
        """The broker is away: keep the leases, leave it alone for a while."""
        reader.failures += 1
        delay = backoff_s(reader.failures)
        reader.failed_at = time.monotonic()
        reader.retry_at = reader.failed_at + delay
        reader.is_open = False
        reader.behind = None
        source = reader.source
        logger.warning(
            "source does not answer",
            extra={"action": "source_unavailable", "source": source.name, "delay_s": delay},
        )
        self._connections.failed(source.pk, text, retry_at=reader.retry_at)
        self._connections.note(source.pk, Kind.CONNECTION, text)
        reader.calls.post(reader.consumer.disconnect)
        leases.note_errors(list(reader.held.values()), error=text)

    def _put_off(self, reader: SourceReader, lease: Lease, text: str) -> None:
        """One partition cannot be read now: the others of its source may be."""
        name = lease.partition
        source = reader.source.pk
        retry_at = reader.set_back(name)
        self._connections.note(source, Kind.CONNECTION, text, partition=name)
        leases.note_errors([lease], error=text)
        leases.release(lease)
        reader.drop(name)
        if not reader.held:
            reader.failures += 1
            self._connections.failed(source, text, retry_at=retry_at)

    def _lost(self, reader: SourceReader, exc: PositionLost) -> None:
        """Messages are gone: a person has to decide."""
        lease = reader.held.get(exc.partition)
        if lease is None:
            return
        self._connections.note(reader.source.pk, Kind.POSITION, str(exc), partition=exc.partition)
        self._stop(reader, lease, str(exc), lost=exc.lost)

    def _stop(
        self, reader: SourceReader, lease: Lease, reason: str, *, lost: int | None = None
    ) -> None:
        logger.error(
            "partition stopped: it cannot be read on",
            extra={
                "action": "partition_stopped",
                "source": lease.source,
                "partition": lease.partition,
                "lost": lost,
            },
        )
        leases.stop(lease, reason=reason)
        reader.drop(lease.partition)

    def _taken(self, reader: SourceReader, exc: PartitionTaken) -> None:
        """Another reader cut us off. One of ours has a newer lease, and all is well."""
        lease = reader.held.get(exc.partition)
        if lease is None:
            return
        try:
            leases.renew_idle(lease)
        except CheckpointMoved:
            reader.drop(lease.partition)
            return
        reader.set_back(lease.partition)
        text = f"A reader outside payflow took partition {lease.partition}."
        if reader.setbacks[lease.partition].times > 1:
            text += " It does so again and again: give payflow a consumer group of its own."
        logger.warning(
            "a foreign reader took a partition",
            extra={
                "action": "partition_taken",
                "source": lease.source,
                "partition": lease.partition,
            },
        )
        self._connections.note(reader.source.pk, Kind.TAKEN, text, partition=lease.partition)
        leases.note_errors([lease], error=text)
        leases.release(lease)
        reader.drop(lease.partition)


def _text(error: BaseException) -> str:
    """What went wrong; an error that is not ours may quote a payload, so it is only named."""
    if isinstance(error, PayflowError):
        # a broker's own words may be in it, also such as no database can hold
        words = str(error).replace("\0", "?")
        return words.encode(errors="replace").decode()
    logger.error(
        "a broker's client failed",
        extra={
            "action": "broker_client_failed",
            "error": type(error).__name__,
            "frames": traceback.format_tb(error.__traceback__)[-6:],
        },
    )
    return f"{type(error).__name__} in the broker's client: the worker's log has more."
