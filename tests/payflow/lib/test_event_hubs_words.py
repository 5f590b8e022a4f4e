"""What is said of troubles with Event Hubs."""

from __future__ import annotations

import pytest

from payflow.lib.event_hubs import explain


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "Connection refused"),
        OSError(
            "Failed to initiate the connection due to exception: [Errno 111] Connection refused"
        ),
    ],
)
def test_a_trouble_is_said_without_the_number_of_the_system(error):
    """The number says nothing that the words do not say."""
    assert explain(error) == "Connection refused"
