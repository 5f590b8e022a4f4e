"""Azure Event Hubs as a source: one hub, a receiver link a partition, all on one connection.

How a batch comes about:

1. Frames are read from the connection as they come; each partition's messages wait in its columns,
   and the hub may send only what may wait there (credit, by messages and by bytes).
2. A partition is due when a batch is full or its first message has lingered. Partitions that are
   due take turns.
3. The one whose turn it is reads on for as long as there is something to read, up to a full batch.
4. Sequence numbers of a partition follow each other: the one that comes must be the next one.

There are no threads: while nobody asks for a batch nothing is read, so a sink that is down costs
what waits in the kernel.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, ClassVar, Final

from ingestion.sources.base import (
    BatchLimits,
    Bounds,
    Checkpoint,
    ConnectionStep,
    Lag,
    MessageBatch,
    MessageConsumer,
)
from ingestion.sources.event_hubs_diagnosis import diagnose_hub
from ingestion.sources.event_hubs_link import PartitionLink
from ingestion.sources.event_hubs_probe import first_at
from ingestion.sources.event_hubs_reading import HubColumns, HubReading
from ingestion.sources.event_hubs_settings import EventHubsSettings, parse_settings
from payflow.lib.errors import PartitionTaken, PositionLost, SourceUnavailable
from payflow.lib.event_hubs_connection import HubConnection, PartitionLook

#: frames between looks whether a batch is due
_FRAMES: Final = 64
#: of all partitions together: a batch is made before more is read
_TOTAL_BYTES: Final = 32 * 2**20
#: how many partitions one `lag()` asks for: a consumer group may ask 50 times a second
_LOOKS: Final = 20
#: how long a batch waits for events that the hub is known to have, and for a frame of them
_FILL_S: Final = 1.0
_STEP_S: Final = 0.05
#: how long a partition that is behind is waited for, to learn how old its next message is
_PEEK_S: Final = 0.2


class EventHubsConsumer(MessageConsumer):
    """Reads partitions by receivers of its own; the checkpoint is ours, not a blob's."""

    broker_type: ClassVar[str] = "event_hubs"
    LOG_FIELDS: ClassVar[frozenset[str]] = frozenset({"hub"})

    @classmethod
    def parse_settings(cls, settings: Mapping[str, Any]) -> EventHubsSettings:
        return parse_settings(settings)

    def __init__(self, *, source: str, settings: EventHubsSettings) -> None:
        self._source = source
        self._settings = settings
        self._limits = BatchLimits(linger_s=settings.linger_ms / 1000)
        self._hub: HubConnection | None = None
        self._readings: dict[str, HubReading] = {}
        #: whose turn it is, first in line first
        self._turns: deque[str] = deque()
        #: why partitions were released, to be told by the next `consume_batch`
        self._ended: deque[PositionLost | PartitionTaken] = deque()
        #: partitions of the hub, as it said last
        self._there: list[str] = []

    # --- connection ------------------------------------------------------------------------------

    def connect(self) -> None:
        self.disconnect()
        hub = HubConnection(self._settings, consumer_group=self._settings.consumer_group)
        try:
            hub.open()
            self._there = hub.partitions()
        except SourceUnavailable:
            hub.close()
            raise
        self._hub = hub
        for partition in self._readings.keys() - set(self._there):
            self._end(_no_such_partition(partition))

    def disconnect(self) -> None:
        for reading in self._readings.values():
            reading.reset()
        hub, self._hub = self._hub, None
        if hub is not None:
            hub.close()

    @property
    def is_connected(self) -> bool:
        return self._hub is not None

    @contextmanager
    def _connected(self) -> Iterator[HubConnection]:
        if self._hub is None:
            raise SourceUnavailable(f"Source {self._source} is not connected.")
        try:
            yield self._hub
        except SourceUnavailable:
            self.disconnect()
            raise

    # --- partitions ------------------------------------------------------------------------------

    def partitions(self) -> list[str]:
        with self._connected() as hub:
            self._there = hub.partitions()
        return self._there

    def _has(self, partition: str) -> bool:
        """Asked before a hub is asked about a partition: its answer would cost the connection."""
        return partition in self._there or partition in self.partitions()

    def first_position(self, partition: str) -> str:
        return self.bounds(partition).first

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        self.release(checkpoint.partition)
        reading = HubReading(
            partition=checkpoint.partition,
            epoch=checkpoint.epoch,
            sequence_number=checkpoint.sequence_number,
            columns=HubColumns(int(checkpoint.position)),
            broker_offset=checkpoint.broker_offset,
        )
        with self._connected() as hub:
            if not self._has(checkpoint.partition):
                raise _no_such_partition(checkpoint.partition)
            self._check(hub, reading)
        self._readings[checkpoint.partition] = reading
        self._turns.append(checkpoint.partition)

    def release(self, partition: str) -> None:
        self._ended = deque(exc for exc in self._ended if exc.partition != partition)
        reading = self._readings.pop(partition, None)
        if reading is not None:
            self._turns.remove(partition)
            reading.reset()

    def _end(self, exc: PositionLost | PartitionTaken) -> None:
        self.release(exc.partition)
        self._ended.append(exc)

    def _check(self, hub: HubConnection, reading: HubReading) -> None:
        """That the hub has what comes next; raises PositionLost."""
        look = reading.seen = hub.look(reading.partition)
        position = reading.columns.first
        if position < look.first:
            raise PositionLost(
                partition=reading.partition,
                lost=look.first - position,
                detail=f"The hub holds events from {look.first:,} on.",
            )
        if position > look.end:
            raise _made_anew(reading, look)
        reading.is_checked = True

    # --- reading ---------------------------------------------------------------------------------

    def consume_batch(self, *, wait_s: float) -> MessageBatch | None:
        deadline = time.monotonic() + wait_s
        with self._connected() as hub:
            self._pump(hub, wait_s=0)  # or the others would starve behind what is left over
            self._tell()
            while (reading := self._next_due()) is None:
                if time.monotonic() >= deadline:
                    return None
                self._pump(hub, wait_s=self._until(deadline) - time.monotonic())
                self._tell()
            self._fill(hub, reading)
            self._tell()  # it may be this one that ended; the batch of another waits
            return self._close(reading)

    def _tell(self) -> None:
        if self._ended:
            raise self._ended.popleft()

    def _next_due(self) -> HubReading | None:
        now = time.monotonic()
        for partition in self._turns:
            reading = self._readings[partition]
            if reading.columns.bodies and (
                reading.gap is not None
                or reading.is_full(self._limits)
                or reading.arrived + self._limits.linger_s <= now
            ):
                return reading
        return None

    def _until(self, deadline: float) -> float:
        arrived = [r.arrived for r in self._readings.values() if r.columns.bodies]
        return min([deadline, *(at + self._limits.linger_s for at in arrived)])

    def _pump(self, hub: HubConnection, *, wait_s: float) -> int:
        """Open and feed links, read what is there; returns how many frames came."""
        for reading in list(self._readings.values()):
            self._tend(hub, reading)
        if sum(reading.size for reading in self._readings.values()) >= _TOTAL_BYTES:
            if wait_s > 0:  # all of it lingers
                time.sleep(wait_s)
            return 0
        frames = hub.read(frames=_FRAMES, wait_s=wait_s)
        if frames:
            for reading in self._readings.values():
                reading.take()
        return frames

    def _fill(self, hub: HubConnection, reading: HubReading) -> None:
        """Until it is full, nothing of it is there, or what the hub is known to have takes long."""
        deadline = time.monotonic() + _FILL_S
        while not reading.is_full(self._limits) and reading.gap is None:
            is_more = reading.seen is not None and reading.seen.end > reading.columns.end
            wait_s = min(_STEP_S, deadline - time.monotonic()) if is_more else 0
            if not self._pump(hub, wait_s=wait_s) and (not is_more or wait_s <= 0):
                return

    def _tend(self, hub: HubConnection, reading: HubReading) -> None:
        try:
            if reading.gap is not None and not reading.columns.bodies:
                self._mend(reading)
            if reading.link is None:
                self._open(hub, reading)
            elif reading.link.tend():
                reading.ask_for_more()
        except (PositionLost, PartitionTaken) as exc:
            self._end(exc)

    def _open(self, hub: HubConnection, reading: HubReading) -> None:
        """Behind the last batch handed out, by offset if it has one: that is how a hub seeks."""
        if not reading.is_checked:
            self._check(hub, reading)
        by_offset = bool(reading.broker_offset)
        reading.opened_at = None if by_offset else reading.columns.end
        reading.link = PartitionLink(
            hub,
            settings=self._settings,
            partition=reading.partition,
            start=reading.broker_offset if by_offset else reading.columns.end,
            is_inclusive=not by_offset,
            epoch=reading.epoch,
        )

    def _mend(self, reading: HubReading) -> None:
        """A number came that is not the next one: read again from there, once, or stop.

        What came before it was handed out first.
        """
        came, expected = reading.gap, reading.columns.end
        if reading.opened_at == expected and came is not None:
            raise PositionLost(
                partition=reading.partition,
                lost=came - expected if came > expected else None,
                detail=f"Event {came:,} came where {expected:,} was to come.",
            )
        reading.reset()
        reading.broker_offset = ""

    def _close(self, reading: HubReading) -> MessageBatch:
        taken = reading.columns.cut(self._limits)
        reading.size -= sum(taken.sizes)
        reading.broker_offset = taken.broker_offsets[-1].decode()
        batch = MessageBatch(
            source=self._source,
            partition=reading.partition,
            broker_type=self.broker_type,
            batch_id=uuid.uuid4().hex,
            position=str(taken.first),
            next_position=str(taken.end),
            sequence_number=reading.sequence_number,
            received_at=reading.received_at,
            offsets=list(map(str, range(taken.first, taken.end))),
            times_us=taken.times_us,
            bodies=taken.bodies,
            broker_offset=reading.broker_offset,
            keys=taken.keys if any(key is not None for key in taken.keys) else None,
            headers=taken.headers if any(taken.headers) else None,
        )
        reading.sequence_number += len(batch)
        self._turns.remove(reading.partition)
        self._turns.append(reading.partition)
        return batch

    def acknowledge_batch(self, batch: MessageBatch) -> None:
        """Nothing to tell: a hub forgets by time, and the checkpoint is ours."""

    # --- what the hub says -----------------------------------------------------------------------

    def lag(self) -> dict[str, Lag]:
        with self._connected() as hub:
            self._look_around(hub)
            lags = {}
            for partition, reading in self._readings.items():
                end = reading.seen.end if reading.seen else 0
                behind = max(end, reading.columns.end) - reading.columns.first
                age_s = self._age_s(reading) if behind else 0.0
                lags[partition] = Lag(events=behind, seconds=age_s)
        return lags

    def _look_around(self, hub: HubConnection) -> None:
        """Ask about the partitions that were asked about longest ago; read what is behind."""
        asked = sorted(self._readings.values(), key=lambda r: r.seen.at if r.seen else 0.0)
        for reading in asked[:_LOOKS]:
            reading.seen = hub.look(reading.partition)
            if reading.seen.end < reading.columns.end:
                self._end(_made_anew(reading, reading.seen))
        for reading in self._readings.values():
            reading.take()
        deadline = time.monotonic() + _PEEK_S
        while any(map(_is_unseen, self._readings.values())) and time.monotonic() < deadline:
            self._pump(hub, wait_s=0.02)

    @staticmethod
    def _age_s(reading: HubReading) -> float:
        """Of the oldest message that waits; while none has come, of the newest one of the hub."""
        waiting = reading.columns.times_us
        newest = reading.seen.last_us if reading.seen else 0
        return max(0.001, time.time() - (waiting[0] if waiting else newest) / 1e6)

    def bounds(self, partition: str) -> Bounds:
        look = self._look(partition)
        return Bounds(first=str(look.first), end=str(look.end))

    def position_at(self, partition: str, moment: datetime) -> str:
        if partition in self._readings:  # our own link would shut the look out
            self._readings[partition].reset()
        with self._connected() as hub:
            return str(first_at(hub, self._settings, partition=partition, moment=moment))

    def count_between(self, partition: str, start: str, end: str) -> int | None:
        look = self._look(partition)
        return max(0, min(int(end), look.end) - max(int(start), look.first))

    def _look(self, partition: str) -> PartitionLook:
        with self._connected() as hub:
            if self._has(partition):
                return hub.look(partition)
        raise SourceUnavailable(f"The hub has no partition {partition}.")

    def diagnose(self) -> list[ConnectionStep]:
        return diagnose_hub(self._settings)


def _no_such_partition(partition: str) -> PositionLost:
    detail = "The hub has no such partition any more: was it made anew?"
    return PositionLost(partition=partition, lost=None, detail=detail)


def _made_anew(reading: HubReading, look: PartitionLook) -> PositionLost:
    detail = f"The hub ends at {look.end:,}, before {reading.columns.end:,}: was it made anew?"
    return PositionLost(partition=reading.partition, lost=None, detail=detail)


def _is_unseen(reading: HubReading) -> bool:
    """Whether the hub has more than we saw, and nothing of it is here yet."""
    if reading.columns.bodies or reading.seen is None:
        return False
    return reading.seen.end > reading.columns.end
