"""Kafka as a source: each partition of one topic, read from our own checkpoint.

How a batch is made:
1. librdkafka fetches ahead, all assigned partitions into one bounded queue.
2. What it has is sorted into a buffer for each partition, until one of them fills a batch or all of
   them together hold as much as may be held.
3. A partition is due when it fills a batch or its first message has lingered. Partitions that are
   due take turns.

No consumer group assigns anything: leases say who reads what. Offsets are committed to a group
behind our own commit, for tools that show lag; nothing here ever reads them.

Memory: the queue (QUEUE_KB and one answer of each broker), and the buffers, which may pass their
bounds by what was in the queue.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import groupby
from typing import Any, ClassVar, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ingestion.sources import kafka_loss
from ingestion.sources.base import (
    BatchLimits,
    Bounds,
    Checkpoint,
    ConnectionStep,
    Lag,
    MessageBatch,
    MessageConsumer,
)
from ingestion.sources.kafka_buffer import KafkaReading, is_crowded, place_and_error
from ingestion.sources.kafka_diagnosis import diagnose_kafka
from ingestion.sources.kafka_group import GroupReports
from ingestion.sources.kafka_look import TopicLook, explain, is_compacted
from ingestion.sources.kafka_settings import (
    KafkaSettings,
    consumer_configuration,
    parse_settings,
)
from payflow.lib.errors import PositionLost, SourceUnavailable
from payflow.lib.kafka import (
    Troubles,
    ask_cluster,
    client_configuration,
    first_words,
    library_logger,
)

#: seconds that messages may wait while larger batches are handed out before them
PATIENCE_S: Final = 3.0
#: taken from the queue at once
READ_MESSAGES: Final = 2_500
#: seconds that lag() waits to learn how old the oldest message is
FIRST_MESSAGE_S: Final = 1.0


class KafkaConsumer(MessageConsumer):
    """Reads partitions of a topic by assignment, each from the offset that it is given."""

    broker_type: ClassVar[str] = "kafka"
    LOG_FIELDS: ClassVar[frozenset[str]] = frozenset({"topic"})

    @classmethod
    def parse_settings(cls, settings: Mapping[str, Any]) -> KafkaSettings:
        return parse_settings(settings)

    def __init__(self, *, source: str, settings: KafkaSettings) -> None:
        self._source = source
        self._settings = settings
        self._limits = BatchLimits(linger_s=settings.linger_ms / 1000)
        self._consumer: Consumer | None = None
        self._troubles = Troubles()
        self._readings: dict[int, KafkaReading] = {}
        #: whose turn it is, first in line first
        self._turns: deque[int] = deque()
        self._reports = GroupReports(source=source, topic=settings.topic)
        #: offset from which each partition gave bytes that could not be read
        self._unreadable: dict[int, int] = {}
        #: what the cluster says of the topic, once somebody wanted to know
        self._compacted: bool | None = None
        self._asked_compacted = False

    # --- connection ------------------------------------------------------------------------------

    def connect(self) -> None:
        self.disconnect()
        self._troubles = Troubles()
        configuration = {
            **consumer_configuration(self._settings, source=self._source),
            "error_cb": self._troubles.note,
            "on_commit": self._reports.note,
        }
        with self._translated():
            self._consumer = Consumer(configuration, logger=library_logger)
            ask_cluster(self._consumer, self._troubles, topic=self._settings.topic)
            self._asked_compacted = False
            for reading in self._readings.values():
                reading.forget()
            self._end_missing()
            for reading in self._readings.values():
                if reading.trouble is None:
                    self._assign(reading)

    def disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with suppress(KafkaException, RuntimeError):
                consumer.close()

    @property
    def is_connected(self) -> bool:
        return self._consumer is not None

    @property
    def _connected(self) -> Consumer:
        if self._consumer is None:
            raise SourceUnavailable(f"Source {self._source} is not connected.")
        return self._consumer

    def _look(self) -> TopicLook:
        return TopicLook(self._connected, self._settings.topic)

    @contextmanager
    def _translated(self, *, harmless: frozenset[int] = frozenset()) -> Iterator[None]:
        """Disconnects after an error: what was taken from the queue may be lost. A question about
        one partition whose answer is a `harmless` one leaves the others as they are."""
        try:
            yield
        except KafkaException as exc:
            error = first_words(exc)
            if error is None or error.code() not in harmless:
                raise self._unavailable(error) from exc
            text = explain(error, topic=self._settings.topic)
            raise SourceUnavailable(f"Source {self._source}: {text}") from exc
        except SourceUnavailable as exc:
            self.disconnect()
            raise SourceUnavailable(f"Source {self._source}: {exc}") from exc

    def _unavailable(self, error: KafkaError | None = None) -> SourceUnavailable:
        """Disconnects; what the client reported of its connections says more than a timeout."""
        if self._consumer is not None:
            with suppress(KafkaException, RuntimeError):
                self._consumer.poll(0)  # reports come with a poll only
        self.disconnect()
        return SourceUnavailable(f"Source {self._source}: {self._troubles.describe(error)}")

    # --- partitions ------------------------------------------------------------------------------

    def partitions(self) -> list[str]:
        with self._translated():
            return [str(number) for number in self._look().partitions()]

    def first_position(self, partition: str) -> str:
        return self.bounds(partition).first

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        self.release(checkpoint.partition)
        reading = KafkaReading.start(checkpoint)
        with self._translated(harmless=kafka_loss.LEADERLESS):
            self._end_missing(reading)
            if lost := reading.trouble or self._lost(reading):
                raise lost
            self._assign(reading)
        self._readings[reading.number] = reading
        self._turns.append(reading.number)

    def _end_missing(self, *others: KafkaReading) -> None:
        """The topic was made anew with fewer partitions: what stood in the rest is gone."""
        there = self._look().partitions()
        for reading in (*self._readings.values(), *others):
            if reading.number not in there and reading.trouble is None:
                reading.trouble = kafka_loss.no_such_partition(
                    partition=reading.checkpoint.partition, topic=self._settings.topic
                )

    def _assign(self, reading: KafkaReading) -> None:
        place = TopicPartition(self._settings.topic, reading.number, reading.position)
        self._connected.incremental_assign([place])

    def release(self, partition: str) -> None:
        number = int(partition)
        if self._readings.pop(number, None) is None:
            return
        self._turns.remove(number)
        self._reports.drop(number)
        if self._consumer is not None:
            with suppress(KafkaException):
                place = TopicPartition(self._settings.topic, number)
                self._consumer.incremental_unassign([place])

    # --- reading ---------------------------------------------------------------------------------

    def consume_batch(self, *, wait_s: float) -> MessageBatch | None:
        deadline = time.monotonic() + wait_s
        self._reports.send(self._consumer)
        self._read(wait_s=0)  # or others would starve behind what is left over
        while (reading := self._next_due()) is None:
            if (now := time.monotonic()) >= deadline:
                return None
            arrived = [r.arrived for r in self._readings.values() if r.bodies]
            until = min([deadline, *(at + self._limits.linger_s for at in arrived)])
            self._read(wait_s=max(0.0, until - now))
        if reading.trouble is not None and not reading.bodies:
            self.release(reading.checkpoint.partition)
            raise reading.trouble
        return self._close(reading)

    def _next_due(self) -> KafkaReading | None:
        has_most = is_crowded(self._readings.values())
        lingered = time.monotonic() - (PATIENCE_S if has_most else self._limits.linger_s)
        for number in self._turns:
            reading = self._readings[number]
            if reading.trouble is not None or (
                reading.bodies and (reading.arrived <= lingered or reading.is_full(self._limits))
            ):
                return reading
        # Of many partitions with a backlog each has a little: the largest batch costs least.
        return max(self._readings.values(), key=lambda r: r.size) if has_most else None

    def _read(self, *, wait_s: float) -> None:
        """Sort what librdkafka has into the buffers, or wait for the first message of it.

        What is full stays full until somebody takes it: reading on would hold ever more.
        """
        with self._translated():
            while not is_crowded(self._readings.values()):
                messages = self._connected.consume(READ_MESSAGES, 0)
                if not messages and wait_s:
                    messages, wait_s = self._connected.consume(1, wait_s), 0.0
                if not messages:
                    break
                self._sort(messages)
                if any(r.is_full(self._limits) for r in self._readings.values()):
                    break
        if self._troubles.is_down:
            raise self._unavailable()

    def _sort(self, messages: Sequence[Message]) -> None:
        has_errors = any(map(Message.error, messages))
        for _, run in groupby(messages, place_and_error if has_errors else Message.partition):
            group = list(run)
            error = group[-1].error()
            reading = self._readings.get(group[-1].partition() or 0)
            if error is not None:
                self._note_error(error, group[-1])
            elif reading is not None and reading.trouble is None:
                self._add(reading, group)

    def _add(self, reading: KafkaReading, messages: list[Message]) -> None:
        last = messages[-1].offset() or 0
        if last - reading.expected + 1 > len(messages) and not self._allows_holes()[0]:
            index, expected, found = kafka_loss.first_hole(messages, expected=reading.expected)
            if found >= 0:
                why, partition = self._allows_holes()[1], reading.checkpoint.partition
                reading.trouble = kafka_loss.hole(
                    partition=partition, expected=expected, found=found, why=why
                )
                messages = messages[:index]
        if messages:
            reading.add(messages)

    def _close(self, reading: KafkaReading) -> MessageBatch:
        position, sequence_number = reading.position, reading.sequence_number
        taken = reading.take(messages=self._limits.messages, size=self._limits.bytes)
        self._turns.remove(reading.number)
        self._turns.append(reading.number)
        return MessageBatch(
            source=self._source,
            partition=reading.checkpoint.partition,
            broker_type=self.broker_type,
            batch_id=uuid.uuid4().hex,
            position=str(position),
            next_position=str(reading.position),
            sequence_number=sequence_number,
            received_at=reading.received_at,
            offsets=list(map(str, taken.offsets)),
            times_us=taken.times_us,
            bodies=taken.bodies,
            keys=taken.keys,
            headers=taken.headers,
        )

    # --- what is gone ----------------------------------------------------------------------------

    def _note_error(self, error: KafkaError, message: Message) -> None:
        reading = self._readings.get(message.partition() or 0)
        if error.code() not in kafka_loss.OF_PARTITIONS:
            raise SourceUnavailable(explain(error, topic=self._settings.topic))
        if reading is None or reading.trouble is not None:
            return
        if error.code() == kafka_loss.EOF:
            reading.read_to = message.offset() or 0
            return
        reading.trouble = self._trouble(reading, error)
        if reading.trouble is None:  # a replica that lags behind, bytes broken on their way
            raise SourceUnavailable(explain(error, topic=self._settings.topic))

    def _trouble(self, reading: KafkaReading, error: KafkaError) -> PositionLost | None:
        """Why reading the partition has ended; None: it may go on after a reconnect."""
        partition = reading.checkpoint.partition
        if error.code() in kafka_loss.UNREADABLE:
            before = self._unreadable.get(reading.number)
            self._unreadable[reading.number] = reading.expected
            if before != reading.expected:
                return None
            return kafka_loss.unreadable(partition=partition, expected=before, why=error.name())
        lost = self._lost(reading)
        if lost is None and error.code() == kafka_loss.TRUNCATED:
            return kafka_loss.truncated(partition=partition)
        return lost

    def _lost(self, reading: KafkaReading) -> PositionLost | None:
        first, end = self._look().bounds(reading.number)
        partition = reading.checkpoint.partition
        return kafka_loss.gone(partition=partition, expected=reading.expected, first=first, end=end)

    def _allows_holes(self) -> tuple[bool, str]:
        """Whether offsets may be missing in the middle of a partition, and why not."""
        topic = self._settings.topic
        if self._settings.gaps != "auto":
            return self._settings.gaps == "allow", "The setting gaps is stop."
        compacted = self._is_compacted()
        if compacted is None:
            return False, f"The cluster does not say whether the topic {topic} is compacted."
        # Without compaction only the marks of transactions use up offsets.
        return (
            not compacted,
            f"The topic {topic} is compacted: newer messages replaced older ones.",
        )

    def _is_compacted(self) -> bool | None:
        """Asked by the first who wants to know: it takes a client of its own."""
        if not self._asked_compacted:
            configuration = client_configuration(self._settings, properties=frozenset())
            self._compacted = is_compacted(configuration, self._settings.topic)
            self._asked_compacted = True
        return self._compacted

    # --- what the broker holds -------------------------------------------------------------------

    def bounds(self, partition: str) -> Bounds:
        with self._translated(harmless=kafka_loss.LEADERLESS):
            first, end = self._look().bounds(int(partition))
        return Bounds(first=str(first), end=str(end))

    def position_at(self, partition: str, moment: datetime) -> str:
        with self._translated(harmless=kafka_loss.LEADERLESS):
            return str(self._look().position_at(int(partition), moment))

    def count_between(self, partition: str, start: str, end: str) -> int | None:
        """By offsets: marks of transactions count, and in a compacted topic nothing can be told."""
        with self._translated(harmless=kafka_loss.LEADERLESS):
            first, last = self._look().bounds(int(partition))
            if self._is_compacted():
                return None
        return max(0, min(int(end), last) - max(int(start), first))

    def diagnose(self) -> list[ConnectionStep]:
        return diagnose_kafka(self._settings, source=self._source)

    def lag(self) -> dict[str, Lag]:
        if not self._readings:
            return {}
        with self._translated(harmless=kafka_loss.LEADERLESS):
            ends = self._look().ends(list(self._readings))
            if len(ends) < len(self._readings):
                self._end_missing()
        self._learn_ages(ends)
        now_us = time.time_ns() // 1000
        return {
            reading.checkpoint.partition: reading.lag(end=ends[number], now_us=now_us)
            for number, reading in self._readings.items()
            if number in ends
        }

    def _learn_ages(self, ends: Mapping[int, int]) -> None:
        """Wait a moment for the first message of partitions of which nothing is known yet."""
        deadline = time.monotonic() + FIRST_MESSAGE_S
        while (wait_s := deadline - time.monotonic()) > 0 and not is_crowded(
            self._readings.values()
        ):
            if all(not r.is_unknown(end=ends.get(n, 0)) for n, r in self._readings.items()):
                return
            self._read(wait_s=wait_s)

    def acknowledge_batch(self, batch: MessageBatch) -> None:
        self._reports.add(int(batch.partition), int(batch.next_position))
        self._reports.send(self._consumer)
