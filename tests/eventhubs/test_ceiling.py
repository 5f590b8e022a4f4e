"""The measurement of the Event Hubs server itself."""

from __future__ import annotations

import pytest

from tests.eventhubs import ceiling
from tests.eventhubs.process import EventHubsServer


@pytest.mark.parametrize("direction", [ceiling.read_out, ceiling.send_in])
def test_a_measurement_counts_what_the_server_has(
    eventhubs: EventHubsServer, direction: ceiling.Direction
) -> None:
    """The figure is of as many events as went through the server."""
    eventhubs.create_hub("measured")
    before = eventhubs.stats()

    figure = direction(eventhubs, "measured", size=1_000, events=2_000)

    after = eventhubs.stats()
    counted = "events_out" if figure.direction == "out" else "events_in"
    assert figure.events == after[counted] - before[counted]
    assert 0 < figure.events <= 2_000
