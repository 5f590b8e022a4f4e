"""Event Hubs: the contract over AMQP, and what is special about hubs."""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.eventhub import EventHubProducerClient
from azure.eventhub.amqp import AmqpAnnotatedMessage

from ingestion.sources import event_hubs
from ingestion.sources.base import Checkpoint, MessageBatch, MessageConsumer
from ingestion.sources.event_hubs import EventHubsConsumer
from ingestion.sources.event_hubs_settings import EventHubsSettings
from ingestion.sources.factory import ConsumerFactory
from payflow.lib import event_hubs as shared
from payflow.lib import event_hubs_connection
from payflow.lib.errors import ConfigurationError, PartitionTaken, PositionLost, SourceUnavailable
from tests.eventhubs import access
from tests.eventhubs.process import EventHubsServer
from tests.ingestion.sources.contract import (
    Harness,
    SourceContract,
    all_bodies,
    beginning,
    drain,
    numbered,
)

_names = itertools.count()


class HubHarness(Harness):
    """A hub of a name nobody used before, with three partitions."""

    broker_type = "event_hubs"
    partitions = 3

    def __init__(self, server: EventHubsServer, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.server = server
        self.hub = f"hub-{next(_names)}"
        server.create_hub(self.hub, self.partitions, ["other"])
        monkeypatch.setenv("TEST_HUB", server.connection_string(self.hub))
        self.settings = {"connection_string": "env:TEST_HUB", "hub": self.hub, "linger_ms": 50}

    def load(self, *bodies: Sequence[bytes]) -> None:
        for partition, messages in enumerate(bodies):
            self.server.load(self.hub, partition, messages)

    def add(self, bodies: Sequence[bytes], *, partition: int = 0) -> None:
        """Append messages."""
        self.server.load(self.hub, partition, bodies)

    def send(self, *messages: AmqpAnnotatedMessage) -> None:
        """As a producer with the public client does."""
        client = EventHubProducerClient.from_connection_string(
            self.server.connection_string(self.hub)
        )
        with client:
            client.send_batch(list(messages), partition_id="0")


@pytest.fixture
def source(eventhubs: EventHubsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubHarness]:
    """On the worker's namespace."""
    harness = HubHarness(eventhubs, monkeypatch)
    yield harness
    harness.close()


class TestEventHubsContract(SourceContract):
    """The contract on a hub."""


def _next(consumer: MessageConsumer) -> MessageBatch:
    batch = consumer.consume_batch(wait_s=3)
    assert batch is not None
    return batch


def _after(batch: MessageBatch, **changes: Any) -> Checkpoint:
    at = {
        "partition": batch.partition,
        "position": batch.next_position,
        "sequence_number": batch.sequence_number + len(batch),
        "broker_offset": batch.broker_offset,
    }
    return Checkpoint(**{**at, **changes})


def _read_through(consumer: MessageConsumer, count: int) -> list[bytes]:
    """So many messages, connecting again whenever the hub goes away."""
    bodies: list[bytes] = []
    deadline = time.monotonic() + 20
    while len(bodies) < count and time.monotonic() < deadline:
        try:
            if not consumer.is_connected:
                consumer.connect()
            batch = consumer.consume_batch(wait_s=0.5)
        except SourceUnavailable:
            time.sleep(0.02)
        else:
            bodies += batch.bodies if batch else []
    return bodies


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

    batch = _next(consumer)

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

    batch = _next(source.read([]))

    assert batch.bodies == [b'{"a":1}', b"text", '{"a": [1, null, "ü"]}'.encode(), b'[[1, "b"]]']


def test_columns_that_nobody_uses_are_none(source: HubHarness):
    """Bodies alone cost nothing else; offsets are sequence numbers."""
    batch = _next(source.read(numbered(3)))

    assert (batch.keys, batch.headers) == (None, None)
    assert (batch.position, batch.offsets, batch.next_position) == ("0", ["0", "1", "2"], "3")
    assert batch.broker_offset not in ("", "2")


# --- where reading goes on -----------------------------------------------------------------------


def test_reading_goes_on_behind_the_brokers_own_offset(source: HubHarness):
    """With it and without it the next message is the next one."""
    consumer = source.read(numbered(10))
    batch = _next(consumer)
    source.add([b"new"])

    for checkpoint in (_after(batch), _after(batch, broker_offset="")):
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
    batch = _next(consumer)
    source.add(numbered(20))
    source.server.drop_before(source.hub, 0, 17)

    with pytest.raises(PositionLost) as caught:
        consumer.checkpoint(_after(batch))

    assert (caught.value.partition, caught.value.lost) == ("0", 7)
    assert "0" not in consumer.lag()


def test_what_expired_while_the_hub_was_away_stops_only_that_partition(source: HubHarness):
    """After a reconnect the hub is asked again; the others go on."""
    consumer = source.read(numbered(10))
    _next(consumer)
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
    assert len(_next(consumer)) == 10
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
    batch = _next(consumer)
    source.server.create_hub(source.hub, 3)
    source.add(numbered(5))
    if is_cut:
        source.server.cut_connections()
    else:
        consumer.lag()

    with pytest.raises(PositionLost) as caught:
        _read_through(consumer, 1)

    assert (caught.value.partition, caught.value.lost) == ("0", None)
    with pytest.raises(PositionLost):
        consumer.checkpoint(_after(batch))


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
    assert len(_next(consumer)) == 10
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


def test_consumer_groups_do_not_see_each_other(source: HubHarness):
    """Each reads all of it."""
    bodies = numbered(5)
    first = source.read(bodies)
    source.settings = {**source.settings, "consumer_group": "other"}
    second = source.connect()
    second.checkpoint(beginning(second, "0"))

    assert all_bodies(drain(first)) == all_bodies(drain(second)) == bodies


# --- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reset", "close", "detach"])
def test_cut_connections_lose_and_double_nothing(source: HubHarness, how: str):
    """Whatever ends them: an error of the socket, of the connection, or of each link."""
    bodies = numbered(15_000)
    consumer = source.read(bodies)
    first = _next(consumer)

    source.server.cut_connections(how)
    rest = _read_through(consumer, len(bodies) - len(first))

    assert first.bodies + rest == bodies


def test_a_connection_that_ends_within_a_frame_is_read_on(source: HubHarness):
    """Half an event is none."""
    bodies = numbered(5_000)
    consumer = source.read(bodies)
    source.server.cut_after(1_234)

    assert _read_through(consumer, len(bodies)) == bodies


def test_reading_goes_on_after_the_server_was_killed(source: HubHarness):
    """While it is away every call says so; connect() is all it takes."""
    bodies = numbered(200)
    consumer = source.read(bodies)
    first = _next(consumer)
    source.server.kill()

    with pytest.raises(SourceUnavailable):
        consumer.consume_batch(wait_s=2)
    assert not consumer.is_connected
    with pytest.raises(SourceUnavailable):
        consumer.connect()
    with pytest.raises(SourceUnavailable):
        consumer.lag()
    source.server.start()
    source.add([b"later"])
    consumer.connect()

    assert first.bodies + all_bodies(drain(consumer)) == [*bodies, b"later"]


def test_a_silent_server_is_given_up(source: HubHarness, monkeypatch: pytest.MonkeyPatch):
    """It holds its connections and says nothing: no call takes longer than its limit."""
    consumer = source.read(numbered(3))
    _next(consumer)
    monkeypatch.setattr(event_hubs_connection, "REQUEST_S", 0.3)
    monkeypatch.setattr(event_hubs_connection, "OPEN_S", 0.3)
    source.server.freeze()

    started = time.monotonic()
    for call in (consumer.lag, consumer.connect):
        with pytest.raises(SourceUnavailable, match="no answer in time"):
            call()

    assert time.monotonic() - started < 3


def test_messages_that_trickle_are_not_held_back(source: HubHarness):
    """A batch ends when its first message has lingered, whatever still comes."""
    consumer = source.read([])
    drain(consumer)
    stop = threading.Event()

    def trickle() -> None:
        while not stop.wait(0.01):
            source.add([b"%f" % time.time()])

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        ages = [time.time() - float(_next(consumer).bodies[0]) for _ in range(5)]
    finally:
        stop.set()
        thread.join()

    assert max(ages) < 0.5  # 0.06 on a quiet machine


def test_what_waits_here_is_bounded_with_large_messages(source: HubHarness, monkeypatch):
    """The hub may send only what may wait, and nothing is read once enough of it does."""
    monkeypatch.setattr(event_hubs, "_TOTAL_BYTES", 12 * 2**20)
    large = [b"x" * 2**20] * 12
    consumer = source.read([*numbered(5), *large], large, large)
    count, most = 0, 0

    while (batch := consumer.consume_batch(wait_s=0.5)) is not None:
        count += len(batch)
        waiting = consumer._readings.values()  # type: ignore[attr-defined]
        most = max(most, sum(reading.size for reading in waiting))

    assert count == 41
    assert most <= 14 * 2**20  # the limit, and what one look at the connection brings


def test_nothing_stays_open_after_a_disconnect(source: HubHarness):
    """No thread, no connection."""
    threads = set(threading.enumerate())
    before = source.server.stats()["open_connections"]
    consumer = source.read(numbered(5))
    drain(consumer)
    consumer.lag()

    consumer.disconnect()

    assert set(threading.enumerate()) == threads
    deadline = time.monotonic() + 2
    while source.server.stats()["open_connections"] > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert source.server.stats()["open_connections"] == before


def test_lag_asks_for_a_part_of_many_partitions_at_a_time(source: HubHarness, monkeypatch):
    """A consumer group may ask 50 times a second: the rest is told as it was last seen."""
    consumer = source.read(numbered(3), numbered(3), numbered(3))
    for batch in drain(consumer):
        assert len(batch) == 3
    monkeypatch.setattr(event_hubs, "_LOOKS", 1)
    for partition in range(3):
        source.add(numbered(2), partition=partition)

    seen = [sum(lag.events for lag in consumer.lag().values()) for _ in range(3)]

    assert seen[-1] == 6


# --- what is wrong -------------------------------------------------------------------------------


def _broken(source: HubHarness, fault: str) -> tuple[str, dict[str, Any]]:
    """The connection string and the settings of a source that cannot be read."""
    good = source.server.connection_string(source.hub)
    texts = {
        "key": source.server.connection_string(source.hub, key_ok=False),
        "right": source.server.connection_string(source.hub, policy="send"),
        "hub": source.server.connection_string("nowhere"),
        "text": "Endpoint=hunter2",
        "other hub": source.server.connection_string("another"),
        "port": good.replace(str(source.server.port), "1"),
        "name": good.replace("localhost", "no.such.host.invalid"),
    }
    changes: dict[str, Any] = {"hub": {"hub": "nowhere"}, "group": {"consumer_group": "nobody"}}
    return texts.get(fault, good), {**source.settings, **changes.get(fault, {})}


def _connect_and_read(consumer: MessageConsumer) -> None:
    consumer.connect()
    consumer.checkpoint(beginning(consumer, "0"))
    drain(consumer)


@pytest.mark.parametrize(
    ("fault", "words", "step"),
    [
        ("key", "key or the identity is refused .*invalid signature", "Credentials"),
        ("right", "'Listen' claim", "Consumer group"),
        ("hub", "no such hub", "Hub"),
        ("group", "no consumer group nobody", "Consumer group"),
        ("text", "TEST_HUB holds no connection string", "Address"),
        ("other hub", "connection string of another hub, another", "Address"),
        ("port", "Connection refused", "TCP"),
        ("name", "not known", "DNS"),
    ],
)
def test_what_is_wrong_is_named(
    source: HubHarness, monkeypatch: pytest.MonkeyPatch, fault: str, words: str, step: str
):
    """By the error and by the diagnosis, which looks no further; neither repeats a secret."""
    text, source.settings = _broken(source, fault)
    monkeypatch.setenv("TEST_HUB", text)
    consumer = ConsumerFactory.create("event_hubs", source="contract", settings=source.settings)

    with pytest.raises(SourceUnavailable, match=words) as caught:
        _connect_and_read(consumer)
    steps = consumer.diagnose()
    consumer.disconnect()

    assert [s.name for s in steps if s.is_ok is False] == [step]
    after = steps[[s.name for s in steps].index(step) + 1 :]
    assert all(s.is_ok is None for s in after)
    told = str(caught.value) + "".join(s.detail for s in steps)
    assert access.WRONG_KEY not in told
    assert "hunter2" not in told


def test_a_sound_source_passes_every_step(source: HubHarness):
    """Also while a worker reads it, who does not notice."""
    consumer = source.read(numbered(5))
    assert len(_next(consumer)) == 5

    steps = source.connect().diagnose()
    source.add([b"more"])

    assert [step.name for step in steps] == ["DNS", "TCP", "Credentials", "Hub", "Consumer group"]
    assert all(step.is_ok for step in steps)
    assert all_bodies(drain(consumer)) == [b"more"]


def test_a_missing_reference_or_extra_is_a_bad_world(
    source: HubHarness, monkeypatch: pytest.MonkeyPatch
):
    """One source that cannot be read must not stop the others; it says what to do."""
    consumer = ConsumerFactory.create("event_hubs", source="x", settings=source.settings)
    monkeypatch.delenv("TEST_HUB")
    with pytest.raises(SourceUnavailable, match="TEST_HUB"):
        consumer.connect()

    monkeypatch.setitem(sys.modules, "azure.eventhub", None)
    with pytest.raises(SourceUnavailable, match=r"install requirements/azure\.txt"):
        consumer.connect()
    assert consumer.diagnose()[0].is_ok is False


# --- TLS and identities --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventHubsServer]:
    """A namespace as Azure's: TLS, and no emulator's switch."""
    server = EventHubsServer(tmp_path_factory.mktemp("eventhubs-tls"), tls=True)
    server.start()
    server.create_hub("safe", 2)
    server.load("safe", 0, numbered(300))
    yield server
    server.stop()


class _Identity:
    """Stands in for azure-identity: a token as Azure's login would give it."""

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        """Good for an hour."""
        return AccessToken(access.JWT, int(time.time()) + 3600)


def _of_namespace(server: EventHubsServer) -> EventHubsSettings:
    return EventHubsSettings(
        connection_string="", namespace=server.namespace, hub="safe",
        consumer_group="$Default", linger_ms=50, transport="amqp",
    )  # fmt: skip


def test_an_identity_reads_over_tls(tls_server: EventHubsServer, monkeypatch: pytest.MonkeyPatch):
    """No key anywhere: the namespace is named and azure-identity signs in."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_server.ca_file))
    monkeypatch.setattr(shared, "azure_credential", _Identity)
    consumer = EventHubsConsumer(source="x", settings=_of_namespace(tls_server))

    consumer.connect()
    consumer.checkpoint(beginning(consumer, "0"))
    batches = drain(consumer)
    steps = consumer.diagnose()
    consumer.disconnect()

    assert all_bodies(batches) == numbered(300)
    assert [(step.name, step.is_ok) for step in steps] == [
        (name, True) for name in ("DNS", "TCP", "TLS", "Credentials", "Hub", "Consumer group")
    ]


def test_a_certificate_that_nobody_vouches_for_is_refused(
    tls_server: EventHubsServer, monkeypatch: pytest.MonkeyPatch
):
    """And named as what is wrong."""
    monkeypatch.setattr(shared, "azure_credential", _Identity)
    consumer = EventHubsConsumer(source="x", settings=_of_namespace(tls_server))

    with pytest.raises(SourceUnavailable, match="certificate verify failed"):
        consumer.connect()

    assert [step.name for step in consumer.diagnose() if step.is_ok is False] == ["TLS"]


# --- settings ------------------------------------------------------------------------------------


def test_settings_have_defaults():
    """Who we are and which hub is enough."""
    parsed = EventHubsConsumer.parse_settings({"connection_string": "env:HUB", "hub": "payments"})

    assert (parsed.consumer_group, parsed.linger_ms, parsed.transport) == ("$Default", 100, "amqp")
    assert {"hub"} == EventHubsConsumer.LOG_FIELDS


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"connection_string": "Endpoint=sb://x/;SharedAccessKey=hunter2"}, "connection_string",
         "connection_string is refused; it holds a key, so it must be a reference"),
        ({"connection_string": None}, "connection_string", "or namespace"),
        ({"namespace": "x.servicebus.windows.net"}, "namespace", "give it or connection_string"),
        ({"connection_string": None, "namespace": "sb://x/"}, "namespace", "must be a host name"),
        ({"hub": "a/b"}, "hub", "hub is 'a/b'; it must be of letters"),
        ({"hub": ""}, "hub", "must be a text"),
        ({"consumer_group": "a b"}, "consumer_group", "it must be $Default or of letters"),
        ({"linger_ms": 5001}, "linger_ms", "from 20 to 5,000"),
        ({"transport": "mqtt"}, "transport", "one of amqp, websockets"),
    ],
)  # fmt: skip
def test_bad_settings_are_refused(changes: dict[str, Any], field: str, words: str):
    """Field, value and rule are named, but never a key."""
    with pytest.raises(ConfigurationError) as caught:
        ConsumerFactory.validate(
            "event_hubs", {"connection_string": "env:HUB", "hub": "payments", **changes}
        )

    (problem,) = caught.value.problems
    assert problem.pointer == f"/settings/{field}"
    assert words in problem.message
    assert "hunter2" not in str(caught.value)


def test_references_may_be_files_of_a_vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`NAME_FILE` serves as everywhere; an emulator's address has another port."""
    secret = tmp_path / "hub"
    secret.write_text(
        "Endpoint=sb://localhost;SharedAccessKeyName=a;SharedAccessKey=b;"
        "UseDevelopmentEmulator=true\n"
    )
    monkeypatch.setenv("ACME_HUB_FILE", str(secret))
    settings = EventHubsConsumer.parse_settings({"connection_string": "env:ACME_HUB", "hub": "h"})

    assert shared.endpoint_of(settings) == ("localhost", 5672, False)
