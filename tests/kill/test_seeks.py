"""Checkpoints move on people's word while workers die: what is read again counts once."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import replace

import pytest

from tests.kill.brokers import EventHubsBroker
from tests.kill.traffic import Expected, make
from tests.kill.world import World, with_group

pytestmark = [pytest.mark.kill, pytest.mark.timeout(900)]

#: `make test-all` sets more
KILLS = int(os.environ.get("PAYFLOW_KILLS", "5"))
SEED = int(os.environ.get("PAYFLOW_KILL_SEED", str(random.randrange(10**6))))
PARTITIONS = 4
#: of the broker's messages, those that are behind the checkpoints
_PASSED = """
SELECT coalesce(sum(p.sequence_number + p.shift), 0)::int FROM partitions p
JOIN sources s ON s.id = p.source_id WHERE s.name = 'sought'
"""
_FAILED = "SELECT count(DISTINCT (partition_name, position)), count(*) FROM failed_items"


def test_kill_9_while_checkpoints_move_loses_and_doubles_nothing(payflow_world: World) -> None:
    """Somebody skips and repeats, two workers read and die in turn. When all was read again from
    the beginning, the tables hold each event once, and verify can explain every seek."""
    print(f"PAYFLOW_KILL_SEED={SEED}")
    rng = random.Random(SEED)
    messages, expected = make(6_000 * KILLS, seed=SEED)
    broker = EventHubsBroker(payflow_world)
    try:
        broker.add_source("sought", partitions=PARTITIONS)
        broker.fill("sought", {n: messages[n::PARTITIONS] for n in range(PARTITIONS)})
        workers = [payflow_world.start_drain() for _ in range(2)]
        _wait_for_passed(payflow_world, len(messages) // 10)
        seeker = payflow_world.start(
            "-m", "tests.kill.seeker", "sought",
            "--count", str(4 * KILLS), "--every", "0.4", "--seed", str(SEED),
        )  # fmt: skip
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.5, 2))
            with_group(workers.pop(0), signal.SIGKILL)
            workers.append(payflow_world.start_drain())
        assert seeker.wait(120) == 0, payflow_world.state()
        _wait_for_passed(payflow_world, len(messages))

        payflow_world.assert_exactly_once(_with_repeats(payflow_world, expected))
        payflow_world.assert_verified()
    finally:
        broker.close()


def _with_repeats(world: World, expected: Expected) -> Expected:
    """What was read again is a duplicate, or it fails again, wherever it was read."""
    ((repeated,),) = world.sql("SELECT -sum(events)::int FROM seeks")
    ((places, failed),) = world.sql(_FAILED)
    assert repeated > 0
    assert places == expected.failed
    messages = expected.messages + repeated
    return replace(
        expected,
        messages=messages,
        failed=failed,
        duplicates=messages - expected.accepted - failed,
    )


def _wait_for_passed(world: World, messages: int) -> None:
    world.wait_until(lambda: world.sql(_PASSED)[0][0] >= messages, seconds=120)
