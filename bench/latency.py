"""From publish to visible row: events at a steady rate through Celery workers.

    python bench/latency.py [--rate 2000] [--seconds 20] [--processes 2] [--linger-ms 20]
        [--json]

The latency of an event is the time of its commit less the time that the stream's server gave it;
both clocks are this machine's. The first seconds, in which leases are shared out, do not count.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import polars as pl  # noqa: E402

from bench.pipeline import wait_for_drainers  # noqa: E402
from tests.kill.world import World  # noqa: E402

_WARM_UP = timedelta(seconds=5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--rate", type=int, default=2000, help="events a second")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    parser.add_argument("--linger-ms", type=int, default=20, help="setting of the source")
    options = parser.parse_args()
    result = run(
        rate=options.rate,
        seconds=options.seconds,
        processes=options.processes,
        linger_ms=options.linger_ms,
    )
    if not options.json:
        for name, value in result.items():
            print(f"{name:<20}{value}")
    print(json.dumps(result))


def run(*, rate: int, seconds: int, processes: int, linger_ms: int) -> dict[str, Any]:
    directory = ROOT / "var" / "bench" / "latency"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    world = World(directory, partitions=2 * processes, durable=True)
    try:
        world.sql(
            "UPDATE sources SET settings = settings || jsonb_build_object('linger_ms', %s::int)",
            linger_ms,
        )
        world.start_celery(processes=processes)
        wait_for_drainers(world, processes)
        world.manage(
            "simulate", "--source", "demo", "--rate", str(rate), "--duration", str(seconds)
        )
        world.wait_for(rate * seconds)
        events = _events(world, directory)
    finally:
        world.stop()
    warm = events.filter(pl.col("broker_time") > pl.col("broker_time").min() + _WARM_UP)
    latencies = sorted(warm["ms"].to_list())
    return {
        "rate": rate,
        "linger_ms": linger_ms,
        "events": warm.height,
        "batches": events["file"].n_unique(),
        **{f"p{p}_ms": round(latencies[len(latencies) * p // 100], 1) for p in (50, 95, 99)},
        "max_ms": round(latencies[-1], 1),
    }


def _events(world: World, directory: Path) -> pl.DataFrame:
    """Broker time and latency of every event, from the archive and the manifest."""
    frames = []
    for file, committed_at in world.sql("SELECT file, committed_at FROM batches"):
        frame = pl.read_parquet(directory / "archive" / file, columns=["broker_time"])
        latency = (
            committed_at.astimezone(UTC) - pl.col("broker_time")
        ).dt.total_microseconds() / 1000
        frames.append(frame.with_columns(ms=latency, file=pl.lit(file)))
    return pl.concat(frames)


if __name__ == "__main__":
    main()
