"""The stream source: the contract, and what is special about streams."""

from __future__ import annotations

import itertools
import logging
import time
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import redis

from ingestion.sources import redis_streams
from ingestion.sources.base import Checkpoint, MessageBatch, MessageConsumer
from ingestion.sources.factory import ConsumerFactory
from ingestion.sources.redis_streams import RedisStreamsConsumer
from payflow.lib.errors import ConfigurationError, PositionLost, SourceUnavailable
from tests.ingestion.sources.contract import (
    LIMITS,
    Harness,
    SourceContract,
    all_bodies,
    beginning,
    drain,
    numbered,
)
from tests.own_valkey import OwnServer

_names = itertools.count()


class StreamHarness(Harness):
    """Three streams of a name nobody used before."""

    broker_type = "redis_streams"
    partitions = 3

    def __init__(self, client: redis.Redis, *, url: str = "env:STREAMS_URL") -> None:
        super().__init__()
        self.client = client
        self.prefix = f"test-{next(_names)}"
        self.settings = {
            "url": url,
            "stream": self.prefix,
            "partitions": self.partitions,
            "linger_ms": 50,
        }

    def load(self, *bodies: Sequence[bytes]) -> None:
        for partition, messages in enumerate(bodies):
            self.add(messages, partition=partition)

    def add(self, bodies: Sequence[bytes], *, partition: int = 0) -> None:
        """Append messages."""
        pipeline = self.client.pipeline(transaction=False)
        for body in bodies:
            pipeline.xadd(self.key(partition), {"body": body})
        pipeline.execute()

    def add_entries(self, *entries: Mapping[Any, Any]) -> None:
        """Append entries as they are to partition 0."""
        for entry in entries:
            self.client.xadd(self.key(0), dict(entry))

    def key(self, partition: int) -> str:
        """The stream of a partition."""
        return f"{self.prefix}.{partition}"


@pytest.fixture
def source(streams: redis.Redis) -> Iterator[StreamHarness]:
    """On the streams' server of the test run."""
    harness = StreamHarness(streams)
    yield harness
    harness.close()


@pytest.fixture
def own_source(own_server: OwnServer) -> Iterator[StreamHarness]:
    """On a server that the test may kill."""
    with own_server.client() as client:
        harness = StreamHarness(client, url=own_server.url)
        yield harness
        harness.close()


class TestRedisStreamsContract(SourceContract):
    """The contract on streams."""


def _one(consumer: MessageConsumer) -> MessageBatch:
    (batch,) = drain(consumer)
    return batch


def _after(batch: MessageBatch) -> Checkpoint:
    return Checkpoint(
        partition=batch.partition,
        position=batch.next_position,
        sequence_number=batch.sequence_number + len(batch),
    )


# --- entries -------------------------------------------------------------------------------------


def test_keys_and_headers_come_along(source: StreamHarness):
    """Each column is there when one message has it, with None for the others."""
    consumer = source.read([])
    source.add_entries(
        {"body": b"1", "key": b"k", "headers": b'{"correlation_id": "c-1", "n": 5}'},
        {"body": b"2"},
        {"key": b"\xff", "body": b"3"},
    )

    batch = _one(consumer)

    assert batch.bodies == [b"1", b"2", b"3"]
    assert batch.keys == [b"k", None, b"\xff"]
    assert batch.headers == [b'{"correlation_id": "c-1", "n": 5}', None, None]
    first, second, _ = batch
    assert first.correlation_id == "c-1"
    assert first.headers == {"correlation_id": "c-1", "n": "5"}
    assert second.correlation_id == second.message_id


def test_a_column_that_nobody_uses_is_none(source: StreamHarness):
    """Bodies alone cost nothing else."""
    batch = _one(source.read(numbered(3)))

    assert batch.keys is None
    assert batch.headers is None


def test_columns_of_several_replies_are_joined(source: StreamHarness, monkeypatch):
    """A key that appears late finds its place."""
    monkeypatch.setattr(redis_streams, "READ_MESSAGES", 6)
    consumer = source.read(numbered(10))
    source.add_entries({"body": b"last", "key": b"k"})

    batch = _one(consumer)

    assert batch.keys == [None] * 10 + [b"k"]


