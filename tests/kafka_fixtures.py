"""Kafka clusters as fixtures; name them in a conftest to have them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kafka_cluster import KafkaCluster


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaCluster]:
    """One cluster per worker, started by the first test that asks for it; a topic per test."""
    cluster = KafkaCluster()
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture
def own_kafka() -> Iterator[KafkaCluster]:
    """A cluster that the test may break; it starts in 0.1 s."""
    cluster = KafkaCluster()
    cluster.start()
    yield cluster
    cluster.kill()
