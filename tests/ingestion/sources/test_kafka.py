"""Kafka as a source: the contract, and what only Kafka has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest

from ingestion.sources.base import Checkpoint, MessageBatch, MessageConsumer
from payflow.lib.errors import PositionLost, SourceUnavailable
from tests.ingestion.sources.contract import (
    Harness,
    SourceContract,
    all_bodies,
    beginning,
    drain,
    numbered,
)
from tests.kafka_cluster import FETCH, KafkaCluster, RealKafka, real_kafka


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


@pytest.fixture
def source(kafka: KafkaCluster) -> Iterator[KafkaHarness]:
    """On the cluster of the test run."""
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
