"""One of two workers loses its way to the broker; the other reads for both until it is back."""

from __future__ import annotations

import threading

import pytest

from tests.kill.traffic import make
from tests.kill.world import own_world
from tests.relay import Relay

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_SHARES = "SELECT count(*)::int FROM partitions WHERE leased_until > now() GROUP BY leased_by"


def test_partitions_go_to_who_reaches_the_broker_and_come_back() -> None:
    """While events flow: all are read, once, and in the end each worker has its half again."""
    messages, expected = make(30_000, seed=5)
    with own_world() as payflow_world, Relay.to(payflow_world.urls.streams_url) as (relay, url):

        def wait_for_shares(*sizes: int) -> None:
            payflow_world.wait_until(
                lambda: sorted(size for (size,) in payflow_world.sql(_SHARES)) == [*sizes]
            )

        payflow_world.start_drain()
        payflow_world.start_drain(STREAMS_URL=url)
        wait_for_shares(2, 2)
        publisher = threading.Thread(
            target=payflow_world.publish, args=(messages,), kwargs={"per_second": 500}
        )
        publisher.start()

        relay.cut()
        wait_for_shares(4)
        relay.mend()
        wait_for_shares(2, 2)
        publisher.join()
        payflow_world.wait_for(expected.messages)

        payflow_world.assert_exactly_once(expected)
        payflow_world.assert_verified()
