"""Redis or Valkey streams as a source: N streams, each a partition; one entry is one message.

How a batch is made:
1. One blocking XREAD over all assigned streams that have nothing buffered: it wakes at the first
   message of any of them.
2. A partition is due when more waits for it than a batch or a reply holds, or when its first
   message has lingered. Partitions that are due take turns.
3. The partition whose turn it is is read alone until the batch is full or its stream has no more.
4. One XINFO STREAM compares the server's counters with ours: nothing unread may be missing.

Memory: one reply holds at most `READ_MESSAGES` entries, and as many as fit a batch if they were all
as large as the largest of the reply before; so at most one batch and two replies are held.
"""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, ClassVar

import redis

from ingestion.sources.base import (
    BatchLimits,
    Bounds,
    Checkpoint,
    ConnectionStep,
    Lag,
    MessageBatch,
    MessageConsumer,
)
from ingestion.sources.redis_settings import RedisStreamsSettings, parse_settings
from ingestion.sources.stream_buffer import StreamReading, times_us
from ingestion.sources.stream_diagnosis import diagnose_streams
from ingestion.sources.stream_look import StreamLook
from ingestion.sources.stream_position import (
    FIRST_POSITION,
    StreamState,
    check_not_lost,
    parse_id,
    position_after,
)
from payflow.lib.errors import PositionLost, SourceUnavailable
from payflow.lib.streams import open_client, stream_key

logger = logging.getLogger(__name__)

#: Entries in one reply: a run of 1 MB messages behind small ones costs this many MB, once. Longer
#: replies would save 0.1 us of 0.6 us a message of 550 bytes.
READ_MESSAGES = 256
#: Below the socket timeout; also how long an idle consumer goes without looking for lost messages.
MAX_BLOCK_S = 2.0
TRIM_EVERY_S = 1.0


