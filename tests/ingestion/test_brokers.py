"""Kafka and Event Hubs through the whole path, in this process; tests/kill breaks them for real."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import pytest

from configuration.models import Source
from configuration.sources import SourceDocument, define
from deadletter.models import FailedItem
from ingestion.drain import Drainer
from ingestion.models import Batch, Partition
from ingestion.verify import verify
from metrics.models import NormalizedTransaction
from tests.eventhubs.fixtures import eventhubs, eventhubs_server
from tests.eventhubs.process import EventHubsServer
from tests.kafka_cluster import KafkaCluster
from tests.kafka_fixtures import kafka, own_kafka
from tests.kill.traffic import make, padded

__all__ = ["eventhubs", "eventhubs_server", "kafka", "own_kafka"]

pytestmark = pytest.mark.usefixtures("ready", "streams")

PARTITIONS = 3


class Topic(Protocol):
    """A topic of some broker, and the source that reads it."""

    source: Source

    def send(self, partition: int, bodies: Sequence[bytes]) -> None:
        """Append to a partition."""

    def trickle(self) -> None:
        """From now on deliver in small parts, where the broker can do that."""


class KafkaTopic:
    """Of the mock cluster."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self._cluster = cluster
        self._topic = cluster.create_topic(partitions=PARTITIONS)
        self.source = _source(
            "kafka", {"bootstrap_servers": cluster.bootstrap, "topic": self._topic}
        )

    def send(self, partition: int, bodies: Sequence[bytes]) -> None:
        self._cluster.load(self._topic, partition, bodies)

    def trickle(self) -> None:
        self._cluster.slow_down(20)


class Hub:
    """Of the Event Hubs server."""

    def __init__(self, server: EventHubsServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self._server = server
        server.create_hub("whole-path", PARTITIONS)
        monkeypatch.setenv("WHOLE_PATH_HUB", server.connection_string("whole-path"))
        self.source = _source(
            "event_hubs", {"connection_string": "env:WHOLE_PATH_HUB", "hub": "whole-path"}
        )

    def send(self, partition: int, bodies: Sequence[bytes]) -> None:
        self._server.load("whole-path", partition, bodies)

    def trickle(self) -> None:
        self._server.trickle(7)


def _source(broker_type: str, settings: dict[str, Any]) -> Source:
    document = SourceDocument(
        name="whole-path", broker_type=broker_type, settings=settings, schema_name="transaction"
    )
    return define(document)[0]


@pytest.fixture(params=["kafka", "event_hubs"])
def topic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Topic]:
    """A topic of three partitions; faults are lifted afterwards."""
    if request.param == "kafka":
        cluster: KafkaCluster = request.getfixturevalue("kafka")
        yield KafkaTopic(cluster)
        cluster.slow_down(0)
    else:
        yield Hub(request.getfixturevalue("eventhubs"), monkeypatch)


def _drain() -> None:
    """Everything that is there, by a drainer of its own."""
    Drainer(stop=threading.Event(), sources=["whole-path"]).run(until_idle=True)


def _partitions() -> list[Partition]:
    return list(Partition.objects.filter(source__name="whole-path").order_by("name"))


def test_small_large_broken_and_repeated_events_count_once(topic):
    """Between small events lie some of 1 MB and broken ones; one partition is empty; all of it
    arrives in small parts. What is delivered again is a duplicate, and verify agrees."""
    bodies, expected = make(300, seed=11)
    large = [padded(body, 1_000_000) for body in make(3, seed=12)[0]]
    topic.trickle()
    topic.send(0, [*bodies[:150], *large])
    topic.send(1, bodies[150:])
    again = [body for body in bodies[:15] if b'"amount"' in body]
    topic.send(1, again)

    _drain()

    assert NormalizedTransaction.objects.count() == expected.accepted + 3
    assert FailedItem.objects.count() == expected.failed
    assert sum(b.duplicates for b in Batch.objects.all()) == expected.duplicates + len(again)
    assert [(p.sequence_number, p.lag_events) for p in _partitions()] == [
        (153, 0),
        (150 + len(again), 0),
        (0, 0),
    ]
    assert verify().listed == []


def test_the_next_drainer_goes_on_where_the_last_one_stopped(topic):
    """Partitions move with their checkpoint: positions chain, epochs rise, none comes twice."""
    bodies, expected = make(200, seed=13)
    topic.send(0, bodies[:80])
    _drain()
    topic.send(0, bodies[80:160])
    topic.send(2, bodies[160:])

    _drain()

    batches = list(Batch.objects.filter(partition__name="0").order_by("sequence_number"))
    ends = [batch.next_position for batch in batches]
    assert [batch.start_position for batch in batches[1:]] == ends[:-1]
    assert batches[-1].epoch > batches[0].epoch
    assert sum(batch.messages for batch in batches) == 160
    assert NormalizedTransaction.objects.count() == expected.accepted
    assert verify().listed == []
