"""Fixtures of the sources' tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.eventhubs.fixtures import eventhubs, eventhubs_server
from tests.kafka_fixtures import kafka, own_kafka
from tests.own_valkey import OwnServer

__all__ = ["eventhubs", "eventhubs_server", "kafka", "own_kafka", "own_server"]


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[OwnServer]:
    """Started, and killed after the test."""
    server = OwnServer(tmp_path)
    server.start()
    yield server
    server.kill()
