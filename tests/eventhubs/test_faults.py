"""Faults on request: what the SDK meets when a broker has a bad day."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from azure.eventhub import EventData
from azure.eventhub.exceptions import ConnectError, EventHubError

from tests.eventhubs import codec
from tests.eventhubs.client import Client
from tests.eventhubs.process import EventHubsServer
from tests.eventhubs.sdk import body, producer, read, reader, sockets_left_open


def test_events_survive_a_kill(eventhubs: EventHubsServer) -> None:
    """What was acknowledged is there after kill -9, and numbers go on."""
    eventhubs.create_hub("killed")
    with producer(eventhubs, "killed") as client:
        client.send_event(EventData(b"before"))

    eventhubs.kill()
    eventhubs.start()
    eventhubs.load("killed", 0, [b"after"])

    found = read(eventhubs, "killed", 2)
    assert [(e.sequence_number, body(e)) for e in found] == [(0, b"before"), (1, b"after")]


@pytest.mark.parametrize("how", ["reset", "close", "detach"])
def test_a_cut_reader_comes_back_where_it_was(eventhubs: EventHubsServer, how: str) -> None:
    """Each way of cutting reaches the SDK, which goes on after the last event it had."""
    eventhubs.create_hub("cut")
    eventhubs.load("cut", 0, [b"%d" % n for n in range(1_000)])
    found: list[EventData] = []

    with (
        sockets_left_open(),
        reader(eventhubs, "cut", found.extend, prefetch=100, retry_total=5) as receive,
    ):
        while len(found) < 200:
            receive()
        eventhubs.cut_connections(how)
        deadline = time.monotonic() + 20
        while len(found) < 1_000 and time.monotonic() < deadline:
            receive()

    assert [event.sequence_number for event in found] == list(range(1_000))


def test_a_connection_is_cut_inside_a_frame(eventhubs: EventHubsServer) -> None:
    """After so many events the stream ends in the middle of one, once."""
    eventhubs.create_hub("frame")
    eventhubs.load("frame", 0, [b"x" * 100] * 50)
    eventhubs.cut_after(50)

    with Client(eventhubs.port) as client:
        client.begin()
        client.attach_reader("frame")
        client.flow(50)
        assert len(list(client.take(49))) == 49
        with pytest.raises(EOFError):
            list(client.take(1))

    assert len(read(eventhubs, "frame", 50)) == 50


def test_a_lost_answer_doubles_the_event(eventhubs: EventHubsServer) -> None:
    """The event is kept, the producer hears of a broken connection, tries again, and is kept."""
    eventhubs.create_hub("twice")
    eventhubs.lose_answers()

    with sockets_left_open(), producer(eventhubs, "twice", retry_total=3) as client:
        client.send_event(EventData(b"pay"))

    assert eventhubs.stats()["ends"]["twice/0"] == 2


def test_a_throttled_hub_says_server_busy(eventhubs: EventHubsServer) -> None:
    """Producers of this hub hear it, those of others do not, and it ends."""
    eventhubs.create_hub("busy")
    eventhubs.create_hub("idle")
    eventhubs.throttle("busy")

    with producer(eventhubs, "busy") as busy:
        with pytest.raises(EventHubError, match="server-busy"):
            busy.send_event(EventData(b"x"))
        with Client(eventhubs.port) as client:
            client.begin()
            client.attach("idle", receives=False)
            client.socket.sendall(client.transfer(1, codec.described(0x75, codec.binary(b"x"))))
            said = client.expect(codec.DISPOSITION)
        eventhubs.throttle("busy", on=False)
        busy.send_event(EventData(b"x"))

    assert said.fields[4].descriptor == 0x24  # accepted
    assert eventhubs.stats()["ends"]["busy/0"] == 1


def test_events_may_come_in_parts(eventhubs: EventHubsServer) -> None:
    """With `trickle` there is a pause after each few."""
    eventhubs.create_hub("drops")
    eventhubs.load("drops", 0, [b"x"] * 20)
    eventhubs.trickle(5)

    with Client(eventhubs.port) as client:
        client.begin()
        client.attach_reader("drops")
        started = time.monotonic()
        client.flow(20)
        list(client.take(20))

    assert time.monotonic() - started >= 0.06


@pytest.mark.parametrize(
    ("stage", "condition"),
    [
        ("cbs", "com.microsoft:server-busy"),
        ("management", "com.microsoft:server-busy"),
        ("connect", ""),
    ],
)
def test_a_stage_is_refused_so_many_times(
    eventhubs: EventHubsServer, stage: str, condition: str
) -> None:
    """Once, and then it works again."""
    eventhubs.create_hub("stage")
    eventhubs.refuse(stage, condition, "not now", times=1)

    with sockets_left_open(), producer(eventhubs, "stage") as client:
        with pytest.raises(EventHubError):
            client.get_partition_ids()
        assert client.get_partition_ids() == ["0"]


def test_a_link_is_refused(eventhubs: EventHubsServer) -> None:
    """The reader hears the condition that was asked for."""
    eventhubs.create_hub("link")
    eventhubs.refuse("attach", "com.microsoft:entity-disabled", "The entity is disabled.", times=1)

    with pytest.raises(ConnectError, match="entity-disabled"):
        read(eventhubs, "link", 1)


def test_a_hub_that_is_deleted_takes_its_links_along(eventhubs: EventHubsServer) -> None:
    """A reader hears amqp:not-found; a new hub of that name is empty."""
    eventhubs.create_hub("gone")
    eventhubs.load("gone", 0, [b"old"])

    with Client(eventhubs.port) as client:
        client.begin()
        client.attach_reader("gone")
        eventhubs.delete_hub("gone")
        condition, text, _ = client.expect(codec.DETACH).fields[2].value
    eventhubs.create_hub("gone")
    eventhubs.restart()

    assert condition == "amqp:not-found"
    assert "/gone' could not be found" in text
    assert eventhubs.stats()["ends"]["gone/0"] == 0


def test_a_frozen_server_answers_when_it_thaws(eventhubs: EventHubsServer) -> None:
    """Connections stay, nothing comes, and then it does."""
    with Client(eventhubs.port) as client:
        client.socket.settimeout(0.2)
        eventhubs.freeze()
        client.send(
            codec.BEGIN, codec.NULL, codec.uint(1), codec.uint(1), codec.uint(1), codec.uint(1)
        )
        with pytest.raises(TimeoutError):
            client.socket.recv(1)

        eventhubs.thaw()

        client.socket.settimeout(5)
        assert client.socket.recv(1)


def test_a_silent_connection_is_closed(tmp_path: Path) -> None:
    """Without a frame for the idle timeout; a heartbeat is a frame."""
    server = EventHubsServer(tmp_path, idle_timeout_s=0.4)
    server.start()
    silent, alive = Client(server.port, idle_timeout_s=0.2), Client(server.port)

    for _ in range(8):
        time.sleep(0.1)
        alive.socket.sendall(codec.frame(0, b""))

    assert silent.opened.fields[4] == 400
    assert silent.next() is None  # the server's heartbeat, as the client asked
    assert silent.expect(codec.CLOSE).fields[0].value[0] == "amqp:connection:forced"
    alive.begin()
    for client in (silent, alive):
        client.close()
    server.stop()