@pytest.mark.parametrize(
    ("headers", "seen"),
    [
        (b"\xff\xfe", {}),
        (b"[1]", {}),
        (b"", {}),
        (b"[" * 100_000, {}),
        (b'{"a": null}', {"a": "null"}),
    ],
)
def test_bad_headers_are_kept_and_read_as_none(
    source: StreamHarness, headers: bytes, seen: dict[str, str]
):
    """Whatever a producer wrote must not stop the partition; the bytes stay as they are."""
    consumer = source.read([])
    source.add_entries({"body": b"{}", "headers": headers})

    batch = _one(consumer)

    assert batch.headers == [headers]
    assert [message.headers for message in batch] == [seen]


def test_an_entry_without_a_body_is_an_empty_message(source: StreamHarness):
    """It is a message: parsing gives the reason. Unknown fields are ignored."""
    consumer = source.read([])
    source.add_entries({"payload": b"{}"}, {"body": b"{}", "other": b"x"}, {"key": b"k"})

    batch = _one(consumer)

    assert batch.bodies == [b"", b"{}", b""]
    assert batch.keys == [None, None, b"k"]


def test_the_broker_time_is_the_id(source: StreamHarness):
    """Milliseconds of the server's clock."""
    consumer = source.read([])
    source.client.xadd(source.key(0), {"body": b"{}"}, id="1767225600123-7")

    batch = _one(consumer)

    assert batch.offsets == ["1767225600123-7"]
    assert batch.times_us == [1767225600123000]
    assert batch.next_position == "1767225600123-8"


def test_ids_are_compared_as_numbers(source: StreamHarness):
    """9-1 comes before 10-0, and after the largest sequence comes the next millisecond."""
    consumer = source.read([])
    for entry_id in ("9-1", "9-18446744073709551615", "10-0"):
        source.client.xadd(source.key(0), {"body": entry_id.encode()}, id=entry_id)
    batch = _one(consumer)

    consumer.checkpoint(Checkpoint(partition="0", position="10-0", sequence_number=2))

    assert batch.offsets == ["9-1", "9-18446744073709551615", "10-0"]
    assert all_bodies(drain(consumer)) == [b"10-0"]


# --- batches -------------------------------------------------------------------------------------


def test_a_batch_waits_for_more_and_no_longer_than_it_lingers(source: StreamHarness):
    """Messages that come while the first one lingers share its batch."""
    source.settings = {**source.settings, "linger_ms": 300}
    consumer = source.read([b"1"])

    early = consumer.consume_batch(wait_s=0.05)
    source.add([b"2"])
    started = time.monotonic()
    batch = consumer.consume_batch(wait_s=5)

    assert early is None
    assert batch is not None
    assert batch.bodies == [b"1", b"2"]
    assert time.monotonic() - started < 4  # not for as long as it would wait for a first one


def test_what_is_left_over_does_not_hold_up_the_others(source: StreamHarness):
    """60 MB came in one reply and are due at once; a message elsewhere still gets its turn."""
    consumer = source.read([*numbered(10), *([b"x" * 2**20] * 60)])
    assert consumer.consume_batch(wait_s=1)

    source.add([b"quiet"], partition=1)
    served = [consumer.consume_batch(wait_s=1)]
    time.sleep(0.06)  # longer than it lingers
    served.append(consumer.consume_batch(wait_s=1))

    assert {batch.partition for batch in served if batch is not None} == {"0", "1"}


def test_large_messages_are_read_by_the_handful(source: StreamHarness):
    """No reply is much larger than the batch that it is for."""
    consumer = source.read([b"x" * 2**20] * 60)

    tracemalloc.start()
    try:
        count = sum(len(batch) for batch in iter(lambda: consumer.consume_batch(wait_s=0.2), None))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert count == 60
    assert peak < (8 + 8 + 10) * 2**20  # the batch before, this one, and parsing


def test_memory_stays_bounded_when_messages_grow(source: StreamHarness, monkeypatch):
    """Of 60 MB behind small messages no more than a batch and two replies are held."""
    monkeypatch.setattr(redis_streams, "READ_MESSAGES", 16)
    consumer = source.read([*numbered(10), *([b"x" * 2**20] * 60)])

    tracemalloc.start()
    try:
        count = sum(len(batch) for batch in iter(lambda: consumer.consume_batch(wait_s=0.2), None))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert count == 70
    assert peak < (8 + 2 * 16 + 2) * 2**20


# --- trimming ------------------------------------------------------------------------------------


def test_only_what_is_committed_is_trimmed(source: StreamHarness):
    """Behind the acknowledged batch whole nodes go, nothing ahead of it."""
    bodies = numbered(2 * LIMITS.messages + 500)
    consumer = source.read(bodies)
    assert consumer.consume_batch(wait_s=2)
    second = consumer.consume_batch(wait_s=2)
    assert second is not None

    consumer.acknowledge_batch(second)

    assert 500 <= source.client.xlen(source.key(0)) < 700
    assert all_bodies(drain(consumer)) == bodies[-500:]


