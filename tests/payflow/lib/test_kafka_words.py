"""What is said of librdkafka's troubles."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from payflow.lib.kafka import Troubles


@pytest.mark.parametrize(
    "added",
    [
        "",
        " (after 0ms in state CONNECT)",
        " (after 1ms in state CONNECT, 1 identical error(s) suppressed)",
        " (after 0ms in state AUTH_LEGACY)",
    ],
)
def test_one_trouble_has_the_same_words_at_each_attempt(added):
    """The library's own state is left out, so that the same error is counted, not listed twice."""
    words = "kafka-1:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused"
    troubles = Troubles()

    troubles.note(KafkaError(KafkaError._TRANSPORT, words + added))

    assert troubles.describe() == words
