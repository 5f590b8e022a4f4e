"""The real SDK's clients, set up for tests: quick to give up, closed by `with`."""

from __future__ import annotations

import time
from typing import Any

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


def read(
    server: EventHubsServer, hub: str, count: int, *, partition: str = "0",
    position: Any = "-1", inclusive: bool = False, group: str = "$Default",
    owner_level: int | None = None, wait_s: float = 10.0,
) -> list[EventData]:  # fmt: skip
    """At least `count` events from a position, or what came within `wait_s`.

    The SDK's reader of one partition, without the processor around it: that needs a second more.

    Raises:
        EventHubError: whatever the SDK makes of it.
    """
    found: list[EventData] = []
    with consumer(server, hub, group=group) as client:
        reader = client._create_consumer(
            group, partition, position, found.extend, event_position_inclusive=inclusive,
            owner_level=owner_level,
        )  # fmt: skip
        deadline = time.monotonic() + wait_s
        try:
            while len(found) < count and time.monotonic() < deadline:
                reader.receive(batch=True)
        finally:
            reader.close()
    return found


def body(event: EventData) -> bytes:
    """The body's bytes."""
    (data,) = event.body  # type: ignore[union-attr, misc]
    return bytes(data)
