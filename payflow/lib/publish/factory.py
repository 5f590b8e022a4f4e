"""From a broker type to its publisher, as ConsumerFactory does for the other end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from payflow.lib.errors import ConfigurationError, Problem
from payflow.lib.publish.base import Publisher
from payflow.lib.publish.event_hubs import EventHubsPublisher
from payflow.lib.publish.file import FilePublisher
from payflow.lib.publish.kafka import KafkaPublisher
from payflow.lib.publish.stream import StreamPublisher

_PUBLISHERS: dict[str, Callable[[Any], Publisher]] = {
    "redis_streams": StreamPublisher,
    "event_hubs": EventHubsPublisher,
    "kafka": KafkaPublisher,
    "file": lambda settings: FilePublisher(settings.path),
}


def create_publisher(broker_type: str, settings: Any) -> Publisher:
    """A publisher to a source, by the settings object of that source; not connected yet."""
    if broker_type not in _PUBLISHERS:
        message = f"nothing can be published to {broker_type!r}, only to {', '.join(_PUBLISHERS)}."
        raise ConfigurationError(Problem(pointer="/broker_type", message=message))
    return _PUBLISHERS[broker_type](settings)
