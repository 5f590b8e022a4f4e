"""Publishing to Kafka: durable when it returns, counted right when it fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from ingestion.sources.kafka_settings import KafkaSettings, parse_settings
from payflow.lib.errors import BackPressure, Permanent, SourceUnavailable
from payflow.lib.publish.base import OutgoingMessage
from payflow.lib.publish.factory import create_publisher
from payflow.lib.publish.kafka import KafkaPublisher
from tests.kafka_cluster import PRODUCE, KafkaCluster
from tests.kafka_fixtures import kafka, own_kafka

__all__ = ["kafka", "own_kafka"]

PARTITIONS = 4


def _settings(cluster: KafkaCluster, **properties: Any) -> KafkaSettings:
    topic = cluster.create_topic(partitions=PARTITIONS)
    return parse_settings(
        {"bootstrap_servers": cluster.bootstrap, "topic": topic, "properties": properties}
    )


def _published(cluster: KafkaCluster, settings: KafkaSettings) -> list[Message]:
    """What is in the topic, partition by partition."""
    consumer = Consumer(
        {"bootstrap.servers": cluster.bootstrap, "group.id": "look", "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition(settings.topic, n, 0) for n in range(PARTITIONS)])
    found: list[Message] = []
    at_end = 0
    while at_end < PARTITIONS:
        for message in consumer.consume(1_000, 0.05):
            if message.error() is not None:
                at_end += 1
            else:
                found.append(message)
    consumer.close()
    return sorted(found, key=lambda message: (message.partition() or 0, message.offset() or 0))


def _count(cluster: KafkaCluster, settings: KafkaSettings) -> int:
    return sum(cluster.bounds(settings.topic, number)[1] for number in range(PARTITIONS))


def _numbered(count: int, *, key: bytes | None = None) -> list[OutgoingMessage]:
    return [OutgoingMessage(body=b"%d" % n, key=key) for n in range(count)]


@pytest.fixture
def settings(kafka: KafkaCluster) -> KafkaSettings:
    """Of an empty topic with four partitions."""
    return _settings(kafka)


@pytest.fixture
def publisher(settings: KafkaSettings) -> Iterator[KafkaPublisher]:
    """To that topic."""
    made = create_publisher("kafka", settings)
    assert isinstance(made, KafkaPublisher)
    with made as publisher:
        yield publisher


def test_what_goes_out_comes_in(
    publisher: KafkaPublisher, kafka: KafkaCluster, settings: KafkaSettings
):
    """Body, key and headers; bytes untouched."""
    publisher.publish([OutgoingMessage(body=b"\xff{}", key=b"k\xff", headers={"a": "\u00e9"})])
    publisher.publish([OutgoingMessage(body=b"2")])

    found = _published(kafka, settings)

    assert {(m.value(), m.key()) for m in found} == {(b"\xff{}", b"k\xff"), (b"2", None)}
    assert [m.headers() for m in found if m.key()] == [[("a", "\u00e9".encode())]]
    assert publisher.published == 2


def test_messages_of_a_key_keep_their_order(
    publisher: KafkaPublisher, kafka: KafkaCluster, settings: KafkaSettings
):
    """In one partition, the one that Java's clients choose (murmur2)."""
    publisher.publish(_numbered(3_000, key=b"payment-1"))

    found = _published(kafka, settings)

    assert {message.partition() for message in found} == {_murmur2(b"payment-1") % PARTITIONS}
    assert [message.value() for message in found] == [b"%d" % n for n in range(3_000)]


def test_messages_without_a_key_use_every_partition(
    publisher: KafkaPublisher, kafka: KafkaCluster, settings: KafkaSettings
):
    """In the long run: for 10 ms they go to one, so that batches are large."""
    for _ in range(60):
        publisher.publish(_numbered(5))
        time.sleep(0.012)

    assert _count(kafka, settings) == publisher.published == 300
    assert all(kafka.bounds(settings.topic, number)[1] for number in range(PARTITIONS))


