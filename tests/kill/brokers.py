"""Brokers of whole-path tests and benchmarks: real protocols, own processes, and ways to hurt them.

A topic (stream, hub) belongs to one source of a World; partitions are filled one by one, so that a
test knows what lies where.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ingestion.sources.factory import CONSUMERS
from tests.eventhubs.process import EventHubsServer
from tests.kafka_cluster import KafkaCluster
from tests.kill.world import World


class Broker(ABC):
    """One broker; `close()` it."""

    broker_type: ClassVar[str]

    def __init__(self, world: World) -> None:
        """Starts it; workers that the world starts from now on can reach it."""
        self.world = world

    @abstractmethod
    def settings(self, topic: str) -> dict[str, Any]:
        """Of a source that reads the topic."""

    @abstractmethod
    def create(self, topic: str, *, partitions: int) -> None:
        """Make an empty topic."""

    @abstractmethod
    def send(self, topic: str, partition: int, bodies: Sequence[bytes]) -> None:
        """Append to a partition; durable when this returns."""

    @abstractmethod
    def cut(self) -> None:
        """Every connection of a worker breaks at once."""

    @abstractmethod
    def restart(self) -> None:
        """Away for a second, then back with everything that it held."""

    @abstractmethod
    def close(self) -> None:
        """End it."""

    def add_source(self, name: str, *, partitions: int, **settings: Any) -> None:
        """A topic of that name and the source that reads it."""
        self.create(name, partitions=partitions)
        self.world.define(
            name, broker_type=self.broker_type, settings={**self.settings(name), **settings}
        )

    def fill(self, topic: str, by_partition: Mapping[int, Sequence[bytes]]) -> None:
        for partition, bodies in by_partition.items():
            self.send(topic, partition, bodies)


class StreamsBroker(Broker):
    """The world's own Valkey."""

    broker_type = "redis_streams"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._partitions: dict[str, int] = {}

    def settings(self, topic: str) -> dict[str, Any]:
        return {"stream": topic, "partitions": self._partitions[topic]}

    def create(self, topic: str, *, partitions: int) -> None:
        self._partitions[topic] = partitions

    def send(self, topic: str, partition: int, bodies: Sequence[bytes]) -> None:
        with self.world.streams() as client:
            for first in range(0, len(bodies), 1_000):
                pipeline = client.pipeline(transaction=True)
                for body in bodies[first : first + 1_000]:
                    pipeline.xadd(f"{topic}.{partition}", {"body": body})
                pipeline.execute()

    def cut(self) -> None:
        with self.world.streams() as client:
            client.client_kill_filter(_type="normal", skipme=True)

    def restart(self) -> None:
        self.world.kill_and_restart("streams")

    def close(self) -> None:
        """The world ends its own servers."""


class KafkaBroker(Broker):
    """librdkafka's mock cluster; what it holds lives as long as its process."""

    broker_type = "kafka"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.cluster = KafkaCluster()
        self.cluster.start()

    def settings(self, topic: str) -> dict[str, Any]:
        return {"bootstrap_servers": self.cluster.bootstrap, "topic": topic}

    def create(self, topic: str, *, partitions: int) -> None:
        self.cluster.create_topic(name=topic, partitions=partitions)

    def send(self, topic: str, partition: int, bodies: Sequence[bytes]) -> None:
        self.cluster.load(topic, partition, bodies)

    def cut(self) -> None:
        self.cluster.cut_connections()

    def restart(self) -> None:
        self.cluster.broker_down()
        time.sleep(1)
        self.cluster.broker_up()

    def close(self) -> None:
        self.cluster.stop()


class EventHubsBroker(Broker):
    """The Event Hubs server of the tests; what it holds is in its journal."""

    broker_type = "event_hubs"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        directory = world.services.state_dir / "eventhubs"
        directory.mkdir()
        self.server = EventHubsServer(directory)
        self.server.start()

    def settings(self, topic: str) -> dict[str, Any]:
        return {"connection_string": f"env:{self._variable(topic)}", "hub": topic}

    def create(self, topic: str, *, partitions: int) -> None:
        self.server.create_hub(topic, partitions)
        self.world.env[self._variable(topic)] = self.server.connection_string(topic)

    def send(self, topic: str, partition: int, bodies: Sequence[bytes]) -> None:
        self.server.load(topic, partition, bodies)

    def cut(self) -> None:
        self.server.cut_connections()

    def restart(self) -> None:
        self.server.kill()
        time.sleep(1)
        self.server.start()

    def close(self) -> None:
        self.server.stop()

    def _variable(self, topic: str) -> str:
        return f"HUB_{topic.upper().replace('-', '_')}"


#: every broker that a source can read, by its type
BROKERS: dict[str, type[Broker]] = {
    broker.broker_type: broker
    for broker in (StreamsBroker, KafkaBroker, EventHubsBroker)
    if broker.broker_type in CONSUMERS
}
