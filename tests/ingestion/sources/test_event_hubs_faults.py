"""Event Hubs when connections end, servers die or say nothing, and what waits meanwhile."""

from __future__ import annotations

import threading
import time

import pytest

from ingestion.sources import event_hubs
from ingestion.sources.base import Checkpoint
from payflow.lib import event_hubs_connection
from payflow.lib.errors import PositionLost, SourceUnavailable
from tests.ingestion.sources.contract import (
    all_bodies,
    drain,
    numbered,
)
from tests.ingestion.sources.hub_harness import HubHarness, next_batch, read_through, source

__all__ = ["source"]


@pytest.mark.parametrize("how", ["reset", "close", "detach"])
def test_cut_connections_lose_and_double_nothing(source: HubHarness, how: str):
    """Whatever ends them: an error of the socket, of the connection, or of each link."""
    bodies = numbered(15_000)
    consumer = source.read(bodies)
    first = next_batch(consumer)

    source.server.cut_connections(how)
    rest = read_through(consumer, len(bodies) - len(first))

    assert first.bodies + rest == bodies


def test_a_connection_that_ends_within_a_frame_is_read_on(source: HubHarness):
    """Half an event is none."""
    bodies = numbered(5_000)
    consumer = source.read(bodies)
    source.server.cut_after(1_234)

    assert read_through(consumer, len(bodies)) == bodies


def test_reading_goes_on_after_the_server_was_killed(source: HubHarness):
    """While it is away every call says so; connect() is all it takes."""
    bodies = numbered(200)
    consumer = source.read(bodies)
    first = next_batch(consumer)
    source.server.kill()

    with pytest.raises(SourceUnavailable):
        consumer.consume_batch(wait_s=2)
    assert not consumer.is_connected
    with pytest.raises(SourceUnavailable):
        consumer.connect()
    with pytest.raises(SourceUnavailable):
        consumer.lag()
    source.server.start()
    source.add([b"later"])
    consumer.connect()

    assert first.bodies + all_bodies(drain(consumer)) == [*bodies, b"later"]


def test_a_silent_server_is_given_up(source: HubHarness, monkeypatch: pytest.MonkeyPatch):
    """It holds its connections and says nothing: no call takes longer than its limit."""
    consumer = source.read(numbered(3))
    next_batch(consumer)
    monkeypatch.setattr(event_hubs_connection, "REQUEST_S", 0.3)
    monkeypatch.setattr(event_hubs_connection, "OPEN_S", 0.3)
    source.server.freeze()

    started = time.monotonic()
    for call in (consumer.lag, consumer.connect):
        with pytest.raises(SourceUnavailable, match="no answer in time"):
            call()

    assert time.monotonic() - started < 3


def test_messages_that_trickle_are_not_held_back(source: HubHarness):
    """A batch ends when its first message has lingered, whatever still comes."""
    consumer = source.read([])
    drain(consumer)
    stop = threading.Event()

    def trickle() -> None:
        while not stop.wait(0.01):
            source.add([b"%f" % time.time()])

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        ages = [time.time() - float(next_batch(consumer).bodies[0]) for _ in range(5)]
    finally:
        stop.set()
        thread.join()

    assert max(ages) < 0.5  # 0.06 on a quiet machine


def test_what_waits_here_is_bounded_with_large_messages(source: HubHarness, monkeypatch):
    """The hub may send only what may wait, and nothing is read once enough of it does."""
    monkeypatch.setattr(event_hubs, "_TOTAL_BYTES", 12 * 2**20)
    large = [b"x" * 2**20] * 12
    consumer = source.read([*numbered(5), *large], large, large)
    count, most = 0, 0

    while (batch := consumer.consume_batch(wait_s=0.5)) is not None:
        count += len(batch)
        waiting = consumer._readings.values()  # type: ignore[attr-defined]
        most = max(most, sum(reading.size for reading in waiting))

    assert count == 41
    assert most <= 14 * 2**20  # the limit, and what one look at the connection brings


def test_nothing_stays_open_after_a_disconnect(source: HubHarness):
    """No thread, no connection."""
    threads = set(threading.enumerate())
    before = source.server.stats()["open_connections"]
    consumer = source.read(numbered(5))
    drain(consumer)
    consumer.lag()

    consumer.disconnect()

    assert set(threading.enumerate()) == threads
    deadline = time.monotonic() + 2
    while source.server.stats()["open_connections"] > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert source.server.stats()["open_connections"] == before


def test_lag_asks_for_a_part_of_many_partitions_at_a_time(source: HubHarness, monkeypatch):
    """A consumer group may ask 50 times a second: the rest is told as it was last seen."""
    consumer = source.read(numbered(3), numbered(3), numbered(3))
    for batch in drain(consumer):
        assert len(batch) == 3
    monkeypatch.setattr(event_hubs, "_LOOKS", 1)
    for partition in range(3):
        source.add(numbered(2), partition=partition)

    seen = [sum(lag.events for lag in consumer.lag().values()) for _ in range(3)]

    assert seen[-1] == 6


@pytest.mark.parametrize("is_connected", [True, False])
def test_a_partition_that_is_gone_stops_alone(source: HubHarness, *, is_connected: bool):
    """The hub was made anew with fewer partitions: the others are read on."""
    source.load([b"0"], [b"1"])
    consumer = source.connect()
    for partition in ("0", "1"):
        consumer.checkpoint(Checkpoint(partition=partition, position="1", sequence_number=1))
    assert consumer.consume_batch(wait_s=0.1) is None
    if not is_connected:
        consumer.disconnect()
    source.server.delete_hub(source.hub)
    source.server.create_hub(source.hub, 1, [])
    source.load([b"0", b"more"])

    bodies: list[bytes] = []
    lost: list[str] = []
    deadline = time.monotonic() + 8
    while not (lost and bodies) and time.monotonic() < deadline:
        try:
            bodies += read_through(consumer, 1)
        except PositionLost as exc:
            lost.append(exc.partition)

    assert (bodies, lost) == ([b"more"], ["1"])
    with pytest.raises(SourceUnavailable, match="no partition 1"):
        consumer.bounds("1")
    with pytest.raises(PositionLost, match="no such partition"):
        consumer.checkpoint(Checkpoint(partition="1", position="1", sequence_number=1))
    assert consumer.is_connected
