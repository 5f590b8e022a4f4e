"""Kafka as a source: the contract, and what only Kafka has."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from ingestion.sources.base import Checkpoint, MessageBatch, MessageConsumer
from ingestion.sources.kafka_buffer import BUFFERED_BYTES
from ingestion.sources.kafka_settings import FETCH_BYTES, QUEUE_KB
from payflow.lib.errors import PositionLost, SourceUnavailable
from tests.ingestion.sources.contract import (
    Harness,
    SourceContract,
    all_bodies,
    beginning,
    drain,
    numbered,
)
from tests.kafka_cluster import FETCH, OFFSET_COMMIT, KafkaCluster, RealKafka, real_kafka


class KafkaHarness(Harness):
    """A topic of its own in a cluster."""

    broker_type: ClassVar[str] = "kafka"
    partitions: ClassVar[int] = 3
    finds_times: ClassVar[bool] = False

    def __init__(self, cluster: KafkaCluster, *, partitions: int = 3, **settings: Any) -> None:
        super().__init__()
        self.cluster = cluster
        self.topic = cluster.create_topic(partitions=partitions)
        self.settings: Mapping[str, Any] = {
            "bootstrap_servers": cluster.bootstrap,
            "topic": self.topic,
            "linger_ms": 50,
            # The mock holds an empty answer back for all of it, even when a message comes.
            "properties": {"fetch.wait.max.ms": 20},
            **settings,
        }

    def load(self, *bodies: Sequence[bytes]) -> None:
        for partition, messages in enumerate(bodies):
            self.cluster.load(self.topic, partition, messages)
            # The mock drops what is too much for it: a test must not rely on what is gone.
            assert self.cluster.bounds(self.topic, partition) == (0, len(messages))


class RealHarness(KafkaHarness):
    """On the cluster at KAFKA_BOOTSTRAP."""

    finds_times: ClassVar[bool] = True

    def __init__(self, cluster: RealKafka) -> None:
        super().__init__(cluster)  # type: ignore[arg-type]  # the part of it that is used


def _says(*, is_compacted: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mock does not describe configurations and lets the question time out."""
    monkeypatch.setattr("ingestion.sources.kafka.is_compacted", lambda *_: is_compacted)


