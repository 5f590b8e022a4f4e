"""Checkpoints that people move where positions are offsets."""

from __future__ import annotations

import json

import pytest

from configuration.models import Source
from ingestion import seeking
from ingestion.models import Partition
from ingestion.seek_plan import Target, parse_target
from tests.ingestion.streaming import drain_all
from tests.ingestion.test_drain import assert_counted
from tests.kafka_cluster import KafkaCluster
from tests.kafka_fixtures import kafka

__all__ = ["kafka"]


@pytest.fixture
def topic(ready: None, kafka: KafkaCluster, monkeypatch: pytest.MonkeyPatch) -> str:
    """A topic of two partitions that the source `demo` reads."""
    # the mock does not describe configurations and lets the question time out
    monkeypatch.setattr("ingestion.sources.kafka.is_compacted", lambda *_: False)
    name = kafka.create_topic(partitions=2)
    settings = {
        "bootstrap_servers": kafka.bootstrap,
        "topic": name,
        "linger_ms": 50,
        "properties": {"fetch.wait.max.ms": 20},
    }
    Source.objects.filter(name="demo").update(broker_type="kafka", settings=settings)
    return name


def row() -> Partition:
    return Partition.objects.select_related("source").get(source__name="demo", name="0")


def test_offsets_are_skipped_and_read_again(topic: str, kafka: KafkaCluster, event):
    """Counted by the broker's offsets, each event once, and verify can explain it."""

    def load(first: int, count: int) -> None:
        bodies = [json.dumps(event(n)).encode() for n in range(first, first + count)]
        kafka.load(topic, 0, bodies)

    load(0, 10)
    drain_all()
    back = seeking.plan(row(), parse_target("position", position="4"))
    seeking.seek(back, by=None, reason="a test")
    drain_all()
    load(10, 10)
    ahead = seeking.plan(row(), Target(kind="latest"))
    seeking.seek(ahead, by=None, reason="a test")
    load(20, 5)
    drain_all()

    assert (back.kind, back.events, back.lost) == ("repeat", -6, 0)
    assert (ahead.kind, ahead.events, ahead.lost) == ("skip", 10, 0)
    assert (row().position, row().sequence_number, row().shift) == ("25", 21, 4)
    assert_counted(15)


def test_expired_offsets_are_given_up_with_their_count(topic: str, kafka: KafkaCluster, event):
    """A checkpoint below what the broker holds: what lies between is lost, the rest is skipped."""
    bodies = [json.dumps(event(n)).encode() for n in range(40)]
    kafka.load(topic, 0, bodies[:10])
    drain_all()
    kafka.load(topic, 0, bodies[10:])
    kafka.expire(topic, 0, 25)
    drain_all()
    stopped = row()

    earliest = seeking.plan(row(), Target(kind="earliest"))
    latest = seeking.plan(row(), Target(kind="latest"))
    seeking.seek(earliest, by=None, reason="they are gone")
    drain_all()

    assert stopped.state == "stopped"
    assert "lost 15 messages" in stopped.stopped_reason
    assert (earliest.kind, earliest.events, earliest.lost) == ("skip", 15, 15)
    assert (latest.kind, latest.events, latest.lost) == ("skip", 30, 15)
    assert row().state == "active"
    assert_counted(25)
