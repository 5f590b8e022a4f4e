"""One of two workers loses its way to the broker; the other reads for both until it is back."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.kill.traffic import make
from tests.kill.world import World, world
from tests.relay import Relay

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_SHARES = "SELECT count(*)::int FROM partitions WHERE leased_until > now() GROUP BY leased_by"


@pytest.fixture
def payflow_world() -> Iterator[World]:
    directory = Path(tempfile.mkdtemp(prefix="payflow-cut-off-"))
    try:
        with world(directory) as made:
            yield made
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def test_partitions_go_to_who_reaches_the_broker_and_come_back(payflow_world: World) -> None:
    """While events flow: all are read, once, and in the end each worker has its half again."""

    def wait_for_shares(*sizes: int) -> None:
        payflow_world.wait_until(
            lambda: sorted(size for (size,) in payflow_world.sql(_SHARES)) == [*sizes]
        )

    messages, expected = make(30_000, seed=5)
    url = payflow_world.urls.streams_url
    port = urlsplit(url).port
    assert port is not None
    relay = Relay(port)
    try:
        payflow_world.start_drain()
        payflow_world.start_drain(STREAMS_URL=url.replace(f":{port}", f":{relay.port}"))
        wait_for_shares(2, 2)
        publisher = threading.Thread(
            target=payflow_world.publish, args=(messages,), kwargs={"per_second": 500}
        )
        publisher.start()

        relay.cut()
        wait_for_shares(4)
        relay.join()
        wait_for_shares(2, 2)
        publisher.join()
        payflow_world.wait_for(expected.messages)
    finally:
        relay.cut()

    payflow_world.assert_exactly_once(expected)
    payflow_world.assert_verified()
