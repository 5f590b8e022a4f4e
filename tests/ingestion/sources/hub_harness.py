"""A hub that a test fills and reads."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from azure.eventhub import EventHubProducerClient
from azure.eventhub.amqp import AmqpAnnotatedMessage

from ingestion.sources.base import Checkpoint, MessageBatch, MessageConsumer
from payflow.lib.errors import SourceUnavailable
from tests.eventhubs.process import EventHubsServer
from tests.ingestion.sources.contract import (
    Harness,
)

_names = itertools.count()


class HubHarness(Harness):
    """A hub of a name nobody used before, with three partitions."""

    broker_type = "event_hubs"
    partitions = 3

    def __init__(self, server: EventHubsServer, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.server = server
        self.hub = f"hub-{next(_names)}"
        server.create_hub(self.hub, self.partitions, ["other"])
        monkeypatch.setenv("TEST_HUB", server.connection_string(self.hub))
        self.settings = {"connection_string": "env:TEST_HUB", "hub": self.hub, "linger_ms": 50}

    def load(self, *bodies: Sequence[bytes]) -> None:
        for partition, messages in enumerate(bodies):
            self.server.load(self.hub, partition, messages)

    def add(self, bodies: Sequence[bytes], *, partition: int = 0) -> None:
        """Append messages."""
        self.server.load(self.hub, partition, bodies)

    def send(self, *messages: AmqpAnnotatedMessage) -> None:
        """As a producer with the public client does."""
        client = EventHubProducerClient.from_connection_string(
            self.server.connection_string(self.hub)
        )
        with client:
            client.send_batch(list(messages), partition_id="0")


@pytest.fixture
def source(eventhubs: EventHubsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubHarness]:
    """On the worker's namespace."""
    harness = HubHarness(eventhubs, monkeypatch)
    yield harness
    harness.close()


def next_batch(consumer: MessageConsumer) -> MessageBatch:
    """The next one, which must come."""
    batch = consumer.consume_batch(wait_s=3)
    assert batch is not None
    return batch


def after(batch: MessageBatch, **changes: Any) -> Checkpoint:
    """Where the commit of this batch leaves its partition."""
    at = {
        "partition": batch.partition,
        "position": batch.next_position,
        "sequence_number": batch.sequence_number + len(batch),
        "broker_offset": batch.broker_offset,
    }
    return Checkpoint(**{**at, **changes})


def read_through(consumer: MessageConsumer, count: int) -> list[bytes]:
    """So many messages, connecting again whenever the hub goes away."""
    bodies: list[bytes] = []
    deadline = time.monotonic() + 20
    while len(bodies) < count and time.monotonic() < deadline:
        try:
            if not consumer.is_connected:
                consumer.connect()
            batch = consumer.consume_batch(wait_s=0.5)
        except SourceUnavailable:
            time.sleep(0.02)
        else:
            bodies += batch.bodies if batch else []
    return bodies
