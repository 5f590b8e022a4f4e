"""Death between each pair of steps of the path, and a roll-over of leaves under load."""

from __future__ import annotations

import signal
import threading
import time
from datetime import UTC, datetime
from typing import get_args

import psycopg
import pytest

from payflow.lib.event_id import first_id_at
from payflow.lib.failpoints import FailPoint
from tests.kill.traffic import Expected, make
from tests.kill.world import LEASE_S, World

pytestmark = [pytest.mark.kill, pytest.mark.timeout(900)]

_WRITE_LEAF = 7_315_001


def test_dying_between_any_two_steps_loses_and_doubles_nothing(payflow_world: World) -> None:
    """At every fail point a worker dies with a batch in hand; the next one makes it whole."""
    total = Expected()
    for number, point in enumerate(get_args(FailPoint)):
        messages, expected = make(400, seed=1000 + number)
        payflow_world.publish(messages)
        worker = payflow_world.start_drain(PAYFLOW_FAIL_AT=f"{point}:2")
        assert worker.wait(30) == -signal.SIGKILL, f"{point} was never passed"
        _add(total, expected)
        time.sleep(LEASE_S + 0.2)

        healthy = payflow_world.start_drain("--until-idle")
        payflow_world.wait_for(total.messages)
        assert healthy.wait(30) == 0

        payflow_world.assert_exactly_once(total)
    payflow_world.assert_verified()


def test_a_roll_over_under_load_loses_and_doubles_nothing(payflow_world: World) -> None:
    """Leaves are entered again and again while two workers commit."""
    messages, expected = make(30_000, seed=77)
    for _ in range(2):
        payflow_world.start_drain()
    publisher = threading.Thread(
        target=payflow_world.publish, args=(messages,), kwargs={"per_second": 5_000}
    )
    publisher.start()
    rolled = 0
    while publisher.is_alive():
        time.sleep(0.3)
        rolled += _pretend_old_leaf(payflow_world)
    payflow_world.wait_for(expected.messages)

    assert rolled > 5
    payflow_world.assert_exactly_once(expected)
    payflow_world.assert_verified()


def _add(total: Expected, more: Expected) -> None:
    total.messages += more.messages
    total.accepted += more.accepted
    total.failed += more.failed
    total.duplicates += more.duplicates
    total.amounts.update(more.amounts)
    total.cells.update(more.cells)


def _pretend_old_leaf(world: World) -> int:
    """As if the leaf that is being written had ended; 1 if the workers had entered it."""
    with psycopg.connect(world.urls.database_url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_WRITE_LEAF])
        cursor = connection.execute(
            "UPDATE write_leaf SET upper_id = lower_id, lower_id = lower_id - (upper_id - lower_id)"
            " WHERE upper_id > %s",
            [first_id_at(datetime.now(UTC))],
        )
        return cursor.rowcount