def test_a_broker_that_fails_for_a_moment_gets_each_message_once(
    publisher: KafkaPublisher, kafka: KafkaCluster, settings: KafkaSettings
):
    """The library sends again, and the broker knows what it has."""
    kafka.push_errors(
        PRODUCE, KafkaError.REQUEST_TIMED_OUT, KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND
    )

    publisher.publish(_numbered(100, key=b"k"))

    assert publisher.published == 100
    assert [m.value() for m in _published(kafka, settings)] == [b"%d" % n for n in range(100)]


@pytest.mark.slow
def test_a_cluster_that_is_away_is_said_and_counted(own_kafka: KafkaCluster):
    """Nothing counts that was not acknowledged; the same publisher goes on when it is back."""
    settings = _settings(own_kafka, **{"message.timeout.ms": 1_500})
    with create_publisher("kafka", settings) as publisher:
        publisher.publish(_numbered(10))
        own_kafka.broker_down()
        for _ in range(2):
            with pytest.raises(SourceUnavailable, match=settings.topic):
                publisher.publish(_numbered(5))
        assert publisher.published == 10

        own_kafka.broker_up()
        publisher.publish(_numbered(5))

    assert publisher.published == 15
    assert _count(own_kafka, settings) == 15


def test_after_an_error_the_caller_goes_on_behind_what_is_counted(own_kafka: KafkaCluster):
    """Nothing is missing then, and what was on its way at most came twice."""
    settings = _settings(own_kafka, **{"message.timeout.ms": 700, "batch.num.messages": 50})
    messages = _numbered(20_000, key=b"k")
    with create_publisher("kafka", settings) as publisher:
        away = threading.Timer(0.02, own_kafka.broker_down)
        away.start()
        failures = 0
        while publisher.published < len(messages):
            try:
                publisher.publish(messages[publisher.published :][:4_000])
            except SourceUnavailable:
                failures += 1
                away.join()
                own_kafka.broker_up()
        away.join()

    bodies = [message.value() for message in _published(own_kafka, settings)]

    assert set(bodies) == {message.body for message in messages}
    assert len(bodies) >= len(messages)
    assert failures or len(bodies) == len(messages)


def test_a_topic_that_is_not_there_is_not_made(kafka: KafkaCluster):
    """A misspelt name is an error at once, each time."""
    settings = parse_settings({"bootstrap_servers": kafka.bootstrap, "topic": "misspelt"})

    for _ in range(2):
        with pytest.raises(SourceUnavailable, match="the cluster has no such topic"):
            create_publisher("kafka", settings).connect()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KafkaError.MSG_SIZE_TOO_LARGE, Permanent),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, SourceUnavailable),
    ],
)
def test_what_the_broker_refuses_is_told_apart(
    publisher: KafkaPublisher, kafka: KafkaCluster, error: int, expected: type[Exception]
):
    """Some of it no waiting will mend."""
    kafka.push_errors(PRODUCE, error)

    with pytest.raises(expected):
        publisher.publish(_numbered(1))

    assert publisher.published == 0
    publisher.publish(_numbered(1))
    assert publisher.published == 1


def test_a_full_queue_is_back_pressure(own_kafka: KafkaCluster, monkeypatch: pytest.MonkeyPatch):
    """A cluster that takes nothing for a while fills the library's queue: the producer waits."""
    monkeypatch.setattr("payflow.lib.publish.kafka.ROOM_S", 0.3)
    settings = _settings(own_kafka, **{"queue.buffering.max.messages": 100})
    with create_publisher("kafka", settings) as publisher:
        own_kafka.freeze()
        started = time.monotonic()

        with pytest.raises(BackPressure, match="more slowly than they come"):
            publisher.publish(_numbered(500))

        assert time.monotonic() - started < 5
        assert publisher.published == 0
        own_kafka.thaw()
        publisher.publish(_numbered(50))
        assert publisher.published == 50


def _murmur2(key: bytes) -> int:
    """The hash of Java's default partitioner."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    value = 0x9747B28C ^ len(key)
    whole = len(key) // 4 * 4
    for start in range(0, whole, 4):
        k = int.from_bytes(key[start : start + 4], "little") * m & mask
        value = (value * m & mask) ^ ((k ^ k >> 24) * m & mask)
    if rest := key[whole:]:
        value = (value ^ int.from_bytes(rest, "little")) * m & mask
    value = (value ^ value >> 13) * m & mask
    return (value ^ value >> 15) & 0x7FFFFFFF
