"""To a Kafka topic, the partition chosen by the key as Java's clients do.

Idempotent: what the library sends again after a lost answer is stored once. Acknowledged by all
in-sync replicas before `publish` returns.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from payflow.lib.errors import BackPressure, MessageTooLarge, Permanent, SourceUnavailable
from payflow.lib.kafka import (
    PRODUCER_PROPERTIES,
    KafkaTarget,
    Troubles,
    ask_cluster,
    client_configuration,
    first_words,
    library_logger,
)
from payflow.lib.publish.base import OutgoingMessage, Publisher

#: milliseconds after which a message that nobody took counts as not sent
DELIVERY_TIMEOUT_MS: Final = 10_000
#: Larger messages are for the broker to refuse: its limit is the topic's, and unknown here.
MESSAGE_BYTES: Final = 64 * 2**20
#: bytes that wait in the library at most, and the seconds that we wait for room
QUEUE_KB: Final = 64 * 1024
ROOM_S: Final = 5.0

_TOO_LARGE: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})
#: The brokers are there and cannot keep up, or have no room.
_FULL: Final = frozenset(
    {
        KafkaError._QUEUE_FULL,  # noqa: SLF001  the names of librdkafka's own errors
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.KAFKA_STORAGE_ERROR,
    }
)
_REFUSED: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "this user may not write to it: allow it to Write",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "the cluster has no such topic",
    KafkaError._UNKNOWN_TOPIC: "the cluster has no such topic",  # noqa: SLF001
}


class _Reports:
    """Which messages of one publish were taken; the library calls back, in any order."""

    def __init__(self, expected: int) -> None:
        self._taken = bytearray(expected)
        self.missing = expected
        self.error: KafkaError | None = None

    def note(self, index: int, error: KafkaError | None, _message: Message) -> None:
        """The library's delivery report of one message."""
        if error is None:
            self._taken[index] = 1
            self.missing -= 1
        elif self.error is None:
            self.error = error

    def prefix(self) -> int:
        """How many from the first on were taken: behind them the caller goes on."""
        first_missing = self._taken.find(0)
        return len(self._taken) if first_missing < 0 else first_missing


class KafkaPublisher(Publisher):
    """Waits for the delivery report of every message."""

    def __init__(self, target: KafkaTarget) -> None:
        self._target = target
        self._producer: Producer | None = None
        self._troubles = Troubles()

    def connect(self) -> None:
        self.close()
        self._producer = self._open()

    def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            # What is on its way must not arrive after the caller was told that it did not.
            with suppress(KafkaException):
                producer.purge()
                producer.flush(1.0)

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        if self._producer is None:
            self._producer = self._open()
        producer, reports = self._producer, _Reports(len(messages))
        try:
            self._send(producer, messages, reports)
            while reports.missing and reports.error is None and not self._troubles.is_refused:
                producer.flush(0.5)  # unlike poll() it does not wait for more to send
        except (KafkaException, BackPressure) as exc:
            self.published += self._give_up(reports)
            if isinstance(exc, KafkaException):
                raise self._explained(first_words(exc)) from exc
            raise
        if reports.missing:
            self.published += self._give_up(reports)
            raise self._explained(reports.error)
        self.published += len(messages)

    def _send(
        self, producer: Producer, messages: Sequence[OutgoingMessage], reports: _Reports
    ) -> None:
        for index, message in enumerate(messages):
            noted = partial(reports.note, index)
            deadline = time.monotonic() + ROOM_S
            while not self._queue(producer, message, noted):
                producer.poll(0.1)
                if time.monotonic() > deadline or reports.error is not None:
                    raise BackPressure(
                        f"Topic {self._target.topic} takes messages more slowly than they come."
                    )
            if index % 1_000 == 999:
                producer.poll(0)

    def _queue(self, producer: Producer, message: OutgoingMessage, noted: partial[None]) -> bool:
        """Give it to the library; False when that has no room."""
        headers: dict[str, str | bytes | None] = {**(message.headers or {})}
        try:
            producer.produce(
                self._target.topic,
                message.body,
                key=message.key,
                headers=headers or None,
                on_delivery=noted,
            )
        except BufferError:
            return False
        return True

    def _give_up(self, reports: _Reports) -> int:
        """Throw away what is queued or on its way; how many messages are known to be there."""
        self.close()
        return reports.prefix()

    def _explained(self, error: KafkaError | None) -> BackPressure | SourceUnavailable | Permanent:
        topic, code = self._target.topic, error.code() if error is not None else None
        if code in _TOO_LARGE:
            text = f"A message is larger than topic {topic} takes (max.message.bytes)."
            return MessageTooLarge(text)
        if code in _FULL:
            return BackPressure(f"Topic {topic}: {self._troubles.describe(error)}.")
        if code in _REFUSED:
            return SourceUnavailable(f"Topic {topic}: {_REFUSED[code]}.")
        return SourceUnavailable(f"Topic {topic}: {self._troubles.describe(error)}.")

    def _open(self) -> Producer:
        self._troubles = Troubles()
        configuration = {
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 5,
            "message.max.bytes": MESSAGE_BYTES,
            "message.timeout.ms": DELIVERY_TIMEOUT_MS,
            "partitioner": "murmur2_random",
            "queue.buffering.max.kbytes": QUEUE_KB,
            **client_configuration(self._target, properties=PRODUCER_PROPERTIES),
            "error_cb": self._troubles.note,
        }
        try:
            producer = Producer(configuration, logger=library_logger)
            # All are asked for: asking for one may make it.
            topics = ask_cluster(producer, self._troubles, topic=None).topics
        except KafkaException as exc:
            raise self._explained(first_words(exc)) from exc
        if self._target.topic not in topics:
            raise self._explained(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
        return producer
