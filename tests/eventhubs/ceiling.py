"""What the test server itself can carry, with a bare client on the other side.

    python -m tests.eventhubs.ceiling [--json]

Figures of the SDK against this server mean something as long as they are far below these: "out" and
"in" are the bare client's, "sdk out" and "sdk in" those of the SDK's reader and producer of one
partition, which decode and encode every event in Python.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from azure.eventhub import EventData

from tests.eventhubs import codec
from tests.eventhubs.client import Client
from tests.eventhubs.messages import BATCH_FORMAT
from tests.eventhubs.process import EventHubsServer
from tests.eventhubs.sdk import producer, reader

_BATCH_BYTES = 950_000
_BODY_SIZES = (250, 1_000, 100_000, 1_000_000)
_SDK_BELOW_BYTES = 100_000


class Figure(NamedTuple):
    """One measurement."""

    direction: str
    body_bytes: int
    events: int
    events_per_s: int
    mb_per_s: float


class Direction(Protocol):
    """Moves so many events of one size one way."""

    __name__: str

    def __call__(self, server: EventHubsServer, hub: str, *, size: int, events: int) -> Figure: ...


def _figure(direction: str, size: int, events: int, took_s: float) -> Figure:
    return Figure(
        direction, size, events, round(events / took_s), round(events * size / took_s / 1e6, 1)
    )


def read_out(server: EventHubsServer, hub: str, *, size: int, events: int) -> Figure:
    """Read one partition of loaded events from its beginning."""
    for at in range(0, events, 2_000):
        server.load(hub, 0, [b"x" * size] * min(2_000, events - at), {"type": "transaction"})
    with Client(server.port) as client:
        client.begin()
        client.attach_reader(hub)
        started = time.perf_counter()
        client.flow(events)
        taken = sum(client.take(events))
        took_s = time.perf_counter() - started
    assert taken > events * size, f"{taken} bytes are not {events} events"
    return _figure("out", size, events, took_s)


def sdk_read_out(server: EventHubsServer, hub: str, *, size: int, events: int) -> Figure:
    """The same by the SDK; the time runs from its first event."""
    server.load(hub, 0, [b"x" * size] * events, {"type": "transaction"})
    got: list[EventData] = []
    with reader(server, hub, got.extend, prefetch=3_000) as receive:
        while not got:
            receive()
        before, started = len(got), time.perf_counter()
        while len(got) < events:
            receive()
        took_s = time.perf_counter() - started
    return _figure("sdk out", size, events - before, took_s)


def sdk_send_in(server: EventHubsServer, hub: str, *, size: int, events: int) -> Figure:
    """Batches as large as the hub takes; the time runs from the second one."""
    sent, before, started = 0, 0, 0.0
    with producer(server, hub) as client:
        while sent < events:
            batch = client.create_batch(partition_id="0")
            with suppress(ValueError):  # the batch is full
                while sent + len(batch) < events:
                    event = EventData(b"x" * size)
                    event.properties = {"type": "transaction"}
                    batch.add(event)
            client.send_batch(batch)
            sent += len(batch)
            if not before:
                before, started = sent, time.perf_counter()
        took_s = time.perf_counter() - started
    return _figure("sdk in", size, sent - before, took_s)


def _message(size: int) -> bytes:
    properties = codec.mapping({codec.string("type"): codec.string("transaction")})
    body = codec.described(0x75, codec.binary(b"x" * size))
    return codec.described(0x74, properties) + body


def send_in(server: EventHubsServer, hub: str, *, size: int, events: int) -> Figure:
    """Send batches as the SDK makes them, each waited for."""
    message, message_format = _message(size), 0
    per_batch = max(1, _BATCH_BYTES // len(message))
    if per_batch > 1:
        section = codec.described(0x75, codec.binary(message))
        message, message_format = section * per_batch, BATCH_FORMAT
    batches = max(1, events // per_batch)
    with Client(server.port) as client:
        client.begin()
        client.attach(f"{hub}/Partitions/0", receives=False)
        client.expect(codec.FLOW)
        started = time.perf_counter()
        for delivery in range(batches):
            client.socket.sendall(client.transfer(delivery, message, message_format=message_format))
            client.expect(codec.DISPOSITION)
        took_s = time.perf_counter() - started
    end = server.stats()["ends"][f"{hub}/0"]
    assert end == batches * per_batch, f"sent {batches * per_batch}, kept {end}"
    return _figure("in", size, batches * per_batch, took_s)


def measure() -> list[Figure]:
    """All sizes, both directions, a hub each."""
    figures = []
    with tempfile.TemporaryDirectory() as directory:
        server = EventHubsServer(Path(directory))
        server.start()
        for size in _BODY_SIZES:
            events = max(30, min(60_000, 60_000_000 // size))
            directions: list[Direction] = [read_out, send_in]
            if size < _SDK_BELOW_BYTES:
                directions += [sdk_read_out, sdk_send_in]
            for direction in directions:
                hub = f"{direction.__name__}-{size}"
                server.create_hub(hub)
                figures.append(direction(server, hub, size=size, events=events))
        server.kill()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure()
    if options.json:
        print(json.dumps([figure._asdict() for figure in figures], indent=2))
        return
    for figure in figures:
        print(
            f"{figure.direction:>7} {figure.body_bytes:>9,} B: {figure.events_per_s:>9,} events/s "
            f"{figure.mb_per_s:>7,} MB/s ({figure.events:,} events)"
        )


if __name__ == "__main__":
    main()
