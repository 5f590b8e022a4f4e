"""Event Hubs: the contract over AMQP, and what is special about hubs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest

from tests.eventhubs.process import EventHubsServer
from tests.ingestion.sources.contract import Harness, SourceContract

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


@pytest.fixture
def source(eventhubs: EventHubsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubHarness]:
    """On the worker's namespace."""
    harness = HubHarness(eventhubs, monkeypatch)
    yield harness
    harness.close()


class TestEventHubsContract(SourceContract):
    """The contract on a hub."""
