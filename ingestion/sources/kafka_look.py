"""What a Kafka topic holds, asked without reading it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource

from payflow.lib.errors import SourceUnavailable
from payflow.lib.kafka import first_words, library_logger

#: seconds that a broker may take for one question
ASK_S: Final = 5.0
#: for what can be done without
ASK_ASIDE_S: Final = 2.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class TopicLook:
    """Questions to the brokers of one topic; raises KafkaException, and SourceUnavailable when the
    topic is not there or may not be read."""

    def __init__(self, consumer: Consumer, topic: str, *, ask_s: float = ASK_S) -> None:
        self._consumer = consumer
        self._topic = topic
        self._ask_s = ask_s

    def partitions(self) -> list[int]:
        """Numbers of the partitions that the topic has."""
        topic = self._consumer.list_topics(self._topic, timeout=self._ask_s).topics[self._topic]
        if topic.error is not None:
            raise SourceUnavailable(explain(topic.error, topic=self._topic))
        return sorted(topic.partitions)

    def bounds(self, partition: int) -> tuple[int, int]:
        """Offset of the first message held, and behind the last one that is committed."""
        place = TopicPartition(self._topic, partition)
        found = self._consumer.get_watermark_offsets(place, timeout=self._ask_s)
        if found is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001
        return found

    def ends(self, partitions: Sequence[int]) -> dict[int, int]:
        """Behind the last message of each, in one round trip to each broker.

        Without those that have no leader now, unless that is all of them.
        """
        wanted = dict.fromkeys(partitions, OFFSET_END)
        try:
            found = self._places(wanted)
        except KafkaException as exc:
            error = first_words(exc)
            if error is None or error.code() != KafkaError._DESTROY_BROKER:  # noqa: SLF001
                raise
            found = self._places(wanted)  # a broker went while it was asked; now it is known
        told = [place for place in found if place.error is None]
        return self._offsets(told or found)

    def position_at(self, partition: int, moment: datetime) -> int:
        """Of the first message with that time or a later one; the end when there is none."""
        ms = max(0, -((_EPOCH - moment) // timedelta(milliseconds=1)))
        found = self._offsets(self._places({partition: ms}))[partition]
        return found if found >= 0 else self.bounds(partition)[1]

    def _places(self, wanted: Mapping[int, int]) -> list[TopicPartition]:
        """With the offset at a time in ms (or a logical offset) of each partition, or an error."""
        asked = [TopicPartition(self._topic, number, ms) for number, ms in wanted.items()]
        return self._consumer.offsets_for_times(asked, timeout=self._ask_s)

    @staticmethod
    def _offsets(found: Sequence[TopicPartition]) -> dict[int, int]:
        for place in found:
            if place.error is not None:
                raise KafkaException(place.error)
        return {place.partition: place.offset for place in found}


def is_compacted(configuration: Mapping[str, Any], topic: str) -> bool | None:
    """Whether newer messages replace older ones in the topic; None: the cluster does not say."""
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    admin = AdminClient(dict(configuration), logger=library_logger)
    try:
        found = admin.describe_configs([resource], request_timeout=ASK_ASIDE_S)[resource].result(
            ASK_S
        )
    except (KafkaException, TimeoutError):  # mostly: not allowed to ask
        return None
    policy = found.get("cleanup.policy")
    return None if policy is None else "compact" in (policy.value or "")


def explain(error: KafkaError, *, topic: str) -> str:
    """What is wrong and what to do, of the errors that people make; else the client's own words."""
    texts = {
        KafkaError.UNKNOWN_TOPIC_OR_PART: f"The cluster has no topic {topic}: "
        "create it, or correct the setting topic.",
        KafkaError.TOPIC_AUTHORIZATION_FAILED: f"This user may not read the topic {topic}: "
        "allow it to Read and Describe.",
        KafkaError.GROUP_AUTHORIZATION_FAILED: "This user may not use the consumer group: "
        "allow it to Read it, or set another group_id.",
    }
    if error.code() == KafkaError._UNKNOWN_PARTITION:  # noqa: SLF001
        return "The partition has no leader now, or is not there."
    unknown_topic = KafkaError._UNKNOWN_TOPIC  # noqa: SLF001  the client's own name for the first
    code = KafkaError.UNKNOWN_TOPIC_OR_PART if error.code() == unknown_topic else error.code()
    return texts.get(code) or f"{error.str()} ({error.name()})"