class RedisStreamsConsumer(MessageConsumer):
    """Reads streams with XREAD, without a consumer group: the checkpoint is ours."""

    broker_type: ClassVar[str] = "redis_streams"
    LOG_FIELDS: ClassVar[frozenset[str]] = frozenset({"stream", "partitions"})

    @classmethod
    def parse_settings(cls, settings: Mapping[str, Any]) -> RedisStreamsSettings:
        return parse_settings(settings)

    def __init__(self, *, source: str, settings: RedisStreamsSettings) -> None:
        self._source = source
        self._settings = settings
        self._limits = BatchLimits(linger_s=settings.linger_ms / 1000)
        self._client: redis.Redis | None = None
        self._readings: dict[str, StreamReading] = {}
        #: whose turn it is, first in line first
        self._turns: deque[str] = deque()
        #: position to trim to, and when the partition was last trimmed
        self._to_trim: dict[str, str] = {}
        self._trimmed_at: dict[str, float] = {}
        self._check_at = 0.0

    # --- connection ------------------------------------------------------------------------------

    def connect(self) -> None:
        self.disconnect()
        client = open_client(self._settings.url)
        with self._translated():
            client.ping()
        self._client = client
        self._check_at = 0.0  # the server may have come back with less than it had

    def disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(redis.RedisError):
                client.close()

    @property
    def is_connected(self) -> bool:
        return self._client is not None

    @property
    def _connected(self) -> redis.Redis:
        if self._client is None:
            raise SourceUnavailable(f"Source {self._source} is not connected.")
        return self._client

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as exc:
            self.disconnect()
            raise SourceUnavailable(f"Source {self._source}: {exc}") from exc

    # --- partitions ------------------------------------------------------------------------------

    def partitions(self) -> list[str]:
        return [str(number) for number in range(self._settings.partitions)]

    def first_position(self, partition: str) -> str:  # noqa: ARG002 - the same for every stream
        return FIRST_POSITION

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        self.release(checkpoint.partition)
        parse_id(checkpoint.position)  # what is no position must not get as far as the server
        reading = StreamReading(
            partition=checkpoint.partition,
            key=stream_key(self._settings.stream, checkpoint.partition),
            position=checkpoint.position,
            sequence_number=checkpoint.sequence_number,
            shift=checkpoint.shift,
        )
        self._check([reading])
        self._readings[checkpoint.partition] = reading
        self._turns.append(checkpoint.partition)

    def release(self, partition: str) -> None:
        if self._readings.pop(partition, None):
            self._turns.remove(partition)
        self._to_trim.pop(partition, None)

    # --- reading ---------------------------------------------------------------------------------

    def consume_batch(self, *, wait_s: float) -> MessageBatch | None:
        deadline = time.monotonic() + wait_s
        self._trim()
        if self._next_due() is not None:
            self._wait(time.monotonic())  # or the others would starve behind what is left over
        while (reading := self._next_due()) is None:
            self._wait(deadline)
            if time.monotonic() >= deadline and self._next_due() is None:
                return None
        self._fill(reading)
        return self._close(reading)

    def _next_due(self) -> StreamReading | None:
        now = time.monotonic()
        for partition in self._turns:
            reading = self._readings[partition]
            full = reading.more or reading.size >= self._limits.bytes
            if reading.columns.bodies and (full or reading.arrived + self._limits.linger_s <= now):
                return reading
        return None

    def _wait(self, deadline: float) -> None:
        """Until a message comes to a partition without any, or one is due, or the deadline."""
        self._check_now_and_then()
        waiting = [r for r in self._readings.values() if not r.columns.bodies]
        lingering = [r.arrived for r in self._readings.values() if r.columns.bodies]
        until = min([deadline, *(arrived + self._limits.linger_s for arrived in lingering)])
        wait_s = min(max(0.0, until - time.monotonic()), MAX_BLOCK_S)
        if waiting:
            self._read(waiting, block_s=wait_s)
        else:
            time.sleep(wait_s)

    def _fill(self, reading: StreamReading) -> None:
        limits = self._limits
        while reading.size < limits.bytes and len(reading.columns) < limits.messages:
            self._read([reading], block_s=0)
            if not reading.more:
                return

    def _read(self, readings: Sequence[StreamReading], *, block_s: float) -> None:
        asked = self._reply_length(readings)
        command: list[Any] = ["XREAD", "COUNT", asked]
        if block_s > 0:  # to the server 0 means for ever
            command += ["BLOCK", math.ceil(block_s * 1000)]
        command += ["STREAMS", *(r.key for r in readings), *(r.read_after for r in readings)]
        with self._translated():
            execute: Any = self._connected.execute_command
            replies = dict(execute(*command))
        for reading in readings:
            reading.add(replies.get(reading.key.encode(), ()), asked=asked)

    def _reply_length(self, readings: Sequence[StreamReading]) -> int:
        room = self._limits.messages - max(len(r.columns) for r in readings)
        fitting = (self._limits.bytes - max(r.size for r in readings)) // max(
            r.largest for r in readings
        )
        return max(1, min(room, READ_MESSAGES // len(readings), fitting // len(readings)))

    def _close(self, reading: StreamReading) -> MessageBatch:
        taken, rest = reading.columns.split(messages=self._limits.messages, size=self._limits.bytes)
        batch = MessageBatch(
            source=self._source,
            partition=reading.partition,
            broker_type=self.broker_type,
            batch_id=uuid.uuid4().hex,
            position=reading.position,
            next_position=position_after(taken.offsets[-1]),
            sequence_number=reading.sequence_number,
            received_at=reading.received_at,
            offsets=taken.offsets,
            times_us=times_us(taken.offsets),
            bodies=taken.bodies,
            keys=taken.keys,
            headers=taken.headers,
        )
        self._check([reading], batch=batch)
        reading.columns, reading.size = rest, reading.size - sum(taken.sizes)
        reading.position = batch.next_position
        reading.sequence_number += len(batch)
        self._turns.remove(reading.partition)
        self._turns.append(reading.partition)
        return batch

    # --- what the server says --------------------------------------------------------------------

    def _states(self, readings: Sequence[StreamReading]) -> list[StreamState]:
        with self._translated():
            pipeline = self._connected.pipeline(transaction=False)
            for reading in readings:
                pipeline.xinfo_stream(reading.key)
            return [self._state(reply) for reply in _run(pipeline)]

    def _state(self, info: Any) -> StreamState:
        return StreamState() if info is None else StreamState.from_info(info)

    def _check_now_and_then(self) -> None:
        """After every connect, and while nothing comes: a lost stream looks like a quiet one."""
        if time.monotonic() >= self._check_at:
            self._check(list(self._readings.values()))
            self._check_at = time.monotonic() + MAX_BLOCK_S

    def _check(
        self, readings: Sequence[StreamReading], *, batch: MessageBatch | None = None
    ) -> None:
        for reading, state in zip(readings, self._states(readings), strict=True):
            try:
                check_not_lost(
                    state,
                    partition=reading.partition,
                    position=batch.next_position if batch else reading.position,
                    committed=reading.counted,
                    handed_out=reading.counted + (len(batch) if batch else 0),
                )
            except PositionLost:
                self.release(reading.partition)
                raise

    def lag(self) -> dict[str, Lag]:
        readings = list(self._readings.values())
        with self._translated():
            pipeline = self._connected.pipeline(transaction=False)
            pipeline.time()
            for reading in readings:
                pipeline.xinfo_stream(reading.key)
                pipeline.xrange(reading.key, min=reading.position, count=1)
            (seconds, micros), *replies = _run(pipeline)
        now = seconds + micros / 1e6
        lags: dict[str, Lag] = {}
        for reading, info, oldest in zip(readings, replies[::2], replies[1::2], strict=True):
            behind = self._state(info).added - reading.counted
            age = now - parse_id(oldest[0][0].decode())[0] / 1000 if oldest else 0.0
            lags[reading.partition] = Lag(events=max(0, behind), seconds=max(0.0, age))
        return lags

    # --- what a partition holds ------------------------------------------------------------------

    def bounds(self, partition: str) -> Bounds:
        with self._translated():
            return self._look(partition).bounds()

    def position_at(self, partition: str, moment: datetime) -> str:
        with self._translated():
            return self._look(partition).position_at(moment)

    def count_between(self, partition: str, start: str, end: str) -> int | None:
        with self._translated():
            return self._look(partition).count_between(start, end)

    def counted_before(self, partition: str, position: str) -> int | None:
        """None is no answer here: a checkpoint moved without its count would pass for lost."""
        with self._translated():
            counted = self._look(partition).counted_before(position)
        if counted is None:
            raise SourceUnavailable(
                f"Source {self._source}: the server takes too long to count what partition "
                f"{partition} took before {position}. A place nearer to either end is counted."
            )
        return counted

    def diagnose(self) -> list[ConnectionStep]:
        return diagnose_streams(self._settings)

    def _look(self, partition: str) -> StreamLook:
        return StreamLook(self._connected, stream_key(self._settings.stream, partition))

    # --- trimming --------------------------------------------------------------------------------

    def acknowledge_batch(self, batch: MessageBatch) -> None:
        self._to_trim[batch.partition] = batch.next_position
        self._trim()

    def _trim(self) -> None:
        """Give back what is committed, once a second a partition, whole nodes at a time.

        Also called when nothing comes: a full stream whose producers wait must not stay full.
        """
        now = time.monotonic()
        for partition, position in list(self._to_trim.items()):
            if self._client is None or now < self._trimmed_at.get(partition, 0) + TRIM_EVERY_S:
                continue
            del self._to_trim[partition]
            self._trimmed_at[partition] = now
            try:
                # LIMIT 0: by default one call drops 10,000 entries at most, less than may come.
                self._client.xtrim(
                    stream_key(self._settings.stream, partition),
                    minid=position,
                    approximate=True,
                    limit=0,
                )
            except redis.RedisError as exc:
                logger.warning(
                    "Could not trim partition %s of source %s: %s",
                    partition,
                    self._source,
                    type(exc).__name__,
                    extra={"action": "trim_failed", "source": self._source, "partition": partition},
                )


def _run(pipeline: Any) -> list[Any]:
    """The replies, None for a stream that does not exist; raises the first other error."""
    replies = pipeline.execute(raise_on_error=False)
    for index, reply in enumerate(replies):
        if isinstance(reply, redis.RedisError):
            if "no such key" not in str(reply):
                raise reply
            replies[index] = None
    return list(replies)
