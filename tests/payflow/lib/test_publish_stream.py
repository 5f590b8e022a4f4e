"""Publishing to streams: everything once, in order per key, and never over the bound."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from payflow.lib.errors import BackPressure, ConfigurationError, SourceUnavailable
from payflow.lib.publish import stream
from payflow.lib.publish.base import OutgoingMessage
from payflow.lib.publish.factory import create_publisher
from payflow.lib.publish.stream import StreamPublisher
from tests.own_valkey import OwnServer


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a source's settings say."""

    url: str = "env:STREAMS_URL"
    stream: str = "published"
    partitions: int = 4
    max_length: int = 1_000_000


@pytest.fixture
def publisher(streams: redis.Redis) -> Iterator[StreamPublisher]:
    """To four empty streams."""
    with StreamPublisher(Target()) as publisher:
        yield publisher


def _entries(streams: redis.Redis, partition: int) -> list[dict[bytes, bytes]]:
    entries: Any = streams.xrange(f"published.{partition}")
    return [fields for _, fields in entries]


def _numbered(count: int, *, key: bytes | None = None) -> list[OutgoingMessage]:
    return [OutgoingMessage(body=b"%d" % n, key=key) for n in range(count)]


def test_a_message_becomes_one_entry(publisher: StreamPublisher, streams: redis.Redis):
    """Body, and key and headers where there are any."""
    publisher.publish([OutgoingMessage(body=b"\xff{}", key=b"k", headers={"a": "é"})])
    publisher.publish([OutgoingMessage(body=b"2")])

    entries = [entry for partition in range(4) for entry in _entries(streams, partition)]
    assert sorted(entries, key=len, reverse=True) == [
        {b"body": b"\xff{}", b"key": b"k", b"headers": b'{"a": "\\u00e9"}'},
        {b"body": b"2"},
    ]
    assert publisher.published == 2


def test_a_key_keeps_its_partition_and_order(publisher: StreamPublisher, streams: redis.Redis):
    """Over calls, chunks and publishers."""
    publisher.publish(_numbered(1_500, key=b"customer-1"))
    with StreamPublisher(Target()) as another:
        another.publish([OutgoingMessage(body=b"last", key=b"customer-1")])

    (entries,) = filter(None, (_entries(streams, partition) for partition in range(4)))
    bodies = [entry[b"body"] for entry in entries]
    assert bodies == [*(b"%d" % n for n in range(1_500)), b"last"]


def test_messages_without_a_key_are_spread_evenly(publisher: StreamPublisher, streams: redis.Redis):
    """In turn over all partitions."""
    publisher.publish(_numbered(100))

    assert [len(_entries(streams, partition)) for partition in range(4)] == [25] * 4


def test_a_full_stream_makes_the_producer_wait(streams: redis.Redis):
    """Nothing is cut and nothing is added beyond the bound; reading it empty frees the producer."""
    with StreamPublisher(Target(partitions=1, max_length=1_000)) as publisher:
        with pytest.raises(BackPressure):
            publisher.publish(_numbered(2_500))
        assert streams.xlen("published.0") == publisher.published == 1_000
        with pytest.raises(BackPressure):
            publisher.publish(_numbered(1))
        streams.xtrim("published.0", maxlen=0, approximate=False)

        publisher.publish(_numbered(2_500)[publisher.published :][:1_000])

        assert publisher.published == 2_000
        assert _entries(streams, 0)[0] == {b"body": b"1000"}


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[OwnServer]:
    """A server that the test may spoil."""
    server = OwnServer(tmp_path)
    server.start()
    yield server
    server.kill()


def test_a_server_without_memory_is_back_pressure(own_server: OwnServer):
    """noeviction: the server refuses, the producer waits, nothing is dropped."""
    with own_server.client() as client, StreamPublisher(Target(url=own_server.url)) as publisher:
        client.config_set("maxmemory", 1)
        with pytest.raises(BackPressure):
            publisher.publish(_numbered(3))
        assert publisher.published == 0
        client.config_set("maxmemory", 0)

        publisher.publish(_numbered(3))

        assert publisher.published == 3


def test_an_absent_server_is_a_bad_world():
    """connect() and publish() say so; the publisher may be used again later."""
    publisher = StreamPublisher(Target(url="redis://127.0.0.1:1/0"))

    for _ in range(2):
        with pytest.raises(SourceUnavailable):
            publisher.publish(_numbered(1))
    with pytest.raises(SourceUnavailable):
        publisher.connect()
    assert publisher.published == 0


def test_a_server_that_comes_back_is_used_again(own_server: OwnServer):
    """While it is away every call fails, afterwards the same publisher works."""
    with StreamPublisher(Target(url=own_server.url)) as publisher:
        publisher.publish(_numbered(1))
        own_server.kill()
        for _ in range(2):
            with pytest.raises(SourceUnavailable):
                publisher.publish(_numbered(1))
        own_server.start()

        publisher.publish(_numbered(1))

        assert publisher.published == 2


def test_chunks_are_bounded_in_bytes(
    publisher: StreamPublisher, streams: redis.Redis, monkeypatch: pytest.MonkeyPatch
):
    """Large messages do not add up to one huge request."""
    monkeypatch.setattr(stream, "CHUNK_BYTES", 1_000)
    runs = []
    run = publisher._run

    def counted(pipeline: Any) -> list[Any]:
        runs.append(len(pipeline))
        return run(pipeline)

    monkeypatch.setattr(publisher, "_run", counted)

    publisher.publish([OutgoingMessage(body=b"x" * 400, key=b"k") for _ in range(5)])

    assert runs == [1, 2, 1, 2, 1, 1]  # a look at the length before each chunk


def test_a_hundred_thousand_messages_take_seconds(publisher: StreamPublisher, streams: redis.Redis):
    """Pipelines, not round trips: 100,000 of 550 bytes."""
    messages = [OutgoingMessage(body=b"x" * 550, key=b"%d" % n) for n in range(100_000)]

    started = time.monotonic()
    publisher.publish(messages)

    assert time.monotonic() - started < 10  # 0.6 s on a quiet machine
    assert sum(streams.xlen(f"published.{n}") for n in range(4)) == 100_000


def test_an_unknown_destination_is_refused():
    """The known ones are named."""
    with pytest.raises(ConfigurationError, match="redis_streams, event_hubs, kafka, file"):
        create_publisher("pigeon", Target())
