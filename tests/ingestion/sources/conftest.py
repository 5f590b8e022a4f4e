"""Fixtures of the sources' tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.eventhubs.process import EventHubsServer
from tests.own_valkey import OwnServer


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[OwnServer]:
    """Started, and killed after the test."""
    server = OwnServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def eventhubs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventHubsServer]:
    """One Event Hubs namespace per worker, started by the first test that asks for it."""
    server = EventHubsServer(tmp_path_factory.mktemp("eventhubs"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def eventhubs(eventhubs_server: EventHubsServer) -> Iterator[EventHubsServer]:
    """The worker's namespace, running and without a fault; a hub per test (names are replaced)."""
    yield eventhubs_server
    eventhubs_server.lift()
