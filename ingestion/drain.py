"""drain(): the loop that Celery's seats, `manage.py drain` and `ingest_file` all run.

    1. Once a second   say that we live, take or give back partitions for a fair share
    2. Every poll      read which bundle each source runs now
    3. Every batch     process() it (pipeline.py), acknowledge it
    4. A bad world     forget what was read, back off, read the checkpoint again

Everything it knows can be lost at any moment: the truth is in the partitions' rows.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from configuration.models import Source
from ingestion import archive, leases
from ingestion.bundles import CompiledBundle, load_bundle
from ingestion.leases import Lease
from ingestion.models import Partition
from ingestion.pipeline import Committed, process
from ingestion.sources.base import Checkpoint, MessageBatch, MessageConsumer
from ingestion.sources.factory import ConsumerFactory
from payflow.lib.errors import (
    BundleMissing,
    CheckpointMoved,
    ConfigurationError,
    PositionLost,
    Retryable,
    SourceUnavailable,
)
from payflow.lib.logs import bound

logger = logging.getLogger(__name__)

#: seconds that one poll waits for messages: also the longest wait for a stop
POLL_S: Final = 0.25
TICK_S: Final = 1.0
#: seconds between looks for partitions that a broker has gained
DISCOVER_S: Final = 10.0
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_MAX_S: Final = 5.0
_ACTIVE_BUNDLES = """
SELECT id, active_bundle_id, paused_at IS NOT NULL FROM sources WHERE id = ANY(%s)
"""
_NOTE_LAG = """
UPDATE partitions p SET lag_events = l.events, lag_seconds = l.seconds, lag_at = now()
FROM unnest(%(ids)s::bigint[], %(events)s::bigint[], %(seconds)s::float[]) AS l (id, events, seconds)
WHERE p.id = l.id
"""


@dataclass(slots=True)
class SourceReader:
    """One source as this process reads it: its consumer and what it holds of it."""

    source: Source
    consumer: MessageConsumer
    #: leases held, by partition name
    held: dict[str, Lease] = field(default_factory=dict)
    #: partitions that committed under the lease held now
    proven: set[str] = field(default_factory=set)
    bundle: CompiledBundle | None = None
    #: active, but it did not load: the last good one stays
    refused_bundle: int | None = None
    failures: int = 0
    #: monotonic time before which the broker is left alone
    retry_at: float = 0.0


class Drainer:
    """Holds a fair share of the partitions of the given sources and drains them until stopped."""

    def __init__(
        self,
        *,
        stop: threading.Event,
        sources: list[str] | None = None,
        partition: str | None = None,
        settings_of_source: Mapping[str, Any] | None = None,
        on_commit: Callable[[Committed], None] | None = None,
    ) -> None:
        """`sources` None means all that workers read; `partition` narrows it to one of them.

        `settings_of_source` stands in for the settings of the source's row (which file to read).
        """
        self.stop = stop
        self.owner = leases.new_owner()
        self._names = sources
        self._only = partition
        self._settings = settings_of_source
        self._on_commit = on_commit
        self._readers: dict[int, SourceReader] = {}
        self._slot: leases.Slot | None = None
        self._next_tick = 0.0
        self._next_discovery = 0.0
        self._renew_at = 0.0
        self._failures = 0
        self._nothing_to_read = False
        #: what went wrong with a partition while the database could not be told
        self._errors: dict[int, str] = {}

    def run(self, *, until_idle: bool = False, deadline: float | None = None) -> None:
        """Drain until stopped, until `deadline` (monotonic), or until everything is read."""
        try:
            while not self.stop.is_set() and (deadline is None or time.monotonic() < deadline):
                try:
                    busy = self._poll()
                    self._failures = 0
                except (DatabaseError, InterfaceError, Retryable) as exc:
                    self._start_over(exc)
                    continue
                if until_idle and not busy and self._everything_is_read():
                    return
        finally:
            self._leave()

    # --- one round ---------------------------------------------------------------------------

    def _poll(self) -> bool:
        """One round over all sources; True if any message was taken."""
        if time.monotonic() >= self._next_tick:
            self._tick()
        self._read_bundles()
        readers = [reader for reader in self._readers.values() if reader.held]
        if not readers:
            self.stop.wait(POLL_S)
            return False
        wait_s = POLL_S / len(readers)
        return any([self._drain_source(reader, wait_s=wait_s) for reader in readers])

    def _drain_source(self, reader: SourceReader, *, wait_s: float) -> bool:
        """Take one batch of a source, if there is one."""
        if reader.bundle is None or time.monotonic() < reader.retry_at:
            self.stop.wait(min(wait_s, 0.05))
            return False
        try:
            batch = reader.consumer.consume_batch(wait_s=wait_s)
            reader.failures = 0
        except SourceUnavailable as exc:
            self._source_failed(reader, exc)
            return False
        except PositionLost as exc:
            self._stop_partition(reader, exc)
            return False
        if batch is None or batch.partition not in reader.held:
            return False
        with bound(batch=batch.batch_id, source=batch.source, partition=batch.partition):
            self._take(reader, batch)
        return True

    def _take(self, reader: SourceReader, batch: MessageBatch) -> None:
        lease = reader.held[batch.partition]
        assert self._slot is not None  # noqa: S101  a lease is only ever taken under a slot
        assert reader.bundle is not None  # noqa: S101  checked before reading
        try:
            if batch.partition not in reader.proven:
                leases.mark_attempt(lease)
            done = process(batch, lease=lease, slot=self._slot, bundle=reader.bundle)
            reader.proven.add(batch.partition)
        except (DatabaseError, InterfaceError, Retryable) as exc:
            self._errors[lease.partition_id] = f"{type(exc).__name__}: {_first_line(exc)}"
            raise
        except Exception as exc:
            # our own bug on these bytes: counted like a death, so that it cannot loop for ever
            self._give_up_batch(reader, lease, exc)
            return
        if self._on_commit:
            self._on_commit(done)
        logger.info(
            "committed a batch",
            extra={
                "action": "batch_committed",
                "first_id": done.first_id,
                "messages": done.messages,
                "accepted": done.accepted,
                "failed": done.failed,
                "ignored": done.ignored,
                "duplicates": done.duplicates,
                "late": done.late,
            },
        )
        reader.consumer.acknowledge_batch(batch)

    # --- once a second -----------------------------------------------------------------------

    def _tick(self) -> None:
        now = time.monotonic()
        self._next_tick = now + TICK_S
        if self._slot is None:
            self._slot = leases.take_slot(self.owner)
        running = {r.source.name: r.bundle.id for r in self._readers.values() if r.bundle}
        if not leases.see(self._slot, bundles=json.dumps(running)):
            self._slot = None
            raise CheckpointMoved("the slot of this drainer was given to another")
        if now >= self._next_discovery:
            self._next_discovery = now + DISCOVER_S
            self._discover()
        for name in leases.stop_deadly_partitions():
            logger.error(
                "partition stopped: its messages killed their owners",
                extra={"action": "partition_stopped", "partition": name},
            )
        self._renew()
        self._balance()
        self._note_lag()

    def _discover(self) -> None:
        """Follow the sources that exist, and the partitions that their brokers have."""
        wanted = Source.objects.filter(active_bundle__isnull=False)
        if self._names is not None:
            wanted = wanted.filter(name__in=self._names)
        else:
            wanted = wanted.exclude(broker_type="file")
        for source in wanted:
            if source.pk not in self._readers:
                self._open(source)
        for reader in self._readers.values():
            if self._only is None:
                self._add_partitions(reader)

    def _open(self, source: Source) -> None:
        try:
            consumer = ConsumerFactory.create(
                source.broker_type, source=source.name, settings=self._settings or source.settings
            )
        except ConfigurationError:
            logger.exception(
                "source has wrong settings",
                extra={"action": "source_misconfigured", "source": source.name},
            )
            return
        self._readers[source.pk] = SourceReader(source=source, consumer=consumer)

    def _add_partitions(self, reader: SourceReader) -> None:
        try:
            if not reader.consumer.is_connected:
                reader.consumer.connect()
            names = reader.consumer.partitions()
            known = set(
                Partition.objects.filter(source=reader.source).values_list("name", flat=True)
            )
            Partition.objects.bulk_create(
                [
                    Partition(
                        source=reader.source,
                        name=name,
                        position=reader.consumer.first_position(name),
                    )
                    for name in names
                    if name not in known
                ],
                ignore_conflicts=True,
            )
        except SourceUnavailable as exc:
            self._source_failed(reader, exc)

    def _renew(self) -> None:
        """Renew what no commit has renewed for a third of the lease."""
        if time.monotonic() < self._renew_at:
            return
        self._renew_at = time.monotonic() + settings.PAYFLOW["LEASE_S"] / 3
        for reader in self._readers.values():
            for name, lease in list(reader.held.items()):
                try:
                    leases.renew_idle(lease)
                except CheckpointMoved:
                    self._drop(reader, name)

    def _balance(self) -> None:
        """Hold ceil(partitions / live drainers) of the active partitions of unpaused sources."""
        rows = [
            row
            for row in Partition.objects.filter(
                source__in=list(self._readers), state="active", source__paused_at=None
            )
            .order_by("leased_until", "id")
            .values_list("id", "source_id", "name")
            if self._only is None or row[2] == self._only
        ]
        wanted = {(source_id, name) for _, source_id, name in rows}
        self._nothing_to_read = not wanted
        share = leases.fair_share(len(rows))
        held = 0
        for reader in self._readers.values():
            for name in list(reader.held):
                held += 1
                if (reader.source.pk, name) not in wanted or held > share:
                    self._give_back(reader, name)
                    held -= 1
        for partition_id, source_id, name in rows:
            reader = self._readers[source_id]
            if held >= share:
                break
            if name not in reader.held and self._take_lease(reader, partition_id, name):
                held += 1

    def _take_lease(self, reader: SourceReader, partition_id: int, name: str) -> bool:
        if time.monotonic() < reader.retry_at:
            return False
        lease = leases.take(
            partition_id=partition_id,
            source_id=reader.source.pk,
            source=reader.source.name,
            partition=name,
            owner=self.owner,
        )
        if lease is None:
            return False
        try:
            if not reader.consumer.is_connected:
                reader.consumer.connect()
            reader.consumer.checkpoint(
                Checkpoint(
                    partition=name,
                    position=lease.position,
                    sequence_number=lease.sequence_number,
                )
            )
        except PositionLost as exc:
            reader.held[name] = lease
            self._stop_partition(reader, exc)
            return False
        except SourceUnavailable as exc:
            leases.release(lease)
            self._source_failed(reader, exc)
            return False
        reader.held[name] = lease
        if error := self._errors.pop(partition_id, ""):
            leases.note_error(lease, error=error)
        return True

    def _note_lag(self) -> None:
        ids, events, seconds = [], [], []
        for reader in self._readers.values():
            if not reader.held or time.monotonic() < reader.retry_at:
                continue
            try:
                lags = reader.consumer.lag()
            except SourceUnavailable as exc:
                self._source_failed(reader, exc)
                continue
            for name, lag in lags.items():
                if name in reader.held:
                    ids.append(reader.held[name].partition_id)
                    events.append(lag.events)
                    seconds.append(lag.seconds)
        if ids:
            with connection.cursor() as cursor:
                cursor.execute(_NOTE_LAG, {"ids": ids, "events": events, "seconds": seconds})

    def _read_bundles(self) -> None:
        """Every poll: which bundle is active now; a bundle that fails leaves the last good one."""
        if not self._readers:
            return
        with connection.cursor() as cursor:
            cursor.execute(_ACTIVE_BUNDLES, [list(self._readers)])
            rows = cursor.fetchall()
        for source_id, bundle_id, paused in rows:
            reader = self._readers[source_id]
            if paused:
                for name in list(reader.held):
                    self._give_back(reader, name)
            if bundle_id is None or (reader.bundle and reader.bundle.id == bundle_id):
                continue
            self._load(reader, bundle_id)

    def _load(self, reader: SourceReader, bundle_id: int) -> None:
        if bundle_id == reader.refused_bundle:
            return
        try:
            bundle = load_bundle(bundle_id)
        except BundleMissing as exc:
            reader.refused_bundle = bundle_id
            logger.error(  # noqa: TRY400  the sentence says it all
                "bundle does not load, the last good one stays: %s",
                exc,
                extra={"action": "bundle_refused", "source": reader.source.name},
            )
            return
        archive.keep_bundle(digest=bundle.hash, content=bundle.content)
        reader.bundle = bundle
        self._next_tick = 0.0  # acknowledge at once

    # --- when something is wrong -------------------------------------------------------------

    def _start_over(self, exc: Exception) -> None:
        """A bad world: keep nothing that was read, wait, and take the leases anew."""
        self._failures += 1
        delay = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2**self._failures)
        logger.warning(
            "the world is bad, trying again",
            extra={"action": "retry", "error": type(exc).__name__, "delay_s": delay},
        )
        for reader in self._readers.values():
            for name in list(reader.held):
                self._drop(reader, name)
        connection.close()
        self._next_tick = self._renew_at = 0.0
        if not isinstance(exc, CheckpointMoved):
            self.stop.wait(delay)

    def _source_failed(self, reader: SourceReader, exc: SourceUnavailable) -> None:
        """The broker is away: keep the leases, try again later."""
        reader.failures += 1
        delay = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2**reader.failures)
        reader.retry_at = time.monotonic() + delay
        logger.warning(
            "source does not answer",
            extra={"action": "source_unavailable", "source": reader.source.name, "delay_s": delay},
        )
        for lease in reader.held.values():
            leases.note_error(lease, error=str(exc))
        reader.consumer.disconnect()

    def _stop_partition(self, reader: SourceReader, exc: PositionLost) -> None:
        lease = reader.held.get(exc.partition)
        if lease is None:
            return
        logger.error(
            "partition stopped: messages are lost",
            extra={"action": "partition_stopped", "partition": exc.partition, "lost": exc.lost},
        )
        leases.stop(lease, reason=str(exc))
        self._drop(reader, exc.partition)

    def _give_up_batch(self, reader: SourceReader, lease: Lease, exc: Exception) -> None:
        # class and frames only: the message of an exception may hold payload
        logger.error(
            "cannot process a batch",
            extra={
                "action": "batch_failed",
                "error": type(exc).__name__,
                "frames": traceback.format_tb(exc.__traceback__)[-6:],
            },
        )
        leases.fail_attempt(
            lease, error=f"{type(exc).__name__} on the messages from {lease.position}"
        )
        self._drop(reader, lease.partition)

    def _give_back(self, reader: SourceReader, name: str) -> None:
        leases.release(reader.held[name])
        self._drop(reader, name)

    def _drop(self, reader: SourceReader, name: str) -> None:
        reader.held.pop(name, None)
        reader.proven.discard(name)
        reader.consumer.release(name)

    def _everything_is_read(self) -> bool:
        if self._nothing_to_read:
            return True
        if any(time.monotonic() < reader.retry_at for reader in self._readers.values()):
            return False
        lags = [lag for r in self._readers.values() if r.held for lag in r.consumer.lag().values()]
        return bool(lags) and not any(lag.events for lag in lags)

    def _leave(self) -> None:
        """Give everything back; whatever cannot be given back expires."""
        try:
            for reader in self._readers.values():
                for name in list(reader.held):
                    self._give_back(reader, name)
            if self._slot is not None:
                leases.give_slot(self._slot)
        except (DatabaseError, InterfaceError) as exc:
            logger.warning(
                "could not give back leases: they expire",
                extra={"action": "release_failed", "error": type(exc).__name__},
            )
        for reader in self._readers.values():
            reader.consumer.disconnect()


def _first_line(exc: Exception) -> str:
    """What a database or archive error says; its detail lines may hold values of the row."""
    return (str(exc).splitlines() or [""])[0][:200]
