"""What every source must do, whatever its broker. A test class per source inherits this one.

Time is real and short: a broker's own clock and blocking reads are part of what is tested.
"""

from __future__ import annotations

import dataclasses
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from ingestion.sources.base import (
    BatchLimits,
    Checkpoint,
    MessageBatch,
    MessageConsumer,
    position_key,
)
from ingestion.sources.factory import CONSUMERS, ConsumerFactory
from payflow.lib.errors import ConfigurationError, PositionLost, SourceUnavailable

LIMITS = BatchLimits()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: longer than a batch of any harness lingers
PATIENCE_S = 0.15
DRAIN_S = 10.0


class Harness(ABC):
    """How a test fills a source and reads it."""

    broker_type: ClassVar[str]
    #: how many partitions `load` can fill
    partitions: ClassVar[int]
    #: settings that pass
    settings: Mapping[str, Any]
    #: whether the broker knows where a time lies, and tells what lies between two positions
    finds_times: ClassVar[bool] = True
    counts: ClassVar[bool] = True

    def __init__(self) -> None:
        self._consumers: list[MessageConsumer] = []

    @abstractmethod
    def load(self, *bodies: Sequence[bytes]) -> None:
        """Put these messages into partition 0, 1, .. of a source nobody has read."""

    def connect(self) -> MessageConsumer:
        """A connected consumer with nothing assigned."""
        consumer = ConsumerFactory.create(
            self.broker_type, source="contract", settings=self.settings
        )
        self._consumers.append(consumer)
        consumer.connect()
        return consumer

    def close(self) -> None:
        """Disconnect every consumer that was made."""
        for consumer in self._consumers:
            consumer.disconnect()

    def read(self, *bodies: Sequence[bytes]) -> MessageConsumer:
        """Load, connect, and assign every partition from its beginning."""
        self.load(*bodies)
        consumer = self.connect()
        for partition in consumer.partitions():
            consumer.checkpoint(beginning(consumer, partition))
        return consumer


def beginning(consumer: MessageConsumer, partition: str) -> Checkpoint:
    """The checkpoint of a partition that nobody has read."""
    position = consumer.first_position(partition)
    return Checkpoint(partition=partition, position=position, sequence_number=0)


def drain(consumer: MessageConsumer) -> list[MessageBatch]:
    """All batches until the broker says that nothing is left; what it keeps back ends it, too."""
    batches: list[MessageBatch] = []
    deadline = time.monotonic() + DRAIN_S
    while time.monotonic() < deadline:
        batch = consumer.consume_batch(wait_s=PATIENCE_S)
        if batch is not None:
            batches.append(batch)
        elif not any(lag.events for lag in consumer.lag().values()):
            break
    return batches


def all_bodies(batches: Sequence[MessageBatch]) -> list[bytes]:
    """What the batches hold, in order."""
    return [body for batch in batches for body in batch.bodies]


def numbered(count: int) -> list[bytes]:
    """Small messages that differ."""
    return [b'{"n":%d}' % number for number in range(count)]


