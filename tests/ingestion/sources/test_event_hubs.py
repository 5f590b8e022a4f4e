"""Event Hubs: the contract over AMQP, what a message becomes, and where reading goes on."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.eventhub.amqp import AmqpAnnotatedMessage

from ingestion.sources.base import Checkpoint
from payflow.lib.errors import PartitionTaken, PositionLost, SourceUnavailable
from tests.ingestion.sources.contract import (
    SourceContract,
    all_bodies,
    beginning,
    drain,
    numbered,
)
from tests.ingestion.sources.hub_harness import HubHarness, after, next_batch, read_through, source

__all__ = ["source"]


class TestEventHubsContract(SourceContract):
    """The contract on a hub."""


# --- messages ------------------------------------------------------------------------------------


def test_properties_keys_and_times_come_along(source: HubHarness):
    """Application properties and AMQP's own become headers; what is no text is kept as base64."""
    before = int(time.time() * 1e6) - 1_000_000
    source.send(
        AmqpAnnotatedMessage(
            data_body=b"1",
            application_properties={"tenant": "acme", "n": 5, "raw": b"\xff\x00", "ok": True},
            properties={"correlation_id": "c-1", "message_id": "m-1", "content_type": "text/x"},
            annotations={b"x-opt-partition-key": "kä"},
        ),
        AmqpAnnotatedMessage(data_body=b"2"),
    )
    consumer = source.read([])

    batch = next_batch(consumer)

    assert batch.bodies == [b"1", b"2"]
    assert batch.keys == ["kä".encode(), None]
    assert batch.headers is not None
    assert json.loads(batch.headers[0] or b"") == {
        "message_id": "m-1", "correlation_id": "c-1", "content_type": "text/x",
        "tenant": "acme", "n": 5, "raw": "base64:/wA=", "ok": True,
    }  # fmt: skip
    assert batch.headers[1] is None
    assert next(iter(batch)).correlation_id == "c-1"
    assert all(before < at < before + 60_000_000 for at in batch.times_us)


def test_bodies_of_every_kind_are_bytes(source: HubHarness):
    """Several data sections are one body; a value or a sequence comes as JSON."""
    source.send(
        AmqpAnnotatedMessage(data_body=[b'{"a":', b"1}"]),
        AmqpAnnotatedMessage(value_body="text"),
        AmqpAnnotatedMessage(value_body={"a": [1, None, "ü"]}),
        AmqpAnnotatedMessage(sequence_body=[[1, "b"]]),
    )

    batch = next_batch(source.read([]))

    assert batch.bodies == [b'{"a":1}', b"text", '{"a": [1, null, "ü"]}'.encode(), b'[[1, "b"]]']


def test_columns_that_nobody_uses_are_none(source: HubHarness):
    """Bodies alone cost nothing else; offsets are sequence numbers."""
    batch = next_batch(source.read(numbered(3)))

    assert (batch.keys, batch.headers) == (None, None)
    assert (batch.position, batch.offsets, batch.next_position) == ("0", ["0", "1", "2"], "3")
    assert batch.broker_offset not in ("", "2")


# --- where reading goes on -----------------------------------------------------------------------


def test_reading_goes_on_behind_the_brokers_own_offset(source: HubHarness):
    """With it and without it the next message is the next one."""
    consumer = source.read(numbered(10))
    batch = next_batch(consumer)
    source.add([b"new"])

    for checkpoint in (after(batch), after(batch, broker_offset="")):
        consumer.checkpoint(checkpoint)
        assert all_bodies(drain(consumer)) == [b"new"]


@pytest.mark.parametrize("number", [0, 7])
def test_an_offset_that_names_another_event_is_not_believed(source: HubHarness, number: int):
    """The sequence number decides: neither behind nor ahead of it anything is handed out."""
    bodies = numbered(10)
    consumer = source.read(bodies)
    (batch,) = drain(consumer)
    source.server.load(source.hub, 1, bodies[: number + 1])
    wrong = next(b.broker_offset for b in drain(consumer) if b.partition == "1")

    consumer.checkpoint(
        Checkpoint(partition="0", position="4", sequence_number=4, broker_offset=wrong)
    )

    again = drain(consumer)
    assert all_bodies(again) == bodies[4:]
    assert again[0].sequence_number == 4
    assert batch.bodies == bodies


def test_a_new_source_begins_at_what_the_hub_still_has(source: HubHarness):
    """Retention before the first look is no loss."""
    source.load(numbered(10))
    source.server.drop_before(source.hub, 0, 4)
    consumer = source.connect()

    consumer.checkpoint(beginning(consumer, "0"))

    assert all_bodies(drain(consumer)) == numbered(10)[4:]
    assert consumer.bounds("0").first == "4"


def test_expired_events_stop_the_partition_with_their_number(source: HubHarness):
    """At the checkpoint."""
    consumer = source.read(numbered(10))
    batch = next_batch(consumer)
    source.add(numbered(20))
    source.server.drop_before(source.hub, 0, 17)

    with pytest.raises(PositionLost) as caught:
        consumer.checkpoint(after(batch))

    assert (caught.value.partition, caught.value.lost) == ("0", 7)
    assert "0" not in consumer.lag()


