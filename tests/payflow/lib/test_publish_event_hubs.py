"""Publishing to Event Hubs: durable on return, counted, keyed as Azure keys, refused in words."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import pytest
from azure.eventhub import EventData, EventHubProducerClient

from ingestion.sources.base import MessageBatch
from ingestion.sources.event_hubs import EventHubsConsumer
from ingestion.sources.event_hubs_settings import EventHubsSettings, parse_settings
from payflow.lib.errors import BackPressure, Permanent, SourceUnavailable
from payflow.lib.publish import event_hubs
from payflow.lib.publish.base import OutgoingMessage, Publisher
from payflow.lib.publish.factory import create_publisher
from tests.eventhubs.fixtures import eventhubs, eventhubs_server
from tests.eventhubs.process import EventHubsServer
from tests.ingestion.sources.contract import beginning, drain

__all__ = ["eventhubs", "eventhubs_server"]

_names = itertools.count()


@pytest.fixture
def target(eventhubs: EventHubsServer, monkeypatch: pytest.MonkeyPatch) -> EventHubsSettings:
    """A hub of four empty partitions."""
    hub = f"published-{next(_names)}"
    eventhubs.create_hub(hub, 4)
    monkeypatch.setenv("TEST_HUB", eventhubs.connection_string(hub))
    return parse_settings({"connection_string": "env:TEST_HUB", "hub": hub})


@pytest.fixture
def publisher(target: EventHubsSettings) -> Iterator[Publisher]:
    """To that hub."""
    with create_publisher("event_hubs", target) as publisher:
        yield publisher


def _stored(target: EventHubsSettings) -> dict[str, list[MessageBatch]]:
    consumer = EventHubsConsumer(source="x", settings=target)
    consumer.connect()
    for partition in consumer.partitions():
        consumer.checkpoint(beginning(consumer, partition))
    batches = drain(consumer)
    consumer.disconnect()
    stored: dict[str, list[MessageBatch]] = {}
    for batch in batches:
        stored.setdefault(batch.partition, []).append(batch)
    return stored


def _bodies(target: EventHubsSettings) -> list[bytes]:
    stored = _stored(target).values()
    return [body for batches in stored for batch in batches for body in batch.bodies]


def _numbered(count: int, *, key: bytes | None = None) -> list[OutgoingMessage]:
    return [OutgoingMessage(body=b"%d" % n, key=key) for n in range(count)]


def test_a_message_becomes_one_event(publisher: Publisher, target: EventHubsSettings):
    """Body, and key and headers where there are any."""
    publisher.publish([OutgoingMessage(body=b"\xff{}", key="kä".encode(), headers={"a": "é"})])

    ((batch,),) = _stored(target).values()
    assert batch.bodies == [b"\xff{}"]
    assert batch.keys == ["kä".encode()]
    assert batch.headers == ['{"a": "é"}'.encode()]
    assert publisher.published == 1


def test_messages_of_one_key_keep_their_order(publisher: Publisher, target: EventHubsSettings):
    """All of them in one partition, over several chunks and batches."""
    publisher.publish(_numbered(event_hubs.CHUNK_MESSAGES + 500, key=b"account-7"))

    (batches,) = _stored(target).values()
    bodies = [body for batch in batches for body in batch.bodies]
    assert bodies == [b"%d" % n for n in range(event_hubs.CHUNK_MESSAGES + 500)]
    assert publisher.published == event_hubs.CHUNK_MESSAGES + 500


def test_keys_find_the_partition_that_azures_producers_choose(
    publisher: Publisher, target: EventHubsSettings, eventhubs: EventHubsServer
):
    """What a buffering producer of the SDK sends with the same key lies beside ours."""
    keys = [f"account-{n}" for n in range(12)]
    publisher.publish([OutgoingMessage(body=b"ours", key=key.encode()) for key in keys])
    theirs = EventHubProducerClient.from_connection_string(
        eventhubs.connection_string(target.hub),
        buffered_mode=True,
        on_success=lambda _events, _partition: None,
        on_error=lambda _events, _partition, exc: pytest.fail(str(exc)),
    )
    with theirs:
        for key in keys:
            theirs.send_event(EventData(b"theirs"), partition_key=key)

    places: dict[bytes, list[str]] = {}
    for partition, batches in _stored(target).items():
        for found_key in itertools.chain.from_iterable(batch.keys or [] for batch in batches):
            places.setdefault(found_key or b"", []).append(partition)
    assert sorted(places) == sorted(key.encode() for key in keys)
    assert all(len(found) == 2 and len(set(found)) == 1 for found in places.values())
    assert len({found[0] for found in places.values()}) > 1


def test_batches_are_as_large_as_the_hub_takes(publisher: Publisher, target: EventHubsSettings):
    """Large messages by the handful, none too large for the link."""
    bodies = [b"%d" % n + b"x" * 300_000 for n in range(20)]

    publisher.publish([OutgoingMessage(body=body) for body in bodies])

    assert sorted(_bodies(target)) == sorted(bodies)


def test_a_message_above_the_limit_is_refused_for_good(
    publisher: Publisher, target: EventHubsSettings
):
    """To try again would not help; what came before it is counted and stored."""
    messages = [*_numbered(event_hubs.CHUNK_MESSAGES), OutgoingMessage(body=b"x" * 2 * 2**20)]

    with pytest.raises(Permanent, match=r"2,097,1\d\d bytes is larger"):
        publisher.publish(messages)

    assert publisher.published == event_hubs.CHUNK_MESSAGES
    assert len(_bodies(target)) == event_hubs.CHUNK_MESSAGES


def test_a_busy_hub_makes_the_producer_wait(
    publisher: Publisher, target: EventHubsSettings, eventhubs: EventHubsServer
):
    """Only after tries of our own; then as a full stream would, and nothing counts."""
    publisher.publish(_numbered(1, key=b"k"))
    eventhubs.throttle(target.hub)

    with pytest.raises(BackPressure, match="throttled"):
        publisher.publish(_numbered(5, key=b"k"))
    refused = eventhubs.stats()["throttled"]
    eventhubs.throttle(target.hub, False)
    publisher.publish(_numbered(5, key=b"k"))

    assert refused >= event_hubs.ATTEMPTS
    assert publisher.published == 6
    assert len(_bodies(target)) == 6


def test_a_short_busy_spell_is_nobodys_business(
    publisher: Publisher, target: EventHubsSettings, eventhubs: EventHubsServer
):
    """A later try gets through, and it is counted."""
    publisher.publish(_numbered(1, key=b"k"))
    assert publisher.retried == 0
    eventhubs.throttle(target.hub)
    lift = threading.Timer(0.15, eventhubs.throttle, [target.hub, False])
    lift.start()

    publisher.publish(_numbered(5, key=b"k"))
    lift.join()

    assert len(_bodies(target)) == 6
    assert 1 <= publisher.retried <= 3


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_cut_connection_is_opened_again(
    publisher: Publisher, target: EventHubsSettings, eventhubs: EventHubsServer, how: str
):
    """Within the same call, and everything is there once."""
    publisher.publish(_numbered(3))
    eventhubs.cut_connections(how)

    publisher.publish([OutgoingMessage(body=b"later")])

    assert sorted(_bodies(target)) == [b"0", b"1", b"2", b"later"]
    assert publisher.published == 4


def test_a_lost_answer_may_double_and_never_loses(
    publisher: Publisher, target: EventHubsSettings, eventhubs: EventHubsServer
):
    """The hub kept the batch and we never heard: it is sent again."""
    publisher.publish(_numbered(1, key=b"k"))
    eventhubs.lose_answers()

    publisher.publish([OutgoingMessage(body=b"x", key=b"k")])

    assert _bodies(target) == [b"0", b"x", b"x"]
    assert publisher.published == 2


def test_a_server_that_is_away_is_said_and_found_again(
    publisher: Publisher, target: EventHubsSettings, eventhubs: EventHubsServer
):
    """Nothing counts meanwhile; the next call opens a connection by itself."""
    eventhubs.kill()
    with pytest.raises(SourceUnavailable):
        publisher.publish(_numbered(3))
    assert publisher.published == 0
    eventhubs.start()

    publisher.publish(_numbered(3))

    assert sorted(_bodies(target)) == [b"0", b"1", b"2"]
    assert publisher.published == 3


@pytest.mark.parametrize(
    ("fault", "words"),
    [("key", "refused"), ("hub", "no such hub"), ("right", r"'Send' claim")],
)
def test_what_is_wrong_is_named(
    target: EventHubsSettings, eventhubs: EventHubsServer, monkeypatch, fault: str, words: str
):
    """An unknown hub, too, fails at once: the SDK's own producer may wait for ever."""
    texts = {
        "key": eventhubs.connection_string(target.hub, key_ok=False),
        "hub": eventhubs.connection_string("nowhere"),
        "right": eventhubs.connection_string(target.hub, policy="listen"),
    }
    monkeypatch.setenv("TEST_HUB", texts[fault])
    hub = "nowhere" if fault == "hub" else target.hub
    settings = parse_settings({"connection_string": "env:TEST_HUB", "hub": hub})
    publisher = create_publisher("event_hubs", settings)

    started = time.monotonic()
    with pytest.raises(SourceUnavailable, match=words):
        publisher.publish(_numbered(1))
    publisher.close()

    assert time.monotonic() - started < 5


def test_nothing_stays_open(target: EventHubsSettings):
    """No thread after close, and a second close is harmless."""
    threads = set(threading.enumerate())

    with create_publisher("event_hubs", target) as publisher:
        publisher.publish(_numbered(3, key=b"k"))
    publisher.close()

    assert set(threading.enumerate()) == threads
