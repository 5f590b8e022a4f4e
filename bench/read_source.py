"""Reads one source once and says how fast: `python -m bench.read_source TYPE SETTINGS COUNT`.

A process of its own for each run, as a worker is one: nothing is warm but the broker. The clock
runs from the first assignment to the last message. Nothing is acknowledged: the next run reads the
same again.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payflow.settings")
django.setup()

from ingestion.sources.base import Checkpoint  # noqa: E402
from ingestion.sources.factory import ConsumerFactory  # noqa: E402

#: seconds without a message after which the run has failed
PATIENCE_S = 20.0


def main() -> None:
    broker_type, settings, count = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
    consumer = ConsumerFactory.create(broker_type, source="bench", settings=settings)
    consumer.connect()
    positions = {name: consumer.first_position(name) for name in consumer.partitions()}
    cpu, start = _cpu_s(), time.perf_counter()
    for name, position in positions.items():
        consumer.checkpoint(Checkpoint(partition=name, position=position, sequence_number=0))
    read = size = batches = 0
    last = start
    while read < count:
        batch = consumer.consume_batch(wait_s=0.25)
        if batch is None:
            if time.perf_counter() - last > PATIENCE_S:
                raise SystemExit(f"read {read} of {count} messages, and no more come")
            continue
        read += len(batch)
        size += sum(map(len, batch.bodies))
        batches += 1
        last = time.perf_counter()
    used = _cpu_s() - cpu
    consumer.disconnect()
    print(
        json.dumps(
            {
                "messages": read,
                "batches": batches,
                "mb": round(size / 2**20, 1),
                "seconds": round(last - start, 3),
                "per_s": round(read / (last - start)),
                "cpu_us": round(used / read * 1e6, 2),
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
        )
    )


def _cpu_s() -> float:
    """Of all threads of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
