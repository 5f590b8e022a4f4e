"""Pushes to the other brokers: the same endpoint, their own publishers."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from configuration.models import Source
from tests.eventhubs.fixtures import eventhubs, eventhubs_server
from tests.eventhubs.process import EventHubsServer
from tests.kafka_cluster import PRODUCE, KafkaCluster
from tests.kafka_fixtures import kafka

__all__ = ["eventhubs", "eventhubs_server", "kafka"]

NDJSON = "application/x-ndjson"
LINES = b"\n".join(b'{"n":%d}' % number for number in range(500))


def read_from(broker_type: str, **settings: object) -> None:
    """Let `demo` be a source of another broker."""
    Source.objects.filter(name="demo").update(broker_type=broker_type, settings=settings)


def test_kafka_has_them_when_202_is_answered(push, kafka: KafkaCluster):
    """And 503 while it takes none; the repetition of the request queues them once."""
    topic = kafka.create_topic(partitions=2)
    read_from("kafka", bootstrap_servers=kafka.bootstrap, topic=topic)

    first = push(LINES, NDJSON)
    keyed = push(b"{}\n{}", NDJSON, Partition_Key="c-1")
    held = [kafka.bounds(topic, number)[1] for number in range(2)]
    kafka.push_errors(PRODUCE, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    refused = push(b"{}", Idempotency_Key="k")
    again = push(b"{}", Idempotency_Key="k")

    assert [first.status_code, keyed.status_code, sum(held)] == [202, 202, 502]
    assert (refused.status_code, refused.json()["accepted"]) == (503, 0)
    assert topic not in refused.content.decode()
    assert again.status_code == 202
    assert sum(kafka.bounds(topic, number)[1] for number in range(2)) == 503


def test_an_event_hub_has_them_when_202_is_answered(
    push, eventhubs: EventHubsServer, monkeypatch: pytest.MonkeyPatch
):
    """And 429 while it is throttled."""
    eventhubs.create_hub("pushed", 2)
    monkeypatch.setenv("PUSH_HUB", eventhubs.connection_string("pushed"))
    read_from("event_hubs", connection_string="env:PUSH_HUB", hub="pushed")

    first = push(LINES, NDJSON)
    keyed = push(b"{}\n{}", NDJSON, Partition_Key="c-1")
    eventhubs.throttle("pushed")
    full = push(b"{}")
    eventhubs.throttle("pushed", on=False)

    assert [first.status_code, keyed.status_code] == [202, 202]
    assert (full.status_code, full["Retry-After"]) == (429, "2")
    assert push(b"{}").status_code == 202
