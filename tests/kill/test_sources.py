"""Kafka and Event Hubs break as brokers do, under real workers: nothing is lost or doubled."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from azure.eventhub import EventHubConsumerClient

from tests.kill.brokers import Broker, EventHubsBroker, KafkaBroker
from tests.kill.traffic import Expected, make, padded
from tests.kill.world import World, with_group

pytestmark = [pytest.mark.kill, pytest.mark.timeout(900)]

#: rounds of faults; `make test-all` sets more
ROUNDS = max(1, int(os.environ.get("PAYFLOW_KILLS", "5")) // 5)
SEED = int(os.environ.get("PAYFLOW_KILL_SEED", str(random.randrange(10**6))))
#: the last one of each topic stays empty
PARTITIONS = 5
CHUNK = 100
#: between chunks: 250 events a second to each broker
CHUNK_S = 0.4
_READ = (
    "SELECT count(*) FROM partitions p JOIN sources s ON s.id = p.source_id"
    " WHERE s.name <> 'demo' AND p.state = 'active' AND lag_events = 0 AND lag_at > %s"
)
_TAKEN = "SELECT coalesce(sum(times), 0) FROM source_errors WHERE kind = 'taken'"


def test_brokers_that_break_lose_and_double_nothing(payflow_world: World) -> None:
    """Two workers read both brokers while events flow, among them some of 1 MB. Connections are cut
    in the middle of a frame, servers go away and come back, deliveries come again, arrive in small
    parts, workers die, partitions move, a stranger takes a partition. Afterwards the tables hold
    what was sent, verify agrees, and no lag is left without anybody's hand.
    """
    print(f"PAYFLOW_KILL_SEED={SEED}")
    kafka, hubs = KafkaBroker(payflow_world), EventHubsBroker(payflow_world)
    try:
        for broker in (kafka, hubs):
            broker.add_source(broker.broker_type, partitions=PARTITIONS)
        workers = Workers(payflow_world)
        with (
            Traffic(kafka, seed=SEED).flowing() as first,
            Traffic(hubs, seed=SEED + 1).flowing() as second,
        ):
            traffic = first, second
            for number in range(ROUNDS):
                for fault in _faults(kafka, hubs, workers, traffic, number=number):
                    fault()
                    time.sleep(0.3)
        expected = Expected()
        for one in traffic:
            _add(expected, one.expected)
        payflow_world.wait_for(expected.messages, seconds=120)

        assert {kind for (kind,) in payflow_world.sql("SELECT kind FROM source_errors")} == {
            "connection",
            "taken",
        }
        payflow_world.assert_exactly_once(expected)
        _assert_read(payflow_world)
        payflow_world.assert_verified()
    finally:
        for broker in (kafka, hubs):
            broker.close()


def _faults(
    kafka: KafkaBroker,
    hubs: EventHubsBroker,
    workers: Workers,
    traffic: tuple[Traffic, Traffic],
    *,
    number: int,
) -> list[Callable[[], None]]:
    """Each kind once; after the first round in another order."""
    faults: list[Callable[[], None]] = [
        lambda: _steal(hubs),
        lambda: hubs.server.trickle(3),
        lambda: traffic[0].between(kafka.cut),
        lambda: hubs.server.cut_after(25),
        traffic[0].send_again,
        lambda: traffic[1].between(hubs.restart),
        lambda: traffic[0].between(kafka.restart),
        traffic[1].send_again,
        workers.kill_one,
        hubs.cut,
    ]
    if number:
        random.Random(SEED + number).shuffle(faults)
    return [*faults, hubs.server.lift]


class Workers:
    """Two `manage.py drain`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._running = [world.start_drain() for _ in range(2)]

    def kill_one(self) -> None:
        """kill -9, and a new one: partitions move twice."""
        victim = self._running.pop(0)
        with_group(victim, signal.SIGKILL)
        self._running.append(self._world.start_drain())


class Traffic:
    """Events to one broker, some of them again, and what must become of them."""

    def __init__(self, broker: Broker, *, seed: int) -> None:
        self._broker, self._seed = broker, seed
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._last: list[bytes] = []
        self.expected = Expected()

    @contextmanager
    def flowing(self) -> Iterator[Traffic]:
        """Until the block ends; what went wrong while sending is raised then."""
        errors: list[BaseException] = []

        def run() -> None:
            try:
                self._flow()
            except BaseException as exc:  # noqa: BLE001  raised by the test's own thread
                errors.append(exc)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join(60)
        assert not thread.is_alive()
        assert errors == []

    def between(self, fault: Callable[[], None]) -> None:
        """Between two chunks: what was sent is known to have arrived, once."""
        with self._lock:
            fault()

    def send_again(self) -> None:
        """What was sent last, to other partitions: as after a producer's lost answer."""
        with self._lock:
            for number, body in enumerate(self._last, 1):
                self._send(number % (PARTITIONS - 1), [body])
                self.expected.messages += 1
                if _is_valid(body):
                    self.expected.duplicates += 1
                else:
                    self.expected.failed += 1

    def _flow(self) -> None:
        number = 0
        while not self._stop.is_set():
            bodies, expected = make(CHUNK, seed=self._seed * 1_000 + number)
            if number % 10 == 0:
                bodies[0] = padded(bodies[0], 1_000_000)
            with self._lock:
                for partition in range(PARTITIONS - 1):
                    self._send(partition, bodies[partition :: PARTITIONS - 1])
                self._last = bodies
                _add(self.expected, expected)
            number += 1
            self._stop.wait(CHUNK_S)

    def _send(self, partition: int, bodies: list[bytes]) -> None:
        self._broker.send(self._broker.broker_type, partition, bodies)


def _steal(hubs: EventHubsBroker) -> None:
    """A stranger with a far higher epoch reads a partition until payflow says so, then leaves."""
    client = EventHubConsumerClient.from_connection_string(
        hubs.server.connection_string(hubs.broker_type), "$Default"
    )
    said = hubs.world.sql(_TAKEN)[0][0]
    with client:
        thread = threading.Thread(
            target=client.receive,
            kwargs={
                "on_event": lambda _context, _event: None,
                "partition_id": "0",
                "owner_level": 1_000_000,
                "starting_position": "-1",
            },
        )
        thread.start()
        hubs.world.wait_until(lambda: hubs.world.sql(_TAKEN)[0][0] > said, seconds=20)
    thread.join(20)


def _is_valid(body: bytes) -> bool:
    try:
        return "amount" in json.loads(body)
    except ValueError:
        return False


def _add(total: Expected, more: Expected) -> None:
    total.messages += more.messages
    total.accepted += more.accepted
    total.failed += more.failed
    total.duplicates += more.duplicates
    total.amounts.update(more.amounts)
    total.cells.update(more.cells)


def _assert_read(world: World) -> None:
    """Every partition is active, and its worker said after now that nothing waits there."""
    asked = datetime.now(UTC)
    world.wait_until(lambda: world.sql(_READ, asked) == [(2 * PARTITIONS,)], seconds=30)
    assert not [log for log in Path(world.logs).iterdir() if "Traceback" in log.read_text()]
