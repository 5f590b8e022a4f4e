"""Where simulated events go: a source's own publisher and shape."""

from __future__ import annotations

from configuration.models import Source
from ingestion.sources.factory import ConsumerFactory
from payflow.lib.errors import ConfigurationError, Problem
from payflow.lib.publish.base import Publisher
from payflow.lib.publish.factory import create_publisher
from simulator.config import Shape


def publisher_of(source: Source) -> Publisher:
    """Not connected yet. Raises ConfigurationError, which names the source."""
    try:
        settings = ConsumerFactory.validate(source.broker_type, source.settings)
        return create_publisher(source.broker_type, settings)
    except ConfigurationError as exc:
        pointer = f"/sources/{source.name}"
        problems = [Problem(pointer=pointer + p.pointer, message=p.message) for p in exc.problems]
        raise ConfigurationError(problems) from exc


def shape_of(source: Source | None) -> Shape:
    """The shape that the source's schema has, else `transaction`."""
    name = source.schema_name if source else ""
    return Shape(name) if name in set(Shape) else Shape.TRANSACTION