@pytest.fixture
def source(kafka: KafkaCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[KafkaHarness]:
    """On the cluster of the test run, whose topics are not compacted."""
    _says(is_compacted=False, monkeypatch=monkeypatch)
    harness = KafkaHarness(kafka)
    yield harness
    harness.close()


class TestKafkaContract(SourceContract):
    """The contract on librdkafka's mock cluster."""


class TestRealKafkaContract(SourceContract):
    """The contract on a real broker, when KAFKA_BOOTSTRAP names one."""

    @pytest.fixture
    def source(self) -> Iterator[KafkaHarness]:
        cluster = real_kafka()
        if cluster is None:
            pytest.skip("KAFKA_BOOTSTRAP is not set")
        harness = RealHarness(cluster)
        yield harness
        harness.close()
        cluster.stop()


@pytest.fixture
def own_source(own_kafka: KafkaCluster) -> Iterator[KafkaHarness]:
    """On a cluster that the test may break."""
    harness = KafkaHarness(own_kafka, partitions=2)
    yield harness
    harness.close()


def _one(consumer: MessageConsumer) -> MessageBatch:
    batch = consumer.consume_batch(wait_s=5)
    assert batch is not None
    return batch


def _at(partition: int, position: int) -> Checkpoint:
    return Checkpoint(partition=str(partition), position=str(position), sequence_number=position)


def _until_lost(consumer: MessageConsumer) -> tuple[list[bytes], PositionLost]:
    """What came before it, and what was said."""
    batches = []
    try:
        while True:
            batches.append(_one(consumer))
    except PositionLost as exc:
        return all_bodies(batches), exc


# --- messages ------------------------------------------------------------------------------------


def test_keys_headers_and_times_come_along(source: KafkaHarness):
    """As they are; a header's bytes that are no text, none at all and repeated names included."""
    headers = [[("a", "x"), ("a", b"\xff"), ("n", None)], None, [("correlation_id", "c-\u00fc")]]
    source.cluster.load(
        source.topic,
        0,
        [b"1", b"2", b"3"],
        keys=[None, b"\xff", b""],
        headers=headers,
        timestamps=[1_700_000_000_000, 1_700_000_000_001, 5],
    )
    consumer = source.connect()
    consumer.checkpoint(beginning(consumer, "0"))

    batch = _one(consumer)

    assert batch.keys == [None, b"\xff", b""]
    assert batch.times_us == [1_700_000_000_000_000, 1_700_000_000_001_000, 5_000]
    assert batch.headers is not None
    first, none, last = batch.headers
    assert json.loads(first or b"") == {"a": ["x", {"base64": "/w=="}], "n": None}
    assert none is None
    assert list(batch)[2].correlation_id == "c-\u00fc"
    assert json.loads(last or b"") == {"correlation_id": "c-\u00fc"}


def test_a_tombstone_is_an_empty_message(source: KafkaHarness):
    """Nothing that has an offset is skipped."""
    source.cluster.load(source.topic, 0, [b"1", None, b"3"])
    consumer = source.connect()
    consumer.checkpoint(beginning(consumer, "0"))

    assert _one(consumer).bodies == [b"1", b"", b"3"]


def test_a_clock_that_cannot_be_is_not_believed(source: KafkaHarness):
    """Times are the producer's: behind the year 9999 the arrival stands for it."""
    source.cluster.load(source.topic, 0, [b"1"], timestamps=[10**16])
    consumer = source.connect()
    consumer.checkpoint(beginning(consumer, "0"))

    (time_us,) = _one(consumer).times_us

    assert abs(time_us / 1e6 - time.time()) < 60


# --- what is gone --------------------------------------------------------------------------------


def test_an_expired_position_stops_the_partition(source: KafkaHarness):
    """With the count of what nobody read; the other partitions are not touched."""
    source.load(numbered(100), numbered(5))
    source.cluster.expire(source.topic, 0, 40)
    consumer = source.connect()
    consumer.checkpoint(_at(1, 0))

    with pytest.raises(PositionLost, match=r"begins at offset 40") as caught:
        consumer.checkpoint(_at(0, 10))

    assert (caught.value.partition, caught.value.lost) == ("0", 30)
    assert len(_one(consumer)) == 5


def test_what_expires_while_it_is_read_is_counted(source: KafkaHarness):
    """What was fetched before is handed out first; then the partition stops, the other goes on."""
    source.load([b"x" * 2**20] * 100, [])
    consumer = source.connect()
    consumer.checkpoint(_at(0, 0))
    consumer.checkpoint(_at(1, 0))
    read = [_one(consumer)]
    source.cluster.expire(source.topic, 0, 100)

    bodies, lost = _until_lost(consumer)

    assert (lost.partition, lost.lost) == ("0", 100 - len(read[0]) - len(bodies))
    assert lost.lost
    source.cluster.load(source.topic, 1, [b"other"])
    assert _one(consumer).bodies == [b"other"]


def test_a_topic_made_anew_stops_the_partition(source: KafkaHarness):
    """It ends before our position: nobody knows what is missing."""
    source.load(numbered(100))
    consumer = source.connect()
    consumer.checkpoint(_at(0, 100))
    source.cluster.delete_topic(source.topic)
    source.cluster.create_topic(partitions=1, name=source.topic)
    source.cluster.load(source.topic, 0, numbered(3))
    consumer.connect()

    _, lost = _until_lost(consumer)

    assert (lost.partition, lost.lost) == ("0", None)
    with pytest.raises(PositionLost, match="no such partition any more"):
        consumer.checkpoint(_at(2, 0))


def _load_with_holes(harness: KafkaHarness) -> None:
    """Two transactions: offset 3 and those from 7 on are marks, and messages nobody may see."""
    producer = Producer(
        {
            "bootstrap.servers": harness.cluster.bootstrap,
            "transactional.id": harness.topic,
            "log_level": 0,
        }
    )
    producer.init_transactions(10)
    for body in (b"first", b"second"):
        producer.begin_transaction()
        for _ in range(3):
            producer.produce(harness.topic, body, partition=0)
        producer.commit_transaction(10)


@pytest.fixture
def transactions(kafka: KafkaCluster) -> Iterator[KafkaHarness]:
    """A topic whose offsets 3 and 7 are marks of transactions."""
    # The mock makes marks without a checksum.
    harness = KafkaHarness(kafka, partitions=1, properties={"check.crcs": False})
    _load_with_holes(harness)
    yield harness
    harness.close()


def test_marks_of_transactions_are_no_loss(
    transactions: KafkaHarness, monkeypatch: pytest.MonkeyPatch
):
    """In a topic that is not compacted only they use up offsets; at the end they are no lag."""
    _says(is_compacted=False, monkeypatch=monkeypatch)
    consumer = transactions.connect()
    consumer.checkpoint(_at(0, 0))

    batches = drain(consumer)

    assert all_bodies(batches) == [b"first"] * 3 + [b"second"] * 3
    assert [offset for batch in batches for offset in batch.offsets] == list("012456")
    assert batches[-1].next_position == "7"
    assert consumer.lag()["0"].events == 0


@pytest.mark.parametrize(
    ("is_compacted", "reason"),
    [(True, "is compacted"), (None, "does not say whether")],
)
def test_a_hole_that_may_be_a_loss_stops_the_partition(
    transactions: KafkaHarness,
    monkeypatch: pytest.MonkeyPatch,
    is_compacted: bool | None,
    reason: str,
):
    """With the count, the reason and what to do; what came before it is handed out."""
    _says(is_compacted=is_compacted, monkeypatch=monkeypatch)
    consumer = transactions.connect()
    consumer.checkpoint(_at(0, 0))

    bodies, lost = _until_lost(consumer)

    assert bodies == [b"first"] * 3
    assert lost.lost == 1
    assert reason in str(lost)
    assert "Go on at offset 4, or set gaps to allow." in str(lost)
    assert consumer.lag() == {}
    consumer.checkpoint(_at(0, 4))
    assert _one(consumer).bodies == [b"second"] * 3


@pytest.mark.slow
def test_a_cluster_that_does_not_say_is_not_believed(kafka: KafkaCluster):
    """Asked for real, the mock gives no answer: the hole stops the partition."""
    harness = KafkaHarness(kafka, partitions=1, properties={"check.crcs": False})
    _load_with_holes(harness)
    consumer = harness.connect()
    consumer.checkpoint(_at(0, 3))

    _, lost = _until_lost(consumer)

    assert "does not say whether" in str(lost)
    harness.close()


@pytest.mark.parametrize(("gaps", "expected"), [("allow", 6), ("stop", 3)])
def test_the_setting_gaps_decides_without_asking(kafka: KafkaCluster, gaps: str, expected: int):
    """allow and stop mean what they say, whatever the topic is."""
    harness = KafkaHarness(kafka, partitions=1, gaps=gaps, properties={"check.crcs": False})
    _load_with_holes(harness)
    consumer = harness.connect()
    consumer.checkpoint(_at(0, 0))

    read = drain(consumer) if gaps == "allow" else [_one(consumer)]

    assert len(all_bodies(read)) == expected
    harness.close()


def test_bytes_that_stay_broken_stop_one_partition(kafka: KafkaCluster):
    """Once they may have broken on their way; given twice, they are what the broker holds."""
    harness = KafkaHarness(kafka, partitions=2)
    _load_with_holes(harness)  # marks without a checksum
    harness.cluster.load(harness.topic, 1, [b"sound"])
    consumer = harness.connect()
    consumer.checkpoint(_at(0, 3))

    with pytest.raises(SourceUnavailable, match="CRC"):
        consumer.consume_batch(wait_s=5)
    consumer.connect()
    _, lost = _until_lost(consumer)

    assert (lost.partition, lost.lost) == ("0", None)
    consumer.checkpoint(_at(1, 0))
    assert _one(consumer).bodies == [b"sound"]
    harness.close()


# --- faults --------------------------------------------------------------------------------------


def test_cut_connections_are_not_noticed(own_source: KafkaHarness):
    """The client opens them again; everything comes once, in order."""
    own_source.load(numbered(60_000))
    consumer = own_source.connect()
    consumer.checkpoint(_at(0, 0))
    batches = [_one(consumer)]

    own_source.cluster.cut_connections()
    while sum(map(len, batches)) < 60_000:
        try:
            batches.append(_one(consumer))
        except SourceUnavailable:
            consumer.connect()

    assert all_bodies(batches) == numbered(60_000)


def test_a_cluster_that_is_away_is_said_and_read_again(own_source: KafkaHarness):
    """With what the client says of its connections, so that a person knows what to look at."""
    own_source.load(numbered(100))
    consumer = own_source.connect()
    consumer.checkpoint(_at(0, 0))
    first = _one(consumer)

    own_source.cluster.broker_down()
    with pytest.raises(SourceUnavailable, match=r"refused|isconnected|reset|are down"):
        consumer.consume_batch(wait_s=10)
    assert not consumer.is_connected
    with pytest.raises(SourceUnavailable):
        consumer.connect()
    own_source.cluster.broker_up()
    consumer.connect()
    own_source.cluster.load(own_source.topic, 0, [b"after"])

    assert all_bodies([first, _one(consumer)]) == [*numbered(100), b"after"]


@pytest.mark.slow
def test_a_cluster_that_answers_nothing_is_away(own_source: KafkaHarness):
    """A frozen one keeps its connections; the next look at the lag notices."""
    own_source.load(numbered(10))
    consumer = own_source.connect()
    consumer.checkpoint(_at(0, 0))
    _one(consumer)
    own_source.cluster.freeze()

    started = time.monotonic()
    with pytest.raises(SourceUnavailable):
        consumer.lag()

    assert time.monotonic() - started < 8
    own_source.cluster.thaw()
    consumer.connect()
    assert consumer.lag()["0"].events == 0


def test_a_topic_that_is_not_there_is_named(source: KafkaHarness):
    """Nothing is made by looking for it."""
    source.settings = {**source.settings, "topic": "misspelt"}

    for _ in range(2):
        with pytest.raises(SourceUnavailable, match="has no topic misspelt: create it"):
            source.connect()


def test_an_answer_with_an_error_is_asked_for_again(own_source: KafkaHarness):
    """What a broker says while it looks for a leader is no loss and no fault."""
    own_source.load(numbered(10))
    consumer = own_source.connect()
    own_source.cluster.push_errors(
        FETCH, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.UNKNOWN_LEADER_EPOCH
    )
    consumer.checkpoint(_at(0, 0))

    assert _one(consumer).bodies == numbered(10)


def test_a_partition_that_moves_is_read_on():
    """Another broker leads it: reading goes on there."""
    cluster = KafkaCluster(brokers=2)
    cluster.start()
    harness = KafkaHarness(cluster, partitions=1)
    cluster.move_leader(harness.topic, 0, 1)
    consumer = harness.read(numbered(10))
    first = _one(consumer)

    cluster.move_leader(harness.topic, 0, 2)
    cluster.load(harness.topic, 0, [b"after"])

    assert all_bodies([first, _one(consumer)]) == [*numbered(10), b"after"]
    harness.close()
    cluster.kill()


def test_a_partition_without_a_leader_holds_up_no_other(monkeypatch: pytest.MonkeyPatch):
    """The broker that has it is gone: the connections to the others stay, whatever is asked."""
    _says(is_compacted=False, monkeypatch=monkeypatch)
    cluster = KafkaCluster(brokers=2)
    cluster.start()
    harness = KafkaHarness(cluster, partitions=3)
    for partition, broker in enumerate((1, 2, 2)):
        cluster.move_leader(harness.topic, partition, broker)
    consumer = harness.connect()
    for partition in (0, 1):
        consumer.checkpoint(_at(partition, 0))
    cluster.broker_down(2)
    with suppress(SourceUnavailable):  # the moment in which it goes may cost one connection
        assert consumer.consume_batch(wait_s=0.5) is None
        consumer.lag()
    if not consumer.is_connected:
        consumer.connect()

    cluster.load(harness.topic, 0, [b"one"])
    read = [_one(consumer)]
    lags: set[str] = set()
    deadline = time.monotonic() + 5
    while not lags and time.monotonic() < deadline:
        with suppress(SourceUnavailable):  # until the client knows which brokers are left
            lags |= consumer.lag().keys()
    assert lags == {"0"}
    for ask in (lambda: consumer.bounds("2"), lambda: consumer.checkpoint(_at(2, 0))):
        with pytest.raises(SourceUnavailable):
            ask()
    cluster.load(harness.topic, 0, [b"two"])
    read.append(_one(consumer))

    assert all_bodies(read) == [b"one", b"two"]
    assert consumer.is_connected
    harness.close()
    cluster.kill()


@pytest.mark.parametrize("is_connected", [True, False])
def test_a_partition_that_is_gone_stops_alone(source: KafkaHarness, *, is_connected: bool):
    """The topic was made anew with fewer partitions: the others are read on, connected or not."""
    source.load([b"0"], [b"1"])
    consumer = source.connect()
    for partition in (0, 1):
        consumer.checkpoint(_at(partition, 1))
    assert consumer.lag().keys() == {"0", "1"}
    if not is_connected:
        consumer.disconnect()
    source.cluster.delete_topic(source.topic)
    source.cluster.create_topic(partitions=1, name=source.topic)
    source.load([b"0", b"more"])

    batches: list[MessageBatch] = []
    lost: list[str] = []
    deadline = time.monotonic() + 8
    while not (lost and batches) and time.monotonic() < deadline:
        try:
            if not consumer.is_connected:
                consumer.connect()
            consumer.lag()
            batches += filter(None, [consumer.consume_batch(wait_s=0.2)])
        except PositionLost as exc:
            lost.append(exc.partition)
        except SourceUnavailable:
            time.sleep(0.1)

    assert (all_bodies(batches), lost) == ([b"more"], ["1"])
    with pytest.raises(SourceUnavailable, match="is not there"):
        consumer.bounds("1")
    assert consumer.is_connected


# --- the group, and memory -----------------------------------------------------------------------


def _committed(harness: KafkaHarness) -> int:
    """What a lag tool sees."""
    tool = Consumer(
        {"bootstrap.servers": harness.cluster.bootstrap, "group.id": "payflow-contract"}
    )
    try:
        (place,) = tool.committed([TopicPartition(harness.topic, 0)], timeout=5)
        return int(place.offset)
    finally:
        tool.close()


def test_the_group_shows_what_was_acknowledged(source: KafkaHarness):
    """Behind our own commit, for lag tools; it is never read."""
    consumer = source.read(numbered(10))
    batch = _one(consumer)
    assert _committed(source) < 0

    consumer.acknowledge_batch(batch)
    deadline = time.monotonic() + 5
    while _committed(source) != 10 and time.monotonic() < deadline:
        consumer.consume_batch(wait_s=0.05)

    assert _committed(source) == 10
    consumer.checkpoint(_at(0, 4))
    assert _one(consumer).bodies == numbered(10)[4:]


def test_a_group_that_refuses_is_logged_once(
    own_source: KafkaHarness, caplog: pytest.LogCaptureFixture
):
    """Lag tools are no reason to stop."""
    refused = KafkaError.GROUP_AUTHORIZATION_FAILED
    own_source.cluster.push_errors(OFFSET_COMMIT, *[refused] * 20)
    consumer = own_source.read(numbered(10))
    batch = _one(consumer)

    with caplog.at_level(logging.WARNING):
        deadline = time.monotonic() + 1.2
        while time.monotonic() < deadline:
            consumer.acknowledge_batch(batch)
            assert consumer.consume_batch(wait_s=0.1) is None

    (record,) = [r for r in caplog.records if getattr(r, "action", "") == "group_commit_failed"]
    assert getattr(record, "error", "") == "GROUP_AUTHORIZATION_FAILED"


def test_a_trickle_is_not_starved_by_backlogs(
    source: KafkaHarness, monkeypatch: pytest.MonkeyPatch
):
    """Two partitions fill all that may be held; a message of the third comes in good time."""
    monkeypatch.setattr("ingestion.sources.kafka_buffer.BUFFERED_MESSAGES", 5_000)
    monkeypatch.setattr("ingestion.sources.kafka.READ_MESSAGES", 500)
    monkeypatch.setattr("ingestion.sources.kafka.PATIENCE_S", 0.2)
    source.load(numbered(60_000), numbered(60_000), [b"trickle"])
    consumer = source.connect()
    for partition in range(3):
        consumer.checkpoint(_at(partition, 0))

    batches = [_one(consumer)]
    while batches[-1].partition != "2":
        time.sleep(0.03)  # what a batch costs elsewhere
        batches.append(_one(consumer))

    read = sum(map(len, batches))
    assert read < 120_000
    assert read / len(batches) > 500


_READ_AND_SIT = """
import sys, time
from pathlib import Path
from ingestion.sources.base import Checkpoint
from ingestion.sources.kafka import KafkaConsumer

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

settings = {"bootstrap_servers": sys.argv[1], "topic": sys.argv[2]}
consumer = KafkaConsumer(source="s", settings=KafkaConsumer.parse_settings(settings))
consumer.connect()
before = resident()
for partition in "012":
    consumer.checkpoint(Checkpoint(partition=partition, position="0", sequence_number=0))
grown = []
for _ in range(15):
    assert consumer.consume_batch(wait_s=2) is not None
    time.sleep(0.1)
    grown.append(resident() - before)
print(max(grown))
"""


def test_memory_is_bounded_while_nobody_takes(source: KafkaHarness):
    """Of 200 MB that wait in three partitions only what may be fetched ahead is held."""
    source.load(*[[b"x" * 2**20] * 66 for _ in range(3)])

    answer = subprocess.run(
        [sys.executable, "-c", _READ_AND_SIT, source.cluster.bootstrap, source.topic],
        capture_output=True,
        check=True,
        text=True,
    )

    most = QUEUE_KB * 1024 + FETCH_BYTES + 2 * BUFFERED_BYTES
    assert QUEUE_KB * 1024 / 2 < int(answer.stdout) < most