def test_an_idle_consumer_gives_back_what_it_owes(source: StreamHarness, monkeypatch):
    """Trims are spaced, but a stream that producers wait for must not stay full."""
    monkeypatch.setattr(redis_streams, "TRIM_EVERY_S", 0.6)
    consumer = source.read(numbered(1_000))
    for _ in range(2):
        batch = consumer.consume_batch(wait_s=1)
        assert batch is not None
        consumer.acknowledge_batch(batch)
        source.add(numbered(1_000))
    assert source.client.xlen(source.key(0)) >= 2_000  # the second trim is owed

    time.sleep(0.6)
    consumer.consume_batch(wait_s=0)

    assert source.client.xlen(source.key(0)) < 1_200


def test_a_failed_trim_is_logged_and_nothing_else(
    own_source: StreamHarness, own_server: OwnServer, caplog: pytest.LogCaptureFixture
):
    """Our commit holds the batch whatever the server says."""
    consumer = own_source.read(numbered(3))
    batch = _one(consumer)
    own_server.kill()

    with caplog.at_level(logging.WARNING):
        consumer.acknowledge_batch(batch)

    assert [record.__dict__["action"] for record in caplog.records] == ["trim_failed"]


# --- loss ----------------------------------------------------------------------------------------


def test_unread_messages_that_were_trimmed_stop_the_partition(source: StreamHarness):
    """At the checkpoint: the number of lost messages is known."""
    consumer = source.read(numbered(100))
    batch = _one(consumer)
    source.add(numbered(50))
    source.client.xtrim(source.key(0), maxlen=20, approximate=False)

    with pytest.raises(PositionLost) as caught:
        consumer.checkpoint(_after(batch))

    assert (caught.value.partition, caught.value.lost) == ("0", 30)


def test_a_gap_is_noticed_while_reading(source: StreamHarness):
    """Not one batch behind the gap is handed out, and the other partitions go on."""
    consumer = source.read(numbered(100))
    assert len(_one(consumer)) == 100
    source.add(numbered(50))
    source.client.xtrim(source.key(0), maxlen=20, approximate=False)

    with pytest.raises(PositionLost) as caught:
        drain(consumer)
    source.add(numbered(5), partition=1)

    assert (caught.value.partition, caught.value.lost) == ("0", 30)
    assert {batch.partition for batch in drain(consumer)} == {"1"}
    assert "0" not in consumer.lag()


def test_a_deleted_unread_entry_is_noticed(source: StreamHarness):
    """XDEL in the middle of what nobody has read is a gap like any other."""
    source.load(numbered(10))
    entries: Any = source.client.xrange(source.key(0))
    source.client.xdel(source.key(0), entries[1][0])
    consumer = source.connect()

    with pytest.raises(PositionLost) as caught:
        consumer.checkpoint(beginning(consumer, "0"))

    assert caught.value.lost == 1


def test_a_stream_that_disappears_is_noticed_while_nothing_comes(
    source: StreamHarness, monkeypatch
):
    """To XREAD a stream that lost everything looks like a quiet one."""
    monkeypatch.setattr(redis_streams, "MAX_BLOCK_S", 0.05)
    consumer = source.read(numbered(100))
    _one(consumer)

    source.client.delete(source.key(0))

    with pytest.raises(PositionLost) as caught:
        drain(consumer)
    assert (caught.value.partition, caught.value.lost) == ("0", None)


def test_a_stream_that_began_anew_is_noticed(source: StreamHarness):
    """New messages with larger ids must not pass for the ones that were lost."""
    consumer = source.read(numbered(100))
    _one(consumer)

    source.client.delete(source.key(0))
    source.add(numbered(30))

    with pytest.raises(PositionLost):
        drain(consumer)


def test_reading_goes_on_after_the_server_was_restarted(
    own_source: StreamHarness, own_server: OwnServer
):
    """While it is away every call says so; connect() is all it takes."""
    bodies = numbered(LIMITS.messages + 50)
    consumer = own_source.read(bodies)
    first = consumer.consume_batch(wait_s=2)
    assert first is not None

    own_server.kill()
    with pytest.raises(SourceUnavailable):
        drain(consumer)
    assert not consumer.is_connected
    with pytest.raises(SourceUnavailable):
        consumer.connect()
    with pytest.raises(SourceUnavailable):
        consumer.lag()
    own_server.start()
    consumer.connect()

    assert all_bodies([first, *drain(consumer)]) == bodies


