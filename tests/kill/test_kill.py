"""Real worker processes are killed, frozen and cut off; nothing may be lost or counted twice."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.kill.traffic import make
from tests.kill.world import LEASE_S, World, with_group

pytestmark = [pytest.mark.kill, pytest.mark.timeout(900)]

#: kills at random moments; `make test-all` sets more
KILLS = int(os.environ.get("PAYFLOW_KILLS", "5"))
SEED = int(os.environ.get("PAYFLOW_KILL_SEED", str(random.randrange(10**6))))


def test_kill_9_at_random_moments_loses_and_doubles_nothing(payflow_world: World) -> None:
    """Workers die by SIGKILL while 100,000 events flow on 4 partitions; servers restart, too."""
    print(f"PAYFLOW_KILL_SEED={SEED}")
    rng = random.Random(SEED)
    messages, expected = make(100_000, seed=SEED)
    workers = [payflow_world.start_drain() for _ in range(2)]
    seconds = max(25, KILLS * 5)
    publisher = _publish_in_background(payflow_world, messages, per_second=100_000 // seconds)

    for number in range(KILLS):
        time.sleep(rng.uniform(0.5, 2 * seconds / KILLS - 0.5) / 2)
        victim = rng.randrange(2)
        with_group(workers[victim], signal.SIGKILL)
        workers[victim] = payflow_world.start_drain()
        if number == KILLS // 2:
            payflow_world.kill_and_restart("postgres")
    publisher.join()
    payflow_world.wait_for(expected.messages, seconds=120)

    payflow_world.assert_exactly_once(expected)
    payflow_world.assert_verified()


def test_celery_workers_survive_kills_flushall_and_a_restart_of_the_streams(
    payflow_world: World,
) -> None:
    """A pool child and then the whole worker die, the broker forgets all, Valkey restarts."""
    messages, expected = make(40_000, seed=SEED + 1)
    ingest, _tasks = payflow_world.start_celery()
    publisher = _publish_in_background(payflow_world, messages, per_second=2_000)

    payflow_world.wait_until(lambda: payflow_world.committed() > 2_000)
    for pid in payflow_world.children_of(ingest)[:1]:
        os.kill(pid, signal.SIGKILL)
    with payflow_world.broker() as broker:
        broker.flushall()
    payflow_world.wait_until(lambda: payflow_world.committed() > 12_000)
    with_group(ingest, signal.SIGKILL)
    ingest.wait(10)
    payflow_world.start_celery()
    payflow_world.kill_and_restart("streams")
    publisher.join()
    payflow_world.wait_for(expected.messages, seconds=120)

    payflow_world.assert_exactly_once(expected)
    payflow_world.assert_verified()


def test_a_frozen_worker_that_wakes_after_its_lease_was_taken_writes_nothing(
    payflow_world: World,
) -> None:
    """SIGSTOP for twice the lease, SIGCONT: the zombie is fenced, its rows are rolled back."""
    messages, expected = make(20_000, seed=SEED + 2)
    zombie = payflow_world.start_drain(
        PAYFLOW_FAIL_AT="after_lookup", PAYFLOW_FAIL_SIGNAL="SIGSTOP"
    )
    payflow_world.wait_until(lambda: _leases(payflow_world) == 4)
    payflow_world.publish(messages)
    payflow_world.wait_until(lambda: _is_frozen(zombie.pid))
    other = payflow_world.start_drain()
    payflow_world.wait_for(expected.messages, seconds=60)
    assert other.poll() is None

    os.kill(zombie.pid, signal.SIGCONT)
    time.sleep(LEASE_S)

    payflow_world.assert_exactly_once(expected)
    payflow_world.assert_verified()


def test_a_range_that_kills_its_owners_stops_its_partition_with_an_alarm(
    payflow_world: World,
) -> None:
    """Two owners die on the same messages: the partition stops, says why, and the others go on."""
    messages, _expected = make(400, seed=SEED + 3)
    payflow_world.publish(messages, only=0)
    for _ in range(2):
        worker = payflow_world.start_drain(PAYFLOW_FAIL_AT="after_scrub")
        worker.wait(60)
        assert worker.returncode == -signal.SIGKILL
        time.sleep(LEASE_S + 0.5)

    payflow_world.start_drain()
    payflow_world.publish(messages[:90], only=1)

    payflow_world.wait_until(lambda: len(_stopped(payflow_world)) == 1)
    ((reason, position, sequence),) = _stopped(payflow_world)
    assert "2 workers died" in reason
    assert position in reason
    assert sequence == 0
    payflow_world.wait_until(lambda: payflow_world.committed() == 90)


def test_sigterm_stops_workers_cleanly_within_seconds(payflow_world: World) -> None:
    """Celery's workers end within 5 s, leave no lease behind and log no error."""
    messages, expected = make(20_000, seed=SEED + 4)
    workers = payflow_world.start_celery()
    publisher = _publish_in_background(payflow_world, messages, per_second=4_000)
    payflow_world.wait_until(lambda: payflow_world.committed() > 4_000)

    started = time.monotonic()
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    for worker in workers:
        worker.wait(10)
    seconds = time.monotonic() - started

    assert seconds < 5
    assert _leases(payflow_world) == 0
    assert not [log for log in payflow_world.logs.iterdir() if "Traceback" in log.read_text()]
    publisher.join()
    payflow_world.start_drain()
    payflow_world.wait_for(expected.messages)
    payflow_world.assert_exactly_once(expected)


def _publish_in_background(
    world: World, messages: list[bytes], *, per_second: int
) -> threading.Thread:
    thread = threading.Thread(
        target=world.publish, args=(messages,), kwargs={"per_second": per_second}
    )
    thread.start()
    return thread


def _is_frozen(pid: int) -> bool:
    """Whether it stopped itself, inside its first transaction."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def _leases(world: World) -> int:
    return int(world.sql("SELECT count(*) FROM partitions WHERE leased_until IS NOT NULL")[0][0])


def _stopped(world: World) -> list[tuple[str, str, int]]:
    return world.sql(
        "SELECT stopped_reason, position, sequence_number FROM partitions WHERE state = 'stopped'"
    )
