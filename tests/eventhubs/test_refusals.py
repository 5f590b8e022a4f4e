"""What the Event Hubs server of the tests turns away, in Azure's words."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.eventhub import EventData, EventHubProducerClient
from azure.eventhub.exceptions import AuthenticationError, ConnectionLostError

from tests.eventhubs import codec
from tests.eventhubs.access import JWT
from tests.eventhubs.client import Client
from tests.eventhubs.process import EventHubsServer
from tests.eventhubs.sdk import QUICK, consumer, producer, read, reader


@pytest.fixture(scope="module")
def plain_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventHubsServer]:
    """A namespace whose put-token answers have a status and no condition."""
    server = EventHubsServer(tmp_path_factory.mktemp("plain"), names_conditions=False)
    server.start()
    server.create_hub("there")
    yield server
    server.stop()


@pytest.mark.parametrize(
    ("hub", "key_ok", "says"),
    [
        ("there", False, "401\nDescription: InvalidSignature: The token has an invalid signature"),
        ("missing", True, "404\nDescription: The messaging entity .*/missing' could not be found"),
    ],
)
def test_wrong_keys_and_unknown_hubs_have_a_status(
    plain_server: EventHubsServer, hub: str, key_ok: bool, says: str
) -> None:
    """Sending fails at once and does not hang."""
    with (
        producer(plain_server, hub, key_ok=key_ok) as client,
        pytest.raises(AuthenticationError, match=says),
    ):
        client.send_event(EventData(b"x"))


@pytest.mark.parametrize(
    ("hub", "key_ok", "condition"),
    [
        ("known", False, "com.microsoft:auth-failed"),
        ("missing", True, "amqp:not-found"),
    ],
)
def test_with_a_condition_the_sdk_forgets_the_status(
    eventhubs: EventHubsServer, caplog: pytest.LogCaptureFixture, hub: str, key_ok: bool,
    condition: str,
) -> None:  # fmt: skip
    """As with Azure: "Status code: None", and only the SDK's log knows why."""
    eventhubs.create_hub("known")
    caplog.set_level(logging.INFO, "azure.eventhub._pyamqp.cbs")

    with (
        pytest.raises(AuthenticationError, match="Status code: None"),
        consumer(eventhubs, hub, key_ok=key_ok) as client,
    ):
        client.get_partition_ids()

    assert condition in caplog.text


class _Identity:
    """A credential of azure-identity's kind."""

    def __init__(self, token: str) -> None:
        self.token = token

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        return AccessToken(self.token, 4_000_000_000)


def test_a_token_of_an_identity_opens_the_hub(eventhubs: EventHubsServer) -> None:
    """The right token does, any other does not."""
    eventhubs.create_hub("identity", 2)

    def partitions(token: str) -> list[str]:
        with EventHubProducerClient(
            eventhubs.namespace, "identity", _Identity(token), use_tls=False, **QUICK
        ) as client:
            return client.get_partition_ids()

    assert partitions(JWT) == ["0", "1"]
    with pytest.raises(AuthenticationError):
        partitions("another")


def test_an_unknown_consumer_group_is_refused(eventhubs: EventHubsServer) -> None:
    """The link is detached with amqp:not-found, and the text names the group."""
    eventhubs.create_hub("grouped")

    with pytest.raises(ConnectionLostError, match=r"\|nobody' could not be found.*\n.*not-found"):
        read(eventhubs, "grouped", 1, group="nobody")


@pytest.mark.parametrize(("policy", "may_receive"), [("listen", True), ("send", False)])
def test_a_policy_has_its_rights_and_no_others(
    eventhubs: EventHubsServer, policy: str, may_receive: bool
) -> None:
    """Who may listen cannot send, and the other way round."""
    eventhubs.create_hub("rights")

    for receives in (True, False):
        with Client(eventhubs.port, policy=policy) as client:
            client.begin()
            address = "rights/ConsumerGroups/$Default/Partitions/0" if receives else "rights"
            attached = client.attach(address, receives=receives)

            assert (attached.fields[5] is not None) == (receives == may_receive)
            if receives != may_receive:
                condition, text, _ = client.expect(codec.DETACH).fields[2].value
                assert condition == "amqp:unauthorized-access"
                assert f"'{'Listen' if receives else 'Send'}' claim" in text


