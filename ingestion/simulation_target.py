"""Where simulated events go: to a source as its own publisher sends, to another broker, a file."""

from __future__ import annotations

from typing import Any

from configuration.models import Source
from ingestion.sources.factory import ConsumerFactory
from payflow.lib.errors import ConfigurationError, Problem
from payflow.lib.publish.base import Publisher
from payflow.lib.publish.factory import create_publisher
from payflow.lib.publish.file import FilePublisher, StdoutPublisher
from simulator.config import OutputConfig, Shape


def publisher_of(source: Source) -> Publisher:
    """Not connected yet. Raises ConfigurationError, which names the source."""
    try:
        settings = ConsumerFactory.validate(source.broker_type, source.settings)
        return create_publisher(source.broker_type, settings)
    except ConfigurationError as exc:
        pointer = f"/sources/{source.name}"
        problems = [Problem(pointer=pointer + p.pointer, message=p.message) for p in exc.problems]
        raise ConfigurationError(problems) from exc


def publisher_to(output: OutputConfig) -> Publisher:
    """Where a configuration file says; not connected yet. Raises ConfigurationError."""
    if output.destination == "stdout":
        return StdoutPublisher()
    if output.destination == "file":
        return FilePublisher(output.file_path or "")
    broker_type, settings = _broker_of(output)
    return create_publisher(broker_type, ConsumerFactory.validate(broker_type, settings))


def _broker_of(output: OutputConfig) -> tuple[str, dict[str, Any]]:
    """The broker type, and the settings that a source of it would have."""
    if output.destination == "event_hub":
        return "event_hubs", {"connection_string": output.connection_string, "hub": output.hub}
    if output.destination == "kafka":
        where = {"bootstrap_servers": output.bootstrap_servers, "topic": output.topic}
        return "kafka", where
    return "redis_streams", {
        "url": output.connection_string,
        "stream": output.stream,
        "partitions": output.partitions,
    }


def shape_of(source: Source | None) -> Shape:
    """The shape that the source's schema has, else `transaction`."""
    name = source.schema_name if source else ""
    return Shape(name) if name in set(Shape) else Shape.TRANSACTION
