"""What one drainer holds: the sources it reads, its share of their partitions, their bundles.

All of it follows the tables: partitions that are active, sources that are not paused, bundles and
settings that are active. The rows decide; what stands here is only what this process may do until
it looks again. Brokers are asked through each reader's `calls`, so nothing here waits for one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from django.db.models import QuerySet

from configuration.models import Source
from ingestion import lag_questions, leases, sharing
from ingestion.broker_calls import BrokerCalls, Call
from ingestion.connections import Connections, Kind
from ingestion.following import Following
from ingestion.leases import Lease
from ingestion.models import Partition
from ingestion.readers import SourceReader
from ingestion.sharing import Wanted
from ingestion.sources.base import MessageConsumer
from ingestion.sources.factory import ConsumerFactory
from ingestion.troubles import Troubles
from payflow.lib.errors import ConfigurationError, SourceUnavailable

logger = logging.getLogger(__name__)

#: seconds without an answer to one call after which a broker counts as not connected
SILENT_S: Final = 6.0
#: seconds that closing all connections may take
_CLOSE_S: Final = 1.5


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
        self.connections = Connections(owner)
        self._troubles = Troubles(self.connections)
        #: settings that made no consumer, by source: what was wrong with them
        self._refused: dict[int, str] = {}
        #: set each time that a broker has answered
        self.wake = threading.Event()
        #: there is something to take or to write before the next second begins
        self.is_changed = False
        #: what went wrong with a partition while the database could not be told, by its id
        self._errors: dict[int, str] = {}
        #: how many partitions should be read here, and how many of them nobody holds
        self.wanted = self.unserved = 0

    def __iter__(self) -> Iterator[SourceReader]:
        return iter(list(self._readers.values()))

    @property
    def scope(self) -> leases.Scope:
        """What this drainer may read."""
        if self._names is None or self._only is None:
            return self._names
        return [f"{name}/{self._only}" for name in self._names]

    def bundles(self) -> dict[str, int]:
        """Bundle id that each source runs here now, by its name."""
        return {reader.source.name: reader.bundle.id for reader in self if reader.bundle}

    # --- brokers -----------------------------------------------------------------------------

    def read(self, *, wait_s: float, then: Callable[[SourceReader, Call], None]) -> None:
        """Ask each source that may be read for a batch, and connect what is not connected.

        `then` gets each call that brought a batch, or None, in a later `settle()`.
        """

        def came(reader: SourceReader, call: Call) -> None:
            if call.error is not None:
                self._troubles.failed(reader, call)
                return
            if reader.has_recovered(has_messages=call.result is not None):
                self.connections.connected(reader.source.pk)
            then(reader, call)

        for reader in self:
            if not reader.is_open:
                self._look_for_partitions(reader)
            elif reader.held and reader.bundle is not None:
                consume = partial(reader.consumer.consume_batch, wait_s=wait_s)
                reader.calls.begin("consume", consume, then=partial(came, reader))

    def settle(self) -> None:
        """Act on what the brokers have answered."""
        for reader in self:
            reader.calls.settle()

    def watch_silent(self) -> None:
        """A broker that leaves a call without an answer is as good as away."""
        for reader in self:
            silent_s = reader.calls.silent_s
            if silent_s > SILENT_S:
                text = f"The broker has left a call without an answer for {silent_s:.0f} s."
                self.connections.failed(reader.source.pk, text, retry_at=None)

    # --- following the tables ----------------------------------------------------------------

    def discover(self) -> None:
        """Follow the sources that exist, and the partitions that their brokers have."""
        for source in self._sources():
            if source.pk not in self._readers and (consumer := self._consumer_of(source)):
                self._readers[source.pk] = SourceReader(
                    source=source,
                    consumer=consumer,
                    calls=BrokerCalls(source.name, wake=self.wake),
                    settings_serial=source.settings_serial,
                )
        for reader in self:
            self._look_for_partitions(reader)

    def _sources(self) -> QuerySet[Source]:
        """What this drainer is to read, whether it can make a consumer of it or not."""
        sources = Source.objects.filter(active_bundle__isnull=False)
        if self._names is None:
            return sources.exclude(broker_type="file")
        return sources.filter(name__in=self._names)

    def _consumer_of(self, source: Source) -> MessageConsumer | None:
        """A new one of the settings in its row; None, and why is noted, when they are wrong."""
        settings = self._settings or source.settings
        try:
            consumer = ConsumerFactory.create(
                source.broker_type, source=source.name, settings=settings
            )
        except ConfigurationError as exc:
            if self._refused.get(source.pk) != str(exc):
                self._refused[source.pk] = str(exc)
                self.connections.note(source.pk, Kind.SETTINGS, str(exc))
                logger.error(  # noqa: TRY400  the problems say it all
                    "source has wrong settings: %s",
                    exc,
                    extra={"action": "source_misconfigured", "source": source.name},
                )
            if source.pk not in self._readers:
                self.connections.failed(source.pk, f"Wrong settings: {exc}", retry_at=None)
            return None
        self._refused.pop(source.pk, None)
        return consumer

    def _look_for_partitions(self, reader: SourceReader) -> None:
        if reader.is_resting or reader.calls.is_under_way("connect"):
            return
        known: set[str] | None = None
        if self._only is None:
            partitions = Partition.objects.filter(source=reader.source)
            known = set(partitions.values_list("name", flat=True))
        connect = partial(_connect, reader.consumer, known)
        reader.calls.begin("connect", connect, then=partial(self._connected, reader))

    def _connected(self, reader: SourceReader, call: Call) -> None:
        if call.error is not None:
            self._troubles.failed(reader, call)
            return
        if call.began_at < reader.failed_at:
            return
        self.is_changed |= bool(call.result) or not reader.is_open
        reader.open()
        if not reader.held and not reader.is_set_back:
            reader.failures = 0  # else it counts as connected once it has been read
        if not reader.failures:
            self.connections.connected(reader.source.pk)
        Partition.objects.bulk_create(
            [
                Partition(source=reader.source, name=name, position=position)
                for name, position in call.result.items()
            ],
            ignore_conflicts=True,
        )

    def follow(self) -> bool:
        """Take the bundles and settings that are active; True if any bundle changed here.

        Paused sources are let go.
        """
        changed = self._following.look(self._readers)
        for source in self._following.paused:
            reader = self._readers[source]
            for name in list(reader.held):
                self.give_back(reader, name)
        for source, serial in self._following.settings_serials.items():
            if serial != self._readers[source].settings_serial:
                self._take_settings(self._readers[source], serial)
        return changed

    def _take_settings(self, reader: SourceReader, serial: int) -> None:
        """Read on with other settings; those that make no consumer leave the last good ones."""
        reader.settings_serial = serial
        reader.source.refresh_from_db()
        consumer = self._consumer_of(reader.source)
        if consumer is None:
            return
        for name in list(reader.held):
            self.give_back(reader, name)
        reader.calls.post(reader.consumer.disconnect)
        reader.calls.end()
        reader.reopen(consumer, BrokerCalls(reader.source.name, wake=self.wake))
        self.is_changed = True
        logger.info(
            "reads with other settings",
            extra={"action": "settings_taken", "source": reader.source.name, "serial": serial},
        )

    # --- leases ------------------------------------------------------------------------------

    def balance(self) -> None:
        """Hold what the plan of all drainers gives to this one, of what should be read."""
        # of all sources, or drainers that cannot read the same ones would plan apart
        every = sharing.wanted_partitions(self._sources(), name=self._only, owner=self.owner)
        here = {reader.source.pk for reader in self if _reaches(reader)}
        reach = sharing.read_reach(self.owner, here=here, scope=self.scope)
        plan = sharing.plan(every, reach)
        rows = [row for row in every if row.source_id in self._readers]
        ours = [row for row in rows if plan.get(row.id) == self.owner]
        self._let_go_of_all_but(ours)
        taken = self._take_up(ours)
        self.wanted = len(rows)
        self.unserved = sum(not row.holder for row in rows) - taken

    def _let_go_of_all_but(self, ours: Sequence[Wanted]) -> None:
        epochs = {(row.source_id, row.name): row.epoch for row in ours}
        for reader in self:
            for name, lease in list(reader.held.items()):
                if epochs.get((reader.source.pk, name)) != lease.epoch:
                    # released under our epoch only: not when a seek or another has raised it
                    self.give_back(reader, name)

    def _take_up(self, ours: Sequence[Wanted]) -> int:
        """Returns how many were taken that nobody held."""
        taken = 0
        for row in ours:
            reader = self._readers[row.source_id]
            if row.name not in reader.held and self._take(reader, row.id, row.name):
                taken += not row.holder
        return taken

    def _take(self, reader: SourceReader, partition_id: int, name: str) -> bool:
        if not reader.may_take(name) or not _reaches(reader):
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
        if error := self._errors.pop(partition_id, ""):
            leases.note_errors([lease], error=error)
        reader.assign(lease, then=partial(self._troubles.assigned, reader, lease))
        return True

    def renew(self) -> None:
        """Renew every lease that is still ours; `balance()` drops the others."""
        leases.renew_all([lease for reader in self for lease in reader.held.values()])

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

    def note_bad_world(self, error: str, lease: Lease | None = None) -> None:
        """Keep what a database or an archive did until it can be told: to a batch, or at all."""
        if lease is not None:
            self._errors[lease.partition_id] = error
            self.connections.note(lease.source_id, Kind.STORAGE, error, partition=lease.partition)
        elif not self._errors:
            for reader in self:
                self.connections.note(reader.source.pk, Kind.STORAGE, error)

    def disconnect(self) -> None:
        """Close all connections; a broker that hangs is left alone after a moment."""
        until = time.monotonic() + _CLOSE_S
        for reader in self:
            reader.calls.post(reader.consumer.disconnect)
            reader.calls.end()
        for reader in self:
            reader.calls.join(until=until)

    # --- lag ---------------------------------------------------------------------------------

    def ask_lag(self) -> None:
        """Ask how far each held partition is behind; the answers are written as they come."""
        lag_questions.ask(self, failed=self._troubles.failed)

    def look_at_unread(self) -> None:
        """Ask what waits for partitions that nobody reads: stopped or paused ones."""
        if self._only is None:
            lag_questions.look_at_unread(self)


def _reaches(reader: SourceReader) -> bool:
    """Whether its broker answers."""
    return reader.is_open and reader.calls.silent_s <= SILENT_S


def _connect(consumer: MessageConsumer, known: set[str] | None) -> dict[str, str]:
    """Connect, and find where partitions begin that are not known; None: nobody wants them."""
    if not consumer.is_connected:
        consumer.connect()
    if known is None:
        return {}
    found = {}
    for name in consumer.partitions():
        if name not in known:
            try:
                found[name] = consumer.first_position(name)
            except SourceUnavailable:
                if not consumer.is_connected:
                    raise
                logger.warning(  # it is looked at again: the others are read meanwhile
                    "a new partition cannot be looked at",
                    extra={"action": "partition_unavailable", "partition": name},
                )
    return found
