"""A broker that dies or freezes, for real, beside one that is well."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections

from configuration.sources import SourceDocument, define
from ingestion.drain import Drainer
from ingestion.models import Batch, Partition
from ingestion.source_models import SourceConnection, SourceError
from ingestion.verify import verify
from metrics.models import NormalizedTransaction
from payflow.lib import streams as stream_client
from tests.ingestion.streaming import publish, wait_until
from tests.own_valkey import OwnServer

pytestmark = pytest.mark.usefixtures("ready", "streams")


@pytest.fixture
def ill(ready: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnServer]:
    """The server of the source `ill`; calls to it give up after 1.5 seconds, not after 5."""
    monkeypatch.setattr(stream_client, "SOCKET_TIMEOUT_S", 1.5)
    server = OwnServer(tmp_path / "valkey")
    server.directory.mkdir()
    server.start()
    define(
        SourceDocument(
            name="ill",
            broker_type="redis_streams",
            settings={"url": server.url, "stream": "payflow.demo", "partitions": 4},
            schema_name="transaction",
        )
    )
    yield server
    server.kill()


@pytest.fixture
def draining(ill: OwnServer) -> Iterator[None]:
    """One drainer of both sources that holds all of their partitions."""
    stop = threading.Event()

    def run() -> None:
        try:
            Drainer(stop=stop, sources=["demo", "ill"]).run()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    wait_until(lambda: Partition.objects.exclude(leased_until=None).count() == 8)
    yield
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def stored(source: str) -> int:
    rows = Partition.objects.filter(source__name=source)
    return sum(rows.values_list("sequence_number", flat=True))


def epochs(source: str) -> list[int]:
    rows = Partition.objects.filter(source__name=source).order_by("id")
    return list(rows.values_list("lease_epoch", flat=True))


def arrivals(streams, event, *, seconds: float) -> list[float]:
    """Send one event after the other to `demo`; seconds from each to its commit."""
    took: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        publish(streams, [event(len(took))], only=0)
        took.append(wait_until(lambda: stored("demo") == len(took) + 1))
    return took


def test_a_frozen_broker_costs_its_own_source_alone(draining, ill, streams, event):
    """It takes connections and answers nothing. The other source is read as before, under the
    same leases; once it thaws, what it kept is read without a hand."""
    before = epochs("demo")
    ill.freeze()

    took = arrivals(streams, event, seconds=4)
    wait_until(lambda: SourceError.objects.filter(source__name="ill").exists())
    ill.thaw()
    with ill.client() as client:
        publish(client, [event(number) for number in range(10_000, 10_040)])
    wait_until(lambda: stored("ill") == 40)
    wait_until(lambda: SourceConnection.objects.filter(connected_since=None).count() == 0)

    assert max(took) < 1.2  # one hang is longer
    assert epochs("demo") == before
    assert NormalizedTransaction.objects.count() == len(took) + 40
    assert verify().listed == []


def test_a_killed_broker_that_comes_back_is_read_on(draining, ill, streams, event):
    """Connections are cut in the middle of its messages; nothing is lost, doubled or stopped."""
    with ill.client() as client:
        publish(client, [event(number) for number in range(200)])
    ill.kill()
    wait_until(lambda: SourceConnection.objects.exclude(failing_since=None).count() == 1)
    ill.start()
    with ill.client() as client:
        publish(client, [event(number) for number in range(200, 300)])
    wait_until(lambda: stored("ill") == 300)

    assert not Partition.objects.exclude(state="active").exists()
    assert Batch.objects.exclude(partition__source__name="ill").count() == 0
    assert verify().listed == []