class SourceContract:
    """Inherit and give a fixture `source`: the Harness, closed after the test."""

    def test_an_empty_partition_gives_nothing_after_the_wait(self, source: Harness):
        """No batch is ever empty; the call returns None once the wait is over, and not before."""
        consumer = source.read([])

        started = time.monotonic()
        batch = consumer.consume_batch(wait_s=0.2)

        assert batch is None
        assert 0.15 < time.monotonic() - started < 5
        assert all(lag.events == 0 and lag.seconds == 0 for lag in consumer.lag().values())

    def test_messages_keep_their_order_and_bytes(self, source: Harness):
        """What went in comes out, once, in order, bytes untouched."""
        bodies = [*numbered(50), b"not json", b'{"a": "\xff"}', b'{ "spaces" : 1 }']

        batches = drain(source.read(bodies))

        assert all_bodies(batches) == bodies

    def test_batches_chain(self, source: Harness):
        """Positions and numbers of a batch go on where the one before ended."""
        consumer = source.read(numbered(25_000))
        partition = consumer.partitions()[0]

        batches = drain(consumer)

        expected = beginning(consumer, partition)
        for batch in batches:
            assert batch.partition == partition
            assert batch.position == expected.position
            assert batch.sequence_number == expected.sequence_number
            expected = Checkpoint(
                partition=partition,
                position=batch.next_position,
                sequence_number=batch.sequence_number + len(batch),
            )
        assert expected.sequence_number == 25_000

    def test_a_batch_says_where_and_when(self, source: Harness):
        """Every column has one entry a message; times are UTC and of today."""
        before = datetime.now(UTC) - timedelta(seconds=5)

        (batch,) = drain(source.read(numbered(3)))

        assert (batch.source, batch.broker_type) == ("contract", source.broker_type)
        assert len(batch) == len(batch.offsets) == len(batch.times_us) == len(batch.bodies) == 3
        assert len(set(batch.offsets)) == 3
        assert before < batch.received_at < datetime.now(UTC)
        for message in batch:
            assert message.timestamp.utcoffset() == timedelta(0)
            assert before < message.timestamp < datetime.now(UTC) + timedelta(seconds=5)

    def test_iterating_gives_the_same_messages(self, source: Harness):
        """Message is a view of the columns, with ids that differ."""
        (batch,) = drain(source.read(numbered(3)))

        messages = list(batch)

        assert [message.body for message in messages] == batch.bodies
        assert [message.offset for message in messages] == batch.offsets
        assert [message.sequence_number for message in messages] == [0, 1, 2]
        assert [message.get_body_as_dict() for message in messages] == [{"n": n} for n in range(3)]
        assert len({message.message_id for message in messages}) == 3
        assert all(message.correlation_id for message in messages)

    def test_a_batch_closes_at_its_message_limit(self, source: Harness):
        """A backlog comes in full batches."""
        batches = drain(source.read(numbered(2 * LIMITS.messages + 1)))

        assert [len(batch) for batch in batches] == [LIMITS.messages, LIMITS.messages, 1]

    def test_a_batch_closes_at_its_byte_limit(self, source: Harness):
        """Messages of 1 MB come by the handful, none is split or lost."""
        bodies = [b'{"n":%d,"x":"%s"}' % (n, b"x" * 2**20) for n in range(20)]

        batches = drain(source.read(bodies))

        assert all_bodies(batches) == bodies
        sizes = [sum(map(len, batch.bodies)) for batch in batches]
        assert max(sizes) <= LIMITS.bytes
        assert sum(size < LIMITS.bytes / 2 for size in sizes) <= 1

    def test_small_and_large_messages_may_alternate(self, source: Harness):
        """The size of what came before decides nothing about what comes."""
        bodies = [b"s" * 10 if n % 100 else b"l" * 2**20 for n in range(1, 1201)]

        batches = drain(source.read(bodies))

        assert all_bodies(batches) == bodies
        assert max(sum(map(len, batch.bodies)) for batch in batches) <= LIMITS.bytes

    def test_a_message_above_every_limit_is_passed_on(self, source: Harness):
        """Whoever evaluates decides that it is too large; the source must not get stuck on it."""
        bodies = [b"a", b"x" * (LIMITS.bytes + 1), b"b"]

        batches = drain(source.read(bodies))

        assert all_bodies(batches) == bodies

    def test_reading_can_begin_at_any_checkpoint(self, source: Harness):
        """A position names the next message, and the same position gives the same bytes again."""
        bodies = numbered(2_500)
        consumer = source.read(bodies)
        (batch,) = drain(consumer)

        for index in (0, 1, 999, 1_000, 2_499):
            consumer.checkpoint(
                Checkpoint(
                    partition=batch.partition,
                    position=batch.offsets[index],
                    sequence_number=index,
                )
            )
            again = drain(consumer)
            assert all_bodies(again) == bodies[index:]
            assert again[0].sequence_number == index
            assert again[-1].next_position == batch.next_position

    def test_a_rolled_back_batch_is_read_again(self, source: Harness):
        """checkpoint() drops what was read ahead, so nothing is skipped and nothing comes twice."""
        bodies = numbered(LIMITS.messages + 500)
        consumer = source.read(bodies)
        first = consumer.consume_batch(wait_s=2)
        assert first is not None

        consumer.checkpoint(beginning(consumer, first.partition))

        assert all_bodies(drain(consumer)) == bodies

    def test_nothing_more_comes_at_the_end(self, source: Harness):
        """A checkpoint behind the last message is a place to wait, not an error."""
        consumer = source.read(numbered(10))
        (batch,) = drain(consumer)

        consumer.checkpoint(
            Checkpoint(partition=batch.partition, position=batch.next_position, sequence_number=10)
        )

        assert drain(consumer) == []

    def test_a_position_behind_the_end_is_lost(self, source: Harness):
        """More committed than the broker ever had: its end is gone, the partition stops."""
        consumer = source.read(numbered(10))
        (batch,) = drain(consumer)
        major, dash, minor = batch.next_position.partition("-")

        with pytest.raises(PositionLost) as caught:
            consumer.checkpoint(
                Checkpoint(
                    partition=batch.partition,
                    position=f"{int(major) + 1}{dash}{minor}",
                    sequence_number=11,
                )
            )

        assert caught.value.partition == batch.partition
        assert batch.partition not in consumer.lag()

    def test_partitions_take_turns(self, source: Harness):
        """Each partition with a backlog gets a batch before any gets a second one."""
        bodies = [numbered(LIMITS.messages + 1) for _ in range(source.partitions)]
        consumer = source.read(*bodies)

        served = [consumer.consume_batch(wait_s=2) for _ in range(2 * source.partitions)]

        names = [batch.partition for batch in served if batch is not None]
        assert len(set(names[: source.partitions])) == source.partitions
        assert len(set(names[source.partitions :])) == source.partitions

    def test_a_released_partition_is_silent(self, source: Harness):
        """After release neither batches nor lag speak of it."""
        consumer = source.read(numbered(5))

        for partition in consumer.partitions():
            consumer.release(partition)

        assert consumer.consume_batch(wait_s=0.15) is None
        assert consumer.lag() == {}

    def test_acknowledging_disturbs_nothing(self, source: Harness):
        """Reading goes on behind it, a second time is harmless, and so is a lost connection."""
        consumer = source.read(numbered(LIMITS.messages + 7))
        first = consumer.consume_batch(wait_s=2)
        assert first is not None

        consumer.acknowledge_batch(first)
        consumer.acknowledge_batch(first)
        rest = drain(consumer)
        consumer.disconnect()
        consumer.acknowledge_batch(rest[-1])

        assert [len(batch) for batch in rest] == [7]

    def test_reading_goes_on_after_a_disconnect(self, source: Harness):
        """Assignments outlive the connection; without one every read says so."""
        bodies = numbered(LIMITS.messages + 7)
        consumer = source.read(bodies)
        first = consumer.consume_batch(wait_s=2)
        assert first is not None

        consumer.disconnect()
        assert not consumer.is_connected
        with pytest.raises(SourceUnavailable):
            consumer.consume_batch(wait_s=0)
        consumer.connect()

        assert consumer.is_connected
        assert all_bodies([first, *drain(consumer)]) == bodies

    def test_lag_counts_what_was_not_handed_out(self, source: Harness):
        """Behind the end in messages and seconds; nothing behind, nothing late."""
        consumer = source.read(numbered(LIMITS.messages + 7))
        partition = consumer.partitions()[0]

        lags = [consumer.lag()[partition]]
        while consumer.consume_batch(wait_s=PATIENCE_S):
            lags.append(consumer.lag()[partition])

        assert [lag.events for lag in lags] == [LIMITS.messages + 7, 7, 0]
        assert 0 < lags[0].seconds < 60
        assert lags[-1].seconds == 0

    def test_an_unknown_setting_is_refused_by_name(self, source: Harness):
        """A misspelt setting must not be ignored."""
        with pytest.raises(ConfigurationError) as caught:
            ConsumerFactory.validate(source.broker_type, {**source.settings, "max_lenght": 5})

        (problem,) = caught.value.problems
        assert problem.pointer == "/settings/max_lenght"
        assert "max_lenght" in problem.message

    # --- what a partition holds ------------------------------------------------------------------

    def test_bounds_of_an_empty_partition_meet(self, source: Harness):
        """Its beginning is where the next message will be."""
        source.load([])
        consumer = source.connect()
        partition = consumer.partitions()[0]

        bounds = consumer.bounds(partition)

        assert position_key(bounds.first) == position_key(bounds.end)

    def test_bounds_are_where_reading_begins_and_ends(self, source: Harness):
        """Asked before anybody reads: from the first on all comes, and ends at the end."""
        bodies = numbered(500)
        source.load(bodies)
        consumer = source.connect()
        partition = consumer.partitions()[0]

        bounds = consumer.bounds(partition)
        consumer.checkpoint(
            Checkpoint(partition=partition, position=bounds.first, sequence_number=0)
        )
        batches = drain(consumer)

        assert all_bodies(batches) == bodies
        assert position_key(bounds.first) == position_key(batches[0].offsets[0])
        assert position_key(bounds.end) == position_key(batches[-1].next_position)

    def test_a_time_is_found_as_a_position(self, source: Harness):
        """The first message at or after it; before all is the first, after all is the end."""
        if not source.finds_times:
            pytest.skip("this broker does not find times")
        consumer = source.read(numbered(2_000))
        (batch,) = drain(consumer)
        at = [EPOCH + timedelta(microseconds=time_us) for time_us in batch.times_us]

        for moment in (at[0], at[1_000], at[-1]):
            expected = batch.offsets[next(i for i, t in enumerate(at) if t >= moment)]
            assert consumer.position_at(batch.partition, moment) == expected
        bounds = consumer.bounds(batch.partition)
        assert consumer.position_at(batch.partition, EPOCH) == bounds.first
        assert consumer.position_at(batch.partition, at[-1] + timedelta(hours=1)) == bounds.end

    def test_messages_between_positions_are_counted(self, source: Harness):
        """The start counts, the end does not; nothing lies between when it is not behind."""
        if not source.counts:
            pytest.skip("this broker cannot count")
        consumer = source.read(numbered(2_500))
        (batch,) = drain(consumer)
        bounds = consumer.bounds(batch.partition)

        def count(start: str, end: str) -> int | None:
            return consumer.count_between(batch.partition, start, end)

        assert count(bounds.first, bounds.end) == 2_500
        assert count(batch.offsets[100], batch.offsets[2_400]) == 2_300
        assert count(batch.offsets[2_400], bounds.end) == 100
        assert count(bounds.end, bounds.end) == 0
        assert count(bounds.end, bounds.first) == 0

    def test_looking_does_not_disturb_reading(self, source: Harness):
        """What was read ahead of a look comes behind it, once."""
        bodies = numbered(LIMITS.messages + 50)
        consumer = source.read(bodies)
        first = consumer.consume_batch(wait_s=2)
        assert first is not None

        bounds = consumer.bounds(first.partition)
        consumer.count_between(first.partition, bounds.first, bounds.end)
        if source.finds_times:
            consumer.position_at(first.partition, EPOCH)
        consumer.diagnose()

        assert all_bodies([first, *drain(consumer)]) == bodies

    def test_looking_needs_a_connection(self, source: Harness):
        """As reading does."""
        source.load(numbered(5))
        consumer = source.connect()
        partition = consumer.partitions()[0]
        consumer.disconnect()

        for look in (
            lambda: consumer.bounds(partition),
            lambda: consumer.position_at(partition, EPOCH),
            lambda: consumer.count_between(partition, "0", "1"),
        ):
            with pytest.raises(SourceUnavailable):
                look()

    @pytest.mark.parametrize(("index", "committed"), [(1_500, 0), (500, 2_500)])
    def test_reading_goes_on_after_a_jump(self, source: Harness, index: int, committed: int):
        """Skipped or repeated, the messages count on from ours, and nothing passes for lost."""
        bodies = numbered(2_500)
        consumer = source.read(bodies)
        (batch,) = drain(consumer)
        position = batch.offsets[index]
        counted = consumer.counted_before(batch.partition, position)

        consumer.checkpoint(
            Checkpoint(
                partition=batch.partition,
                position=position,
                sequence_number=committed,
                shift=(index if counted is None else counted) - committed,
            )
        )
        before = consumer.lag()[batch.partition]
        (again,) = drain(consumer)

        assert again.bodies == bodies[index:]
        assert (again.position, again.sequence_number) == (position, committed)
        assert before.events == len(again)
        assert consumer.lag()[batch.partition].events == 0

    def test_a_good_connection_is_found_good(self, source: Harness):
        """Every step holds, also while nothing is connected, and says what it found."""
        source.load(numbered(5))
        consumer = source.connect()
        consumer.disconnect()

        steps = consumer.diagnose()

        assert steps
        assert [(step.name, step.is_ok, step.detail) for step in steps if not step.is_ok] == []
        assert all(step.name and step.detail for step in steps)

    def test_settings_that_name_the_log_are_settings(self, source: Harness):
        """What must never change is a setting, or a typing error would let it change."""
        parsed = ConsumerFactory.validate(source.broker_type, source.settings)

        fields = {field.name for field in dataclasses.fields(parsed)}
        assert fields >= CONSUMERS[source.broker_type].LOG_FIELDS