def test_a_server_that_lost_its_data_stops_the_partitions(
    own_source: StreamHarness, own_server: OwnServer
):
    """After the restart the checkpoint is ahead of the stream: a person has to decide."""
    consumer = own_source.read(numbered(100))
    batch = _one(consumer)
    own_server.kill()
    own_server.wipe()
    own_server.start()

    consumer.connect()

    with pytest.raises(PositionLost) as caught:
        drain(consumer)
    assert (caught.value.partition, caught.value.lost) == ("0", None)
    with pytest.raises(PositionLost):
        consumer.checkpoint(_after(batch))


def test_an_address_that_is_missing_or_wrong_is_a_bad_world(monkeypatch: pytest.MonkeyPatch):
    """One source without its secret must not stop the others; no part of a secret is repeated."""
    consumer = ConsumerFactory.create(
        "redis_streams", source="x", settings={"stream": "x", "url": "env:ACME_STREAMS"}
    )
    for address, words in (
        ("", "ACME_STREAMS is not set"),
        ("redis://:hunter/2@x", "no Redis URL"),
    ):
        monkeypatch.setenv("ACME_STREAMS", address)

        with pytest.raises(SourceUnavailable, match=words) as caught:
            consumer.connect()

        assert "hunter" not in str(caught.value)


def test_a_key_that_is_no_stream_is_a_bad_world(source: StreamHarness):
    """Somebody has put something else there: said, and tried again."""
    source.client.set(source.key(0), "x")
    consumer = source.connect()

    with pytest.raises(SourceUnavailable, match="wrong kind"):
        consumer.checkpoint(beginning(consumer, "0"))


# --- settings ------------------------------------------------------------------------------------


def test_settings_have_defaults():
    """A prefix is enough."""
    settings = RedisStreamsConsumer.parse_settings({"stream": "payments"})

    assert settings.url == "env:STREAMS_URL"
    assert (settings.partitions, settings.linger_ms, settings.max_length) == (4, 100, 1_000_000)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("partitions", 0, "partitions is 0; it must be a whole number from 1 to 1,024"),
        ("partitions", True, "partitions is True"),
        ("partitions", "4", "partitions is '4'"),
        ("linger_ms", 5001, "linger_ms is 5001; it must be a whole number from 20 to 5,000"),
        ("max_length", 999, "max_length is 999"),
        ("stream", "", "stream is ''"),
        ("stream", "a b", "stream is 'a b'; it must be of letters"),
        ("url", "http://x", "url is refused; it must be env:NAME"),
        ("url", "redis://:hunter2@x", "url is refused"),
        ("url", "redis://x?password=hunter2", "url is refused"),
        ("url", "redis://x?p%61ssword=hunter2", "url is refused"),
        ("url", "redis://:hunter2/5@x:6379/0", "url is refused"),
        ("url", "redis://:1/hunter2@x:6379/0", "url is refused"),
        ("url", "redis://u:1/hunter2@x:6379/0", "url is refused"),
        ("url", "env:NO SPACE", "url is refused"),
    ],
)
def test_bad_settings_are_refused(field: str, value: object, words: str):
    """Field, value and rule are named, but never a password."""
    with pytest.raises(ConfigurationError) as caught:
        ConsumerFactory.validate("redis_streams", {"stream": "x", field: value})

    (problem,) = caught.value.problems
    assert problem.pointer == f"/settings/{field}"
    assert words in problem.message
    assert "hunter2" not in str(caught.value)


def test_every_bad_field_is_named_at_once():
    """Nobody has to fix one after the other."""
    with pytest.raises(ConfigurationError) as caught:
        ConsumerFactory.validate("redis_streams", {"partitions": 0, "linger_ms": "x", "bound": 1})

    assert [problem.pointer for problem in caught.value.problems] == [
        "/settings/bound",
        "/settings/linger_ms",
        "/settings/partitions",
        "/settings/stream",
    ]


def test_an_unknown_broker_type_names_the_known_ones():
    """A typing error in the type is answered with the choice."""
    with pytest.raises(
        ConfigurationError, match="known are event_hubs, file, kafka, redis_streams"
    ) as caught:
        ConsumerFactory.create("rabbit", source="x", settings={})

    assert caught.value.problems[0].pointer == "/broker_type"
