"""To Redis or Valkey streams, the partition chosen by the key.

A stream is bounded by making the producer wait, never by MAXLEN: that would cut messages nobody has
read. The bound is looked at before each chunk: one producer never passes it, several pass it by a
chunk each at most.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

import redis
import xxhash
from redis.exceptions import OutOfMemoryError

from payflow.lib.errors import BackPressure, SourceUnavailable
from payflow.lib.publish.base import OutgoingMessage, Publisher
from payflow.lib.streams import BODY, HEADERS, KEY, open_client, stream_key

#: Messages and bytes sent in one round trip.
CHUNK_MESSAGES = 1_000
CHUNK_BYTES = 8 * 2**20


class StreamTarget(Protocol):
    """The part of a `redis_streams` source's settings that a producer needs."""

    @property
    def url(self) -> str:
        """`env:NAME`, or an address without a password."""

    @property
    def stream(self) -> str:
        """Prefix of the streams."""

    @property
    def partitions(self) -> int:
        """How many there are."""

    @property
    def max_length(self) -> int:
        """Entries that one may hold."""


class StreamPublisher(Publisher):
    """XADD in pipelines: durable when the server's append-only file is (`appendfsync always`)."""

    def __init__(self, target: StreamTarget) -> None:
        self._target = target
        #: a chunk must fit a stream that holds what trimming by whole nodes leaves over
        self._chunk_messages = max(1, min(CHUNK_MESSAGES, target.max_length // 4))
        self._keys = [stream_key(target.stream, number) for number in range(target.partitions)]
        self._client: redis.Redis | None = None
        #: messages without a key take the partitions in turn
        self._turn = 0

    def connect(self) -> None:
        self.close()
        self._client = self._open()

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(redis.RedisError):
                client.close()

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        for chunk in _chunks(messages, length=self._chunk_messages):
            placed = [(self._place(message), message) for message in chunk]
            self._check_room(Counter(key for key, _ in placed))
            pipeline = self._connected.pipeline(transaction=False)
            for key, message in placed:
                pipeline.xadd(key, _fields(message))
            self._count(self._run(pipeline))

    @property
    def _connected(self) -> redis.Redis:
        if self._client is None:
            self._client = self._open()
        return self._client

    def _open(self) -> redis.Redis:
        client = open_client(self._target.url)
        try:
            client.ping()
        except redis.RedisError as exc:
            raise SourceUnavailable(f"Stream {self._target.stream}: {exc}") from exc
        return client

    def _place(self, message: OutgoingMessage) -> str:
        if message.key is not None:
            return self._keys[xxhash.xxh3_64_intdigest(message.key) % len(self._keys)]
        self._turn = (self._turn + 1) % len(self._keys)
        return self._keys[self._turn]

    def _check_room(self, wanted: Counter[str]) -> None:
        pipeline = self._connected.pipeline(transaction=False)
        for key in wanted:
            pipeline.xlen(key)
        for key, length in zip(wanted, self._run(pipeline), strict=True):
            if isinstance(length, redis.RedisError):
                raise SourceUnavailable(f"Stream {key}: {length}") from length
            if length + wanted[key] > self._target.max_length:
                raise BackPressure(f"Stream {key} holds {length:,} messages that nobody has read.")

    def _run(self, pipeline: Any) -> list[Any]:
        try:
            return list(pipeline.execute(raise_on_error=False))
        except redis.RedisError as exc:
            self.close()
            raise SourceUnavailable(f"Stream {self._target.stream}: {exc}") from exc

    def _count(self, replies: list[Any]) -> None:
        for reply in replies:
            if isinstance(reply, OutOfMemoryError):
                raise BackPressure(f"The server of {self._target.stream} is out of memory.")
            if isinstance(reply, redis.RedisError):
                raise SourceUnavailable(f"Stream {self._target.stream}: {reply}") from reply
            self.published += 1


def _chunks(messages: Sequence[OutgoingMessage], *, length: int) -> list[list[OutgoingMessage]]:
    chunks: list[list[OutgoingMessage]] = []
    size = CHUNK_BYTES
    for message in messages:
        size += len(message.body)
        if size > CHUNK_BYTES or len(chunks[-1]) == length:
            chunks.append([])
            size = len(message.body)
        chunks[-1].append(message)
    return chunks


def _fields(message: OutgoingMessage) -> dict[Any, Any]:
    fields: dict[Any, Any] = {BODY: message.body}
    if message.key is not None:
        fields[KEY] = message.key
    if message.headers:
        fields[HEADERS] = json.dumps(dict(message.headers)).encode()
    return fields
