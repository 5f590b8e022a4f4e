"""Hot reload under load: activation to live on every worker, and what it costs the throughput.

    python bench/activations.py [--pairs 5] [--rate 2000] [--activations 100] [--every 0.3]
        [--processes 2] [--json]

Pairs of runs on one installation with real Celery workers and durable servers: events at a steady
rate for the time that the activations take, once without and once with them; which comes first
alternates. Every tenth activation is of a draft that is wrong and must be refused. `p95_live_s` is
from the activation's row to the answer of the last worker, over all runs. `throughput_share` is the
median over the pairs of events a second, first arrival to last commit, with them by without.
At the end `verify` recomputes everything that was stored.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.pipeline import wait_for_drainers  # noqa: E402
from tests.kill.live import seconds_to_live  # noqa: E402
from tests.kill.world import World  # noqa: E402

_RUN = """
SELECT sum(messages) / extract(epoch FROM max(committed_at) - min(received_at)),
    percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM committed_at - received_at))
FROM batches WHERE id > %s
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--rate", type=int, default=2000, help="events a second")
    parser.add_argument("--activations", type=int, default=100, help="in each run with them")
    parser.add_argument("--every", type=float, default=0.3, help="seconds between activations")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    options = parser.parse_args()
    result = run(
        pairs=options.pairs,
        rate=options.rate,
        activations=options.activations,
        every=options.every,
        processes=options.processes,
    )
    if not options.json:
        for name, value in result.items():
            print(f"{name:<26}{value}")
    print(json.dumps(result))


def run(*, pairs: int, rate: int, activations: int, every: float, processes: int) -> dict[str, Any]:
    directory = ROOT / "var" / "bench" / "activations"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    world = World(directory, partitions=2 * processes, durable=True)
    seconds = max(5, round(activations * every))
    runs: list[dict[str, Any]] = []
    try:
        world.start_celery(processes=processes)
        wait_for_drainers(world, processes)
        _measure(world, rate=rate, seconds=5, activations=0, every=every)  # warm
        for pair in range(pairs):
            for count in (0, activations) if pair % 2 == 0 else (activations, 0):
                found = _measure(world, rate=rate, seconds=seconds, activations=count, every=every)
                runs.append(found | {"pair": pair, "activations": count})
        is_clean = world.manage("verify", "--json", check=False).returncode == 0
    finally:
        world.stop()
    return {
        "rate": rate,
        "pairs": pairs,
        "activations": activations,
        **_live(runs),
        **_throughput(runs, pairs),
        "verify_is_clean": is_clean,
    }


def _measure(
    world: World, *, rate: int, seconds: int, activations: int, every: float
) -> dict[str, Any]:
    """Send events for so long, with so many activations meanwhile."""
    before = world.committed()
    last = world.sql("SELECT coalesce(max(id), 0) FROM batches")[0][0]
    sender = world.start(
        "manage.py", "simulate", "--source", "demo", "--rate", str(rate),
        "--duration", str(seconds),
    )  # fmt: skip
    said: dict[str, Any] = {"live": [], "refused": [], "seconds": []}
    if activations:
        world.wait_for(before + 1)
        out = world.services.state_dir / "activations.json"
        activator = world.start(
            "-m", "tests.kill.activator", "--count", str(activations), "--every", str(every),
            "--out", str(out),
        )  # fmt: skip
        assert activator.wait(seconds * 10 + 60) == 0, world.state()
        said = json.loads(out.read_text())
    assert sender.wait(seconds * 10 + 60) == 0, world.state()
    world.wait_for(before + rate * seconds, seconds=120)
    per_second, p95_s = world.sql(_RUN, last)[0]
    return {
        "tx_per_s": float(per_second),
        "p95_s": float(p95_s),
        "live_s": seconds_to_live(world, said["live"]) if activations else [],
        "activated": len(said["live"]),
        "refused": len(said["refused"]),
        "activate_s": said["seconds"],
    }


def _live(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Over all activations of all runs."""
    live = sorted(seconds for found in runs for seconds in found["live_s"])
    took = [seconds for found in runs for seconds in found["activate_s"]]
    return {
        "activated": sum(found["activated"] for found in runs),
        "refused": sum(found["refused"] for found in runs),
        "p50_live_s": round(statistics.median(live), 3),
        "p95_live_s": round(live[len(live) * 95 // 100], 3),
        "max_live_s": round(live[-1], 3),
        "p50_activate_s": round(statistics.median(took), 3),
    }


def _throughput(runs: list[dict[str, Any]], pairs: int) -> dict[str, Any]:
    """Medians over the runs of each sort, and over the pairs of their quotient."""
    without = {found["pair"]: found for found in runs if not found["activations"]}
    with_them = {found["pair"]: found for found in runs if found["activations"]}
    shares = [with_them[n]["tx_per_s"] / without[n]["tx_per_s"] for n in range(pairs)]

    def median(name: str, of: dict[int, dict[str, Any]]) -> float:
        return statistics.median(float(found[name]) for found in of.values())

    return {
        "tx_per_s_without": round(median("tx_per_s", without)),
        "tx_per_s_with": round(median("tx_per_s", with_them)),
        "throughput_share": round(statistics.median(shares), 3),
        "p95_commit_s_without": round(median("p95_s", without), 3),
        "p95_commit_s_with": round(median("p95_s", with_them), 3),
    }


if __name__ == "__main__":
    main()
