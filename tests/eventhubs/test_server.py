"""What the real SDK gets from the Event Hubs server of the tests, when all is well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.eventhub import (
    EventData,
    EventHubProducerClient,
    TransportType,
)

from tests.eventhubs.client import Client
from tests.eventhubs.process import EventHubsServer
from tests.eventhubs.sdk import QUICK, body, consumer, producer, read


def test_events_come_back_as_they_were_sent(eventhubs: EventHubsServer) -> None:
    """Body, properties, key and system properties survive; the service adds place and time."""
    eventhubs.create_hub("same")
    event = EventData(b"\x00\xff body")
    event.properties = {"type": "transaction", "n": 5, "raw": b"\x01"}
    event.content_type, event.message_id, event.correlation_id = "application/json", "m-1", "c-1"
    before = datetime.now(UTC) - timedelta(seconds=1)

    with producer(eventhubs, "same") as client:
        client.send_event(event, partition_key="merchant-7")
    (found,) = read(eventhubs, "same", 1)

    assert body(found) == b"\x00\xff body"
    assert found.properties == {b"type": b"transaction", b"n": 5, b"raw": b"\x01"}
    assert (found.content_type, found.message_id) == ("application/json", "m-1")
    assert (found.correlation_id, found.partition_key) == ("c-1", b"merchant-7")
    assert (found.sequence_number, found.offset) == (0, "0")
    assert found.enqueued_time is not None
    assert before < found.enqueued_time < before + timedelta(seconds=10)


def test_messages_of_many_frames_survive(eventhubs: EventHubsServer) -> None:
    """An event of nearly 1 MB goes in and out in parts of 64 KB."""
    eventhubs.create_hub("large")
    large = bytes(range(256)) * 4_000

    with producer(eventhubs, "large") as client:
        client.send_event(EventData(large))
        client.send_event(EventData(b"small"))
    found = read(eventhubs, "large", 2)

    assert [body(event) for event in found] == [large, b"small"]


def test_a_batch_stays_together_in_order(eventhubs: EventHubsServer) -> None:
    """A batch with a key lands in one partition, each event on its own, with the key."""
    eventhubs.create_hub("batch", 4)

    with producer(eventhubs, "batch") as client:
        batch = client.create_batch(partition_key="k")
        for number in range(500):
            batch.add(EventData(b"%d" % number))
        client.send_batch(batch)
    ends = eventhubs.stats()["ends"]
    (partition,) = (name[6:] for name, end in ends.items() if name.startswith("batch/") and end)
    found = read(eventhubs, "batch", 500, partition=partition)

    assert [int(event.body_as_str()) for event in found] == list(range(500))
    assert {event.partition_key for event in found} == {b"k"}
    assert [event.sequence_number for event in found] == list(range(500))


def test_events_without_key_are_spread(eventhubs: EventHubsServer) -> None:
    """The service takes partitions in turn."""
    eventhubs.create_hub("spread", 3)

    with producer(eventhubs, "spread") as client:
        for _ in range(6):
            client.send_event(EventData(b"x"))

    assert {n: e for n, e in eventhubs.stats()["ends"].items() if n.startswith("spread/")} == {
        "spread/0": 2, "spread/1": 2, "spread/2": 2,
    }  # fmt: skip


@pytest.fixture
def ten(eventhubs: EventHubsServer) -> EventHubsServer:
    """A hub `ten` with events 0 to 9, of which the first three expired."""
    eventhubs.create_hub("ten")
    eventhubs.load("ten", 0, [b"%d" % number for number in range(10)], {"type": "t"})
    eventhubs.drop_before("ten", 0, 3)
    return eventhubs


@pytest.mark.parametrize(
    ("position", "inclusive", "first"),
    [
        ("-1", False, 3),  # the beginning is where retention left it
        (5, False, 6),
        (0, True, 3),  # expired: the first one that is left
        (datetime(2020, 1, 1, tzinfo=UTC), True, 3),
    ],
)
def test_reading_begins_at_the_position(
    ten: EventHubsServer, position: Any, inclusive: bool, first: int
) -> None:
    """By offset, sequence number and time, as the SDK asks for them."""
    found = read(ten, "ten", 10 - first, position=position, inclusive=inclusive)

    assert [event.sequence_number for event in found] == list(range(first, 10))


@pytest.mark.parametrize(
    ("selector", "first"),
    [
        ("x-opt-sequence-number > '5'", 6),
        ("x-opt-sequence-number >= '5'", 5),
        ("x-opt-sequence-number > '-1'", 3),
        ("x-opt-sequence-number > '9'", 10),
        ("x-opt-sequence-number >= '10'", 10),
        ("x-opt-offset > '@latest'", 10),
        ("x-opt-offset > '{offset}'", 6),
        ("x-opt-offset >= '{offset}'", 5),
        ("x-opt-enqueued-time > '9999999999999'", 10),
    ],
)
def test_a_filter_lets_through_what_it_says(
    ten: EventHubsServer, selector: str, first: int
) -> None:
    """Each comparison with each annotation; event 10 arrives after the reader did."""
    (fifth,) = (e.offset for e in read(ten, "ten", 7) if e.sequence_number == 5)

    with Client(ten.port) as client:
        client.begin()
        client.attach_reader("ten", selector="amqp.annotation." + selector.format(offset=fifth))
        client.flow(100)
        ten.load("ten", 0, [b"10"])
        sizes = list(client.take(11 - first))

    assert len(sizes) == 11 - first


def test_partition_properties_tell_the_ends(ten: EventHubsServer) -> None:
    """First and last sequence number, offset and time; an empty partition says so."""
    ten.create_hub("none")

    with producer(ten, "ten") as client:
        held = client.get_partition_properties("0")
    with producer(ten, "none") as client:
        empty = client.get_partition_properties("0")

    assert (held["beginning_sequence_number"], held["last_enqueued_sequence_number"]) == (3, 9)
    assert not held["is_empty"]
    assert int(held["last_enqueued_offset"]) > 0
    assert (empty["is_empty"], empty["last_enqueued_sequence_number"]) == (True, -1)


def test_a_hub_grows(eventhubs: EventHubsServer) -> None:
    """New partitions are there for who asks again."""
    eventhubs.create_hub("grows", 2)

    with producer(eventhubs, "grows") as client:
        before = client.get_partition_ids()
        eventhubs.add_partitions("grows", 2)
        after = client.get_partition_ids()

    assert (before, after) == (["0", "1"], ["0", "1", "2", "3"])


def test_everything_works_over_tls(tmp_path: Path) -> None:
    """With a certificate the SDK checks; nothing but the endpoint and the authority is set."""
    server = EventHubsServer(tmp_path, tls=True)
    server.start()
    server.create_hub("secret")
    options: dict[str, Any] = {
        "custom_endpoint_address": f"sb://{server.namespace}",
        "connection_verify": str(server.ca_file),
        "transport_type": TransportType.Amqp,
        **QUICK,
    }

    with EventHubProducerClient.from_connection_string(
        server.connection_string("secret"), **options
    ) as client:
        client.send_event(EventData(b"x" * 200_000))

    assert server.stats()["ends"] == {"secret/0": 1}
    server.stop()


def test_credit_is_kept(eventhubs: EventHubsServer) -> None:
    """A reader gets as many events as it asked for and no more."""
    eventhubs.create_hub("credit")
    eventhubs.load("credit", 0, [b"x"] * 100)
    sent = eventhubs.stats()["events_out"]

    with Client(eventhubs.port) as client:
        client.begin()
        client.attach_reader("credit")
        client.flow(7)
        list(client.take(7))
        at_seven = eventhubs.stats()["events_out"] - sent
        client.flow(5, count=7)
        list(client.take(5))

    assert at_seven == 7
    assert eventhubs.stats()["events_out"] - sent == 12


def test_consumer_groups_read_the_same_events(eventhubs: EventHubsServer) -> None:
    """Each group gets the whole partition, in order."""
    eventhubs.create_hub("groups", 1, ["audit"])
    eventhubs.load("groups", 0, [b"%d" % number for number in range(3_000)])

    for group in ("$default", "Audit"):
        found = read(eventhubs, "groups", 3_000, group=group)

        assert [event.sequence_number for event in found] == list(range(3_000))


def test_the_processor_of_the_sdk_gets_what_comes_later(eventhubs: EventHubsServer) -> None:
    """`receive_batch` waits at an empty partition without an error."""
    eventhubs.create_hub("later")
    found: list[EventData] = []

    with consumer(eventhubs, "later") as client:

        def take(_context: object, events: list[EventData]) -> None:
            found.extend(events)
            if found:
                client.close()
            else:
                eventhubs.load("later", 0, [b"now"])

        client.receive_batch(take, partition_id="0", starting_position="-1", max_wait_time=0.1)

    assert [event.body_as_str() for event in found] == ["now"]
