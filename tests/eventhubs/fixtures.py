"""Fixtures of the Event Hubs server, for a conftest.py to import."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.eventhubs.process import EventHubsServer


@pytest.fixture(scope="session")
def eventhubs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventHubsServer]:
    """One Event Hubs namespace per worker, started by the first test that asks for it."""
    server = EventHubsServer(tmp_path_factory.mktemp("eventhubs"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def eventhubs(eventhubs_server: EventHubsServer) -> Iterator[EventHubsServer]:
    """The worker's namespace, running and without a fault. `create_hub` replaces a hub."""
    yield eventhubs_server
    eventhubs_server.heal()