@pytest.mark.parametrize(
    ("selector", "says"),
    [
        ("x-opt-sequence-number >= '2'", "The last sequence number in the system is '0'"),
        ("x-opt-sequence-number > '1'", "The last sequence number in the system is '0'"),
        ("x-opt-offset > '5000'", "The last offset in the system is '0'"),
        ("x-opt-offset > 'group:5'", "invalid literal"),
        ("x-opt-unknown > '5'", "filter"),
    ],
)
def test_a_position_beyond_the_end_is_refused(
    eventhubs: EventHubsServer, selector: str, says: str
) -> None:
    """com.microsoft:argument-error, with the last position there is."""
    eventhubs.create_hub("end")
    eventhubs.load("end", 0, [b"only"])

    with Client(eventhubs.port) as client:
        client.begin()
        client.attach_reader("end", selector="amqp.annotation." + selector)
        detach = client.expect(codec.DETACH)

    condition, text, _ = detach.fields[2].value
    assert condition == "com.microsoft:argument-error"
    assert says in text


def test_a_partition_that_is_not_there_is_refused(eventhubs: EventHubsServer) -> None:
    """Sending to partition 7 of one says which there are."""
    eventhubs.create_hub("few")

    with Client(eventhubs.port) as client:
        client.begin()
        client.attach("few/Partitions/7", receives=False)
        detach = client.expect(codec.DETACH)

    condition, text, _ = detach.fields[2].value
    assert condition == "com.microsoft:argument-out-of-range"
    assert "It should be between 0 and 0" in text


def repeat(receive: Callable[[], None]) -> None:
    """Read until something happens."""
    for _ in range(50):
        receive()


def wait_until_read(server: EventHubsServer, owner: str, receive: Callable[[], None]) -> None:
    """Until the server has admitted the reader."""
    while owner not in server.stats()["readers"]:
        receive()


class TestEpochs:
    """Readers of one partition in one consumer group, with owner levels."""

    @pytest.fixture
    def hub(self, eventhubs: EventHubsServer) -> EventHubsServer:
        eventhubs.create_hub("epochs", 1, ["other"])
        eventhubs.load("epochs", 0, [b"x"])
        return eventhubs

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            (1, 2, "New receiver 'nil' with higher epoch of '2' is created"),
            (2, 2, "New receiver 'nil' with higher epoch of '2' is created"),  # the newer wins
            (None, 0, "New receiver 'nil' with higher epoch of '0' is created"),
        ],
    )
    def test_a_higher_epoch_cuts_the_old_reader_off(
        self, hub: EventHubsServer, old: int | None, new: int, says: str
    ) -> None:
        """amqp:link:stolen for the one that was there."""
        with reader(hub, "epochs", list, owner_level=old) as receive:
            wait_until_read(hub, "epochs/0/$default", receive)

            assert len(read(hub, "epochs", 1, owner_level=new)) == 1

            with pytest.raises(ConnectionLostError, match=f"(?s){says}.*link:stolen"):
                repeat(receive)

    @pytest.mark.parametrize(
        ("new", "says"),
        [
            (1, "Receiver 'nil' with a higher epoch '2' already exists"),
            (None, "created with epoch of '2', and so non-epoch receiver is not allowed"),
        ],
    )
    def test_a_lower_epoch_is_turned_away(
        self, hub: EventHubsServer, new: int | None, says: str
    ) -> None:
        """The reader that is there stays, and other groups do not notice."""
        with reader(hub, "epochs", list, owner_level=2) as receive:
            wait_until_read(hub, "epochs/0/$default", receive)

            with pytest.raises(ConnectionLostError, match=f"(?s){says}.*link:stolen"):
                read(hub, "epochs", 1, owner_level=new)

            assert len(read(hub, "epochs", 1, group="other", owner_level=1)) == 1
            receive()
        assert hub.stats()["readers"] == {}

    def test_five_readers_without_epoch_are_the_limit(self, hub: EventHubsServer) -> None:
        """The sixth hears so."""
        clients = [Client(hub.port) for _ in range(6)]
        for client in clients:
            client.begin()
            client.attach_reader("epochs")

        detach = clients[5].expect(codec.DETACH)

        assert "which is 5" in detach.fields[2].value[1]
        for client in clients:
            client.close()


