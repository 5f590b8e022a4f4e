"""Where events go is away for ten minutes: workers wait, and need no more memory than before."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.kill.brokers import BROKERS, Broker
from tests.kill.traffic import make, padded
from tests.kill.world import World, own_world

#: how long the sink is away
SECONDS = int(os.environ.get("PAYFLOW_SINK_DOWN_S", "600"))
PARTITIONS = 12
#: of each partition before the sink goes away: half of it in messages of 1 MB
SMALL_EVENTS, LARGE_EVENTS = 3_000, 2
#: what the worker may need beside its code: one batch of 8 MB with all that is made of it, and what
#: it has read ahead of each broker
MOST_MB = 320
#: what the highest of the later minutes may be above the highest of the first ones: peaks differ by
#: chance. A batch that stayed with each try would be 8 MB, a hundred times over.
GROWTH_MB = 64
_UNREAD = (
    "SELECT count(*) FROM partitions p JOIN sources s ON s.id = p.source_id"
    " WHERE s.name <> 'demo' AND (lag_events IS DISTINCT FROM 0 OR lag_at < %s)"
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS + 600)]


@pytest.mark.parametrize("sink", ["archive", "postgres"])
def test_memory_is_flat_while_the_sink_is_down(sink: str) -> None:
    """A worker reads every kind of broker, and each holds far more than it may hold itself. What it
    needs does not grow while nobody takes anything; afterwards every event is there once, and no
    lag is left.
    """
    with own_world() as payflow_world:
        brokers = [broker(payflow_world) for broker in BROKERS.values()]
        try:
            expected = _prepare(payflow_world, brokers)
            worker = payflow_world.start_drain()
            payflow_world.wait_for(expected)
            idle = _rss_mb(worker)

            with _away(payflow_world, sink):
                for broker in brokers:
                    expected += _fill(broker)
                samples, sent = _watch(brokers, worker)
                expected += sent
            payflow_world.wait_for(expected, seconds=300)
            _wait_until_read(payflow_world)
        finally:
            for broker in brokers:
                broker.close()

        early = max(samples[: len(samples) // 3])
        print(f"{sink}: idle {idle} MB, first third {early}, most {max(samples)}")
        assert max(samples) - idle < MOST_MB, samples
        assert max(samples[len(samples) // 3 :]) <= early + GROWTH_MB, samples
        assert payflow_world.sql("SELECT sum(messages) FROM batches") == [(expected,)]
        payflow_world.assert_verified()


@contextmanager
def _away(payflow_world: World, sink: str) -> Iterator[None]:
    """PostgreSQL killed, or a file where the archive's directory was."""
    if sink == "postgres":
        os.kill(payflow_world.services.servers()["postgres"].pid() or 0, signal.SIGKILL)
        yield
        payflow_world.services.start()
        return
    archive = payflow_world.services.state_dir / "archive"
    aside = archive.with_name("archive-aside")
    archive.rename(aside)
    archive.write_bytes(b"")
    yield
    archive.unlink()
    aside.rename(archive)


def _prepare(payflow_world: World, brokers: list[Broker]) -> int:
    """A source for each broker, with a message in every partition: all that is loaded once is."""
    for number, broker in enumerate(brokers):
        broker.add_source(broker.broker_type, partitions=PARTITIONS)
        bodies, _ = make(PARTITIONS * 20, seed=number)
        broker.fill(broker.broker_type, {n: bodies[n::PARTITIONS] for n in range(PARTITIONS)})
    return len(brokers) * PARTITIONS * 20


def _fill(broker: Broker) -> int:
    """Much more than a worker may hold; gives the number of messages."""
    rng = random.Random(7)
    small, _ = make(SMALL_EVENTS * PARTITIONS, seed=rng.randrange(2**31))
    large = [
        padded(body, 1_000_000) for body in make(LARGE_EVENTS * PARTITIONS, seed=rng.random())[0]
    ]
    for number in range(PARTITIONS):
        broker.send(broker.broker_type, number, large[number::PARTITIONS])
        broker.send(broker.broker_type, number, small[number::PARTITIONS])
    return len(small) + len(large)


def _watch(brokers: list[Broker], worker: subprocess.Popen[bytes]) -> tuple[list[int], int]:
    """Megabytes of the worker, second by second, while a trickle goes on; and what was sent."""
    samples: list[int] = []
    sent = 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for number, broker in enumerate(brokers):
            bodies, _ = make(10, seed=number + len(samples) / 100_000)
            broker.send(broker.broker_type, len(samples) % PARTITIONS, bodies)
            sent += len(bodies)
        assert worker.poll() is None, "the worker has ended"
        samples.append(_rss_mb(worker))
        time.sleep(1)
    return samples, sent


def _rss_mb(process: subprocess.Popen[bytes]) -> int:
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    raise AssertionError("no VmRSS")


def _wait_until_read(payflow_world: World) -> None:
    """Until the workers themselves say that nothing waits, and said so after now."""
    asked = datetime.now(UTC)
    payflow_world.wait_until(lambda: payflow_world.sql(_UNREAD, asked) == [(0,)])
