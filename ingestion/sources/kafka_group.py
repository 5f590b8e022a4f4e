"""Offsets for the tools that show lag: committed to a group behind our own commit, never read."""

from __future__ import annotations

import logging
import time
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from payflow.lib.kafka import first_words

logger = logging.getLogger(__name__)

#: seconds between two commits
REPORT_EVERY_S: Final = 1.0


class GroupReports:
    """What was committed here and is to be told to the group, all partitions in one request."""

    def __init__(self, *, source: str, topic: str) -> None:
        self._source = source
        self._topic = topic
        self._waiting: dict[int, int] = {}
        self._due_at = 0.0
        #: what the group said last, so that a change is logged and not each commit
        self._error = ""

    def add(self, partition: int, offset: int) -> None:
        """The next offset of a partition."""
        self._waiting[partition] = offset

    def drop(self, partition: int) -> None:
        """It is another reader's by now."""
        self._waiting.pop(partition, None)

    def send(self, consumer: Consumer | None) -> None:
        """Once a second; does not wait for the answer, never raises."""
        if consumer is None or not self._waiting or time.monotonic() < self._due_at:
            return
        self._due_at = time.monotonic() + REPORT_EVERY_S
        offsets = [TopicPartition(self._topic, *place) for place in self._waiting.items()]
        self._waiting.clear()
        try:
            consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as exc:
            self.note(first_words(exc), [])

    def note(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        """The client's `on_commit`."""
        errors = [error, *(offset.error for offset in offsets)]
        name = next((error.name() for error in errors if error is not None), "")
        if name and name != self._error:
            logger.warning(
                "could not commit offsets to the consumer group: lag tools show old ones",
                extra={"action": "group_commit_failed", "source": self._source, "error": name},
            )
        self._error = name
