"""The real SDK's clients, set up for tests: quick to give up, closed by `with`."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient

from tests.eventhubs.process import EventHubsServer

#: no second try, no pause before giving up, no long wait for a frame
QUICK: dict[str, Any] = {
    "retry_total": 0,
    "retry_backoff_factor": 0.01,
    "socket_timeout": 0.02,
}


def producer(
    server: EventHubsServer, hub: str, *, key_ok: bool = True, policy: str | None = None,
    **options: Any,
) -> EventHubProducerClient:  # fmt: skip
    """A producer client."""
    text = server.connection_string(hub, key_ok, policy=policy or "RootManageSharedAccessKey")
    return EventHubProducerClient.from_connection_string(text, **{**QUICK, **options})


def consumer(
    server: EventHubsServer, hub: str, *, group: str = "$Default", key_ok: bool = True,
    policy: str | None = None, **options: Any,
) -> EventHubConsumerClient:  # fmt: skip
    """A consumer client."""
    text = server.connection_string(hub, key_ok, policy=policy or "RootManageSharedAccessKey")
    return EventHubConsumerClient.from_connection_string(
        text, consumer_group=group, **{**QUICK, **options}
    )


@contextmanager
def reader(
    server: EventHubsServer, hub: str, take: Callable[[list[EventData]], object], *,
    partition: str = "0", position: Any = "-1", inclusive: bool = False,
    group: str = "$Default", owner_level: int | None = None, prefetch: int = 300, **options: Any,
) -> Iterator[Callable[[], None]]:  # fmt: skip
    """The SDK's reader of one partition, without the processor around it: that takes a second more.

    Yields what reads the next events into `take`; the first calls connect.
    """
    with consumer(server, hub, group=group, **options) as client:
        link: Any = client._create_consumer(
            group, partition, position, cast("Any", take), event_position_inclusive=inclusive,
            owner_level=owner_level, prefetch=prefetch,
        )  # fmt: skip
        link._keep_alive = None  # a thread that `close` waits a second for
        try:
            yield partial(link.receive, batch=True)
        finally:
            link.close()


@contextmanager
def sockets_left_open() -> Iterator[None]:
    """The SDK drops a connection that broke without closing its socket: collect it here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


def read(
    server: EventHubsServer, hub: str, count: int, *, wait_s: float = 10.0, **options: Any
) -> list[EventData]:  # fmt: skip
    """At least `count` events from a position, or what came within `wait_s`.

    Raises:
        EventHubError: whatever the SDK makes of it.
    """
    found: list[EventData] = []
    deadline = time.monotonic() + wait_s
    with reader(server, hub, found.extend, **options) as receive:
        while len(found) < count and time.monotonic() < deadline:
            receive()
    return found


def body(event: EventData) -> bytes:
    """The body's bytes."""
    parts: Any = event.body
    return b"".join(parts)
