"""Sources as drainers leave them in the tables: no drainer runs here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from configuration.models import Source
from ingestion.models import Partition
from ingestion.source_models import PartitionMinute, SourceConnection
from tests.pages import fresh_cache, look, staff

__all__ = ["fresh_cache", "look", "staff"]


@pytest.fixture
def demo(ready: None) -> Source:
    """The shipped source on streams; nobody has read it yet."""
    return Source.objects.get(name="demo")


@pytest.fixture
def partition(demo: Source) -> Callable[..., Partition]:
    """A partition that a worker reads now, two events behind; keyword arguments replace fields."""

    def make(name: str = "0", **fields: Any) -> Partition:
        now = timezone.now()
        values = {
            "position": "88412980-1",
            "leased_by": "worker-1",
            "leased_until": now + timedelta(seconds=10),
            "lease_epoch": 14,
            "committed_at": now,
            "lag_events": 2,
            "lag_seconds": 0.6,
            "lag_at": now,
            **fields,
        }
        return Partition.objects.create(source=demo, name=name, **values)

    return make


@pytest.fixture
def connected(demo: Source) -> Callable[..., SourceConnection]:
    """A worker's connection that holds for a minute; keyword arguments replace fields."""

    def make(owner: str = "worker-1", **fields: Any) -> SourceConnection:
        now = timezone.now()
        values = {"connected_since": now - timedelta(minutes=1), "seen_at": now, **fields}
        return SourceConnection.objects.create(source=demo, owner=owner, **values)

    return make


@pytest.fixture
def minutes() -> Callable[..., None]:
    """Lag of a partition over the last minutes, oldest first."""

    def note(partition: Partition, seconds: list[float | None]) -> None:
        this = timezone.now().replace(second=0, microsecond=0)
        PartitionMinute.objects.bulk_create(
            PartitionMinute(
                minute=this - timedelta(minutes=len(seconds) - 1 - number),
                partition_id=partition.pk,
                sequence_number=number,
                lag_events=None if value is None else int(value),
                lag_seconds=value,
            )
            for number, value in enumerate(seconds)
        )

    return note
