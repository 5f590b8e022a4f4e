"""Short ways to send messages over real streams and to drain them in this process."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import redis

from configuration.models import Source
from ingestion.drain import Drainer
from ingestion.models import Partition
from tests import waiting

#: what the shipped source `demo` reads
PREFIX = "payflow.demo"
PARTITIONS = 4


def publish(
    client: redis.Redis, messages: Sequence[bytes | Mapping[str, Any]], *, only: int | None = None
) -> None:
    """Spread messages over the streams of the source `demo`, or send all to one."""
    pipeline = client.pipeline(transaction=False)
    for number, message in enumerate(messages):
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        partition = number % PARTITIONS if only is None else only
        pipeline.xadd(f"{PREFIX}.{partition}", {"body": body})
    pipeline.execute()


def drain_all(**options: Any) -> None:
    """Drain the source `demo` in this thread until everything is read."""
    Drainer(stop=threading.Event(), sources=["demo"], **options).run(until_idle=True)


def demo() -> Source:
    return Source.objects.get(name="demo")


def wait_until(holds: Callable[[], object], *, seconds: float = 60) -> float:
    """Seconds that it took; when it takes too long, the partitions are shown."""
    return waiting.wait_until(holds, seconds=seconds, tell=lambda: [*Partition.objects.values()])
