"""From a broker type to its consumer; a new kind of source is one more entry in `CONSUMERS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ingestion.sources.base import MessageConsumer
from ingestion.sources.event_hubs import EventHubsConsumer
from ingestion.sources.file import FileConsumer
from ingestion.sources.kafka import KafkaConsumer
from ingestion.sources.redis_streams import RedisStreamsConsumer
from payflow.lib.errors import ConfigurationError, Problem

CONSUMERS: dict[str, type[MessageConsumer]] = {
    consumer.broker_type: consumer
    for consumer in (RedisStreamsConsumer, FileConsumer, KafkaConsumer, EventHubsConsumer)
}


class ConsumerFactory:
    """Makes the consumer that a source's row asks for."""

    @staticmethod
    def create(broker_type: str, *, source: str, settings: Mapping[str, Any]) -> MessageConsumer:
        """A consumer that is not connected yet. Raises ConfigurationError like `validate`."""
        parsed = ConsumerFactory.validate(broker_type, settings)
        return CONSUMERS[broker_type](source=source, settings=parsed)

    @staticmethod
    def validate(broker_type: str, settings: Mapping[str, Any]) -> Any:
        """The broker type's own settings object; ConfigurationError has one Problem a bad field."""
        if broker_type not in CONSUMERS:
            message = (
                f"{broker_type!r} is no broker type; known are {', '.join(sorted(CONSUMERS))}."
            )
            raise ConfigurationError(Problem(pointer="/broker_type", message=message))
        return CONSUMERS[broker_type].parse_settings(settings)

    @staticmethod
    def validate_change(broker_type: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """Raises ConfigurationError like `validate`, or where `new` names another log."""
        after = ConsumerFactory.validate(broker_type, new)
        fields = sorted(CONSUMERS[broker_type].LOG_FIELDS)
        try:
            parsed = ConsumerFactory.validate(broker_type, old)
            before = {field: getattr(parsed, field) for field in fields}
        except ConfigurationError:
            # kept by an older release: the change may be what mends them
            before = {field: old.get(field, getattr(after, field)) for field in fields}
        problems = [
            Problem(
                pointer=f"/settings/{field}",
                message=f"{field} names the log that the checkpoints belong to and stays "
                f"{before[field]!r}: make another source for another log.",
            )
            for field in fields
            if before[field] != getattr(after, field)
        ]
        if problems:
            raise ConfigurationError(problems)
