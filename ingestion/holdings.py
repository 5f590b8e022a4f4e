"""What one drainer holds: the sources it reads, its share of their partitions, their bundles.

All of it follows the tables: partitions that are active, sources that are not paused, bundles that
are active. The rows decide; what stands here is only what this process may do until it looks again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

from django.db import connection
from django.db.models import Q
from django.db.models.functions import Now

from configuration.models import Source
from ingestion import leases
from ingestion.following import Following
from ingestion.models import Partition
from ingestion.readers import SourceReader, backoff_s
from ingestion.sources.base import Checkpoint
from ingestion.sources.factory import ConsumerFactory
from payflow.lib.errors import (
    CheckpointMoved,
    ConfigurationError,
    Permanent,
    PositionLost,
    SourceUnavailable,
)

logger = logging.getLogger(__name__)

_NOTE_LAG = """
UPDATE partitions p SET lag_events = l.events, lag_seconds = l.seconds, lag_at = now()
FROM unnest(%(ids)s::bigint[], %(events)s::bigint[], %(seconds)s::float[])
    AS l (id, events, seconds)
WHERE p.id = l.id
"""


class Holdings:
    """The readers of one drainer."""

    def __init__(
        self,
        *,
        owner: str,
        sources: list[str] | None = None,
        partition: str | None = None,
        settings_of_source: Mapping[str, Any] | None = None,
    ) -> None:
        """`sources` None means all that workers read; `partition` narrows it to one of them.

        `settings_of_source` stands in for the settings of the source's row (which file to read).
        """
        self.owner = owner
        self._names = sources
        self._only = partition
        self._settings = settings_of_source
        self._readers: dict[int, SourceReader] = {}
        self._following = Following(owner)
        #: what went wrong with a partition while the database could not be told, by its id
        self.errors: dict[int, str] = {}
        #: partitions that should be read and that nobody holds
        self.unserved = 0
        self.wanted = 0

    def __iter__(self) -> Iterator[SourceReader]:
        return iter(self._readers.values())

    def bundles(self) -> dict[str, int]:
        """Bundle id that each source runs here now, by its name."""
        return {reader.source.name: reader.bundle.id for reader in self if reader.bundle}

    # --- following the tables ----------------------------------------------------------------

    def discover(self) -> None:
        """Follow the sources that exist, and the partitions that their brokers have."""
        sources = Source.objects.filter(active_bundle__isnull=False)
        if self._names is None:
            sources = sources.exclude(broker_type="file")
        else:
            sources = sources.filter(name__in=self._names)
        for source in sources:
            if source.pk not in self._readers:
                self._open(source)
        if self._only is None:
            for reader in self:
                self._add_partitions(reader)

    def _open(self, source: Source) -> None:
        settings = self._settings or source.settings
        try:
            consumer = ConsumerFactory.create(
                source.broker_type, source=source.name, settings=settings
            )
        except ConfigurationError as exc:
            logger.error(  # noqa: TRY400  the problems say it all
                "source has wrong settings: %s",
                exc,
                extra={"action": "source_misconfigured", "source": source.name},
            )
            return
        self._readers[source.pk] = SourceReader(source=source, consumer=consumer)

    def _add_partitions(self, reader: SourceReader) -> None:
        if reader.is_resting:
            return
        try:
            if not reader.consumer.is_connected:
                reader.consumer.connect()
            names = reader.consumer.partitions()
        except SourceUnavailable as exc:
            self.source_failed(reader, exc)
            return
        known = set(Partition.objects.filter(source=reader.source).values_list("name", flat=True))
        Partition.objects.bulk_create(
            [
                Partition(
                    source=reader.source, name=name, position=reader.consumer.first_position(name)
                )
                for name in names
                if name not in known
            ],
            ignore_conflicts=True,
        )

    def follow_bundles(self) -> bool:
        """Take the bundles that are active; True if any changed here. Paused sources are let go."""
        changed = self._following.look(self._readers)
        for source in self._following.paused:
            reader = self._readers[source]
            for name in list(reader.held):
                self.give_back(reader, name)
        return changed

    # --- leases ------------------------------------------------------------------------------

    def balance(self) -> None:
        """Hold ceil(partitions / live drainers) of the partitions that should be read."""
        rows = self._wanted_partitions()
        self.wanted = len(rows)
        names = {(source_id, name) for _, source_id, name, _ in rows}
        share = leases.fair_share(len(rows))
        held = 0
        for reader in self:
            for name in list(reader.held):
                held += 1
                if (reader.source.pk, name) not in names or held > share:
                    self.give_back(reader, name)
                    held -= 1
        self.unserved = 0
        for partition_id, source_id, name, is_free in rows:
            reader = self._readers[source_id]
            if name in reader.held:
                continue
            if held < share and self._take(reader, partition_id, name):
                held += 1
            elif is_free:
                self.unserved += 1

    def _wanted_partitions(self) -> list[tuple[int, int, str, bool]]:
        """(id, source id, name, nobody holds it) of active partitions, longest free first."""
        partitions = Partition.objects.filter(
            source__in=list(self._readers), state="active", source__paused_at=None
        )
        if self._only is not None:
            partitions = partitions.filter(name=self._only)
        return list(
            partitions.annotate(is_free=Q(leased_until=None) | Q(leased_until__lt=Now()))
            .order_by("leased_until", "id")
            .values_list("id", "source_id", "name", "is_free")
        )

    def _take(self, reader: SourceReader, partition_id: int, name: str) -> bool:
        if reader.is_resting:
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
        reader.held[name] = lease
        if error := self.errors.pop(partition_id, ""):
            leases.note_error(lease, error=error)
        try:
            if not reader.consumer.is_connected:
                reader.consumer.connect()
            reader.consumer.checkpoint(
                Checkpoint(
                    partition=name,
                    position=lease.position,
                    sequence_number=lease.sequence_number,
                    broker_offset=lease.broker_offset,
                    shift=lease.shift,
                    epoch=lease.epoch,
                )
            )
        except PositionLost as exc:
            self.position_lost(reader, exc)
        except SourceUnavailable as exc:
            self.source_failed(reader, exc)
            self.give_back(reader, name)
        except Permanent as exc:
            leases.stop(lease, reason=str(exc))
            reader.drop(name)
        return name in reader.held

    def renew(self) -> None:
        """Renew every lease; drop those that are another's by now."""
        for reader in self:
            for name, lease in list(reader.held.items()):
                try:
                    leases.renew_idle(lease)
                except CheckpointMoved:
                    reader.drop(name)

    def give_back(self, reader: SourceReader, name: str) -> None:
        leases.release(reader.held[name])
        reader.drop(name)

    def give_back_all(self) -> None:
        for reader in self:
            for name in list(reader.held):
                self.give_back(reader, name)

    def forget_all(self) -> None:
        """Keep nothing that was read or leased; the rows are asked again."""
        for reader in self:
            for name in list(reader.held):
                reader.drop(name)

    def disconnect(self) -> None:
        for reader in self:
            reader.consumer.disconnect()

    # --- lag and trouble ---------------------------------------------------------------------

    def note_lag(self) -> int:
        """Write how far each held partition is behind; returns the events still to be read."""
        rows: list[tuple[int, int, float]] = []
        for reader in self:
            if not reader.held or reader.is_resting:
                continue
            try:
                lags = reader.consumer.lag()
            except SourceUnavailable as exc:
                self.source_failed(reader, exc)
                continue
            rows += [
                (reader.held[name].partition_id, lag.events, lag.seconds)
                for name, lag in lags.items()
                if name in reader.held
            ]
        if rows:
            ids, events, seconds = map(list, zip(*rows, strict=True))
            with connection.cursor() as cursor:
                cursor.execute(_NOTE_LAG, {"ids": ids, "events": events, "seconds": seconds})
        return sum(events for _, events, _ in rows)

    def source_failed(self, reader: SourceReader, exc: SourceUnavailable) -> None:
        """The broker is away: keep the leases, leave it alone for a while."""
        reader.failures += 1
        delay = backoff_s(reader.failures)
        reader.retry_at = time.monotonic() + delay
        logger.warning(
            "source does not answer",
            extra={"action": "source_unavailable", "source": reader.source.name, "delay_s": delay},
        )
        for lease in reader.held.values():
            leases.note_error(lease, error=str(exc))
        reader.consumer.disconnect()

    def position_lost(self, reader: SourceReader, exc: PositionLost) -> None:
        """Stop a partition for a person to decide: messages are gone."""
        lease = reader.held.get(exc.partition)
        if lease is None:
            return
        logger.error(
            "partition stopped: messages are lost",
            extra={"action": "partition_stopped", "partition": exc.partition, "lost": exc.lost},
        )
        leases.stop(lease, reason=str(exc))
        reader.drop(exc.partition)