def test_sasl_plain_checks_the_key(eventhubs: EventHubsServer) -> None:
    """A wrong key does not get past SASL."""
    with pytest.raises(PermissionError):
        Client(eventhubs.port, key="wrong")


_BEGIN = codec.frame(
    1, codec.performative(codec.BEGIN, codec.NULL, codec.uint(1), codec.uint(9), codec.uint(9))
)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 64,
        codec.frame(0, b"\x00\x53\x10"),  # an open that ends too early
        codec.frame(0, b"\x00\x53\x10" + b"\xf0\0\0\0\x09\xff\xff\xff\xff\x40" * 2),
        codec.frame(0, codec.performative(codec.BEGIN)),  # nulls where numbers must be
        _BEGIN + _BEGIN,
        _BEGIN + codec.frame(1, codec.performative(codec.ATTACH)),
        _BEGIN + codec.frame(1, codec.performative(codec.FLOW)),
        _BEGIN + codec.frame(1, codec.performative(codec.TRANSFER, codec.symbol("handle"))) * 2
        + codec.frame(1, b"\x00\x40\x40\x40"),
    ],
)  # fmt: skip
def test_what_is_no_amqp_ends_its_own_connection(eventhubs: EventHubsServer, data: bytes) -> None:
    """A client that talks nonsense is told so and hung up on; nobody else notices."""
    with Client(eventhubs.port) as other, Client(eventhubs.port) as client:
        client.socket.sendall(data)

        with pytest.raises(ConnectionError, match="framing-error"):
            client.expect(codec.TRANSFER)
        with pytest.raises(EOFError):
            client.next()
        other.begin()


def test_a_handle_in_use_is_not_taken_again(eventhubs: EventHubsServer) -> None:
    """The connection ends, and its first reader with it."""
    eventhubs.create_hub("handle")

    with Client(eventhubs.port) as client:
        client.begin()
        client.attach_reader("handle")
        with pytest.raises(ConnectionError, match="a handle that is free"):
            client.attach_reader("handle")

    assert eventhubs.stats()["readers"] == {}


def test_a_message_above_the_limit_detaches_the_link(eventhubs: EventHubsServer) -> None:
    """1 MB is the most a link takes."""
    eventhubs.create_hub("limit")
    message = codec.described(0x75, codec.binary(b"x" * 1_048_576))

    with Client(eventhubs.port) as client:
        client.begin()
        client.attach("limit", receives=False)
        client.socket.sendall(client.transfer(1, message))
        detach = client.expect(codec.DETACH)

    assert detach.fields[2].value[0] == "amqp:link:message-size-exceeded"
    assert eventhubs.stats()["ends"]["limit/0"] == 0


def test_what_is_no_message_is_rejected(eventhubs: EventHubsServer) -> None:
    """A delivery that cannot be decoded is answered with amqp:decode-error, and kept nowhere."""
    eventhubs.create_hub("garbage")

    with Client(eventhubs.port) as client:
        client.begin()
        client.attach("garbage", receives=False)
        client.socket.sendall(client.transfer(1, b"\x00\x53\x75\xa0\xff"))
        said = client.expect(codec.DISPOSITION)

    assert said.fields[4].value[0].value[0] == "amqp:decode-error"
    assert eventhubs.stats()["ends"]["garbage/0"] == 0


def test_the_journal_of_another_run_is_read(tmp_path: Path) -> None:
    """A record that a kill cut short is left out; nobody was answered for it."""
    server = EventHubsServer(tmp_path)
    server.start()
    server.create_hub("kept", 2)
    server.load("kept", 1, [b"a", b"b"])
    server.kill()
    with (tmp_path / "journal").open("ab") as journal:
        journal.write(b"\x00\x00\x01\x00cut")

    server.start()
    server.load("kept", 1, [b"c"])
    server.restart()

    assert server.stats()["ends"] == {"kept/0": 0, "kept/1": 3}
    server.stop()