def test_what_expired_while_the_hub_was_away_stops_only_that_partition(source: HubHarness):
    """After a reconnect the hub is asked again; the others go on."""
    consumer = source.read(numbered(10))
    next_batch(consumer)
    consumer.disconnect()
    source.add(numbered(20))
    source.add([b"other"], partition=1)
    source.server.drop_before(source.hub, 0, 12)
    consumer.connect()

    with pytest.raises(PositionLost) as caught:
        drain(consumer)

    assert (caught.value.partition, caught.value.lost) == ("0", 2)
    assert all_bodies(drain(consumer)) == [b"other"]


def test_a_gap_is_noticed_while_reading(source: HubHarness):
    """What came before it is handed out; nothing behind it is."""
    consumer = source.read(numbered(10))
    assert len(next_batch(consumer)) == 10
    source.server.drop_before(source.hub, 0, 10)
    reading = consumer._readings["0"]  # type: ignore[attr-defined]
    source.add(numbered(5))
    time.sleep(0.05)
    reading.columns.first = 8  # as if two events between had never come

    with pytest.raises(PositionLost) as caught:
        drain(consumer)

    assert (caught.value.partition, caught.value.lost) == ("0", 2)


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_hub_that_was_made_anew_stops_the_partition(source: HubHarness, is_cut: bool):
    """Its numbers begin again: they must not pass for the ones that were read."""
    consumer = source.read(numbered(10))
    batch = next_batch(consumer)
    source.server.create_hub(source.hub, 3)
    source.add(numbered(5))
    if is_cut:
        source.server.cut_connections()
    else:
        consumer.lag()

    with pytest.raises(PositionLost) as caught:
        read_through(consumer, 1)

    assert (caught.value.partition, caught.value.lost) == ("0", None)
    with pytest.raises(PositionLost):
        consumer.checkpoint(after(batch))


def test_a_grown_hub_shows_its_new_partitions(source: HubHarness):
    """On the connection that is open."""
    consumer = source.read(numbered(1))

    source.server.add_partitions(source.hub, 2)

    assert consumer.partitions() == ["0", "1", "2", "3", "4"]
    source.add([b"grown"], partition=4)
    consumer.checkpoint(beginning(consumer, "4"))
    assert b"grown" in all_bodies(drain(consumer))


def test_a_time_cannot_be_looked_for_while_a_worker_reads(source: HubHarness):
    """A second reader of the group would be cut off: it says what to do and disturbs nobody."""
    consumer = source.read(numbered(10))
    assert len(next_batch(consumer)) == 10
    other = source.connect()
    moment = datetime.now(UTC) - timedelta(hours=1)

    with pytest.raises(SourceUnavailable, match="pause the partition"):
        other.position_at("0", moment)
    source.add([b"more"])

    assert all_bodies(drain(consumer)) == [b"more"]
    consumer.release("0")
    other.connect()
    assert other.position_at("0", moment) == "0"


# --- who reads -----------------------------------------------------------------------------------


def test_a_higher_epoch_takes_one_partition_and_no_other(source: HubHarness):
    """The drain is told which; a lower epoch does not get it back."""
    consumer = source.read([], [])
    drain(consumer)
    thief = source.connect()
    thief.checkpoint(Checkpoint(partition="0", position="0", sequence_number=0, epoch=7))
    drain(thief)

    with pytest.raises(PartitionTaken) as caught:
        drain(consumer)
    source.load([b"stolen"], [b"mine"])

    assert caught.value.partition == "0"
    assert all_bodies(drain(consumer)) == [b"mine"]
    assert all_bodies(drain(thief)) == [b"stolen"]
    consumer.checkpoint(Checkpoint(partition="0", position="0", sequence_number=0, epoch=3))
    with pytest.raises(PartitionTaken):
        drain(consumer)


def test_a_partition_may_be_taken_while_its_batch_fills(source: HubHarness, monkeypatch):
    """Nothing of it is handed out: the other reader has it."""
    consumer = source.read(numbered(3))
    thief = source.connect()
    find = consumer._next_due  # type: ignore[attr-defined]

    def find_and_lose() -> Any:
        found = find()
        if found is not None:
            thief.checkpoint(Checkpoint(partition="0", position="0", sequence_number=0, epoch=7))
            assert all_bodies(drain(thief)) == numbered(3)
        return found

    monkeypatch.setattr(consumer, "_next_due", find_and_lose)

    with pytest.raises(PartitionTaken):
        drain(consumer)


def test_consumer_groups_do_not_see_each_other(source: HubHarness):
    """Each reads all of it."""
    bodies = numbered(5)
    first = source.read(bodies)
    source.settings = {**source.settings, "consumer_group": "other"}
    second = source.connect()
    second.checkpoint(beginning(second, "0"))

    assert all_bodies(drain(first)) == all_bodies(drain(second)) == bodies
