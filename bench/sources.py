"""Each kind of source alone and through the whole path, as a share of the streams' rate.

    python bench/sources.py --events 200000 --processes 2 --rounds 3 [--json]

Real servers with fsync and synchronous_commit on, real Celery workers, the brokers of the tests:
Kafka is librdkafka's mock cluster, Event Hubs a server in Python that speaks AMQP. Every broker
gets as many partitions, with the same number of messages in each; runs alternate, figures are
medians. `read` is one process that hands out batches and drops them. `path` counts committed
accepted rows between the first message read and the last commit.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payflow.settings")

from bench.pipeline import children_cpu, simulated, wait_for_drainers  # noqa: E402
from tests.kill.brokers import BROKERS, Broker, KafkaBroker  # noqa: E402
from tests.kill.world import World  # noqa: E402

#: that of the streams is what the others are compared with
REFERENCE = "redis_streams"
_RESULT = """
SELECT sum(b.accepted), sum(b.messages), count(*), min(b.received_at), max(b.committed_at)
FROM batches b JOIN partitions p ON p.id = b.partition_id JOIN sources s ON s.id = p.source_id
WHERE s.name = %s AND b.id > %s
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--events", type=int, default=200_000, help="of each run")
    parser.add_argument("--processes", type=int, default=2, help="workers of the whole path")
    parser.add_argument("--partitions", type=int, default=0, help="default: two a worker")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--only", action="append", choices=sorted(BROKERS), help="beside the streams (repeatable)"
    )
    parser.add_argument("--no-path", action="store_true", help="reading only")
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    options = parser.parse_args()
    result = run(options)
    if not options.json:
        for part in ("read", "path"):
            for name, figures in result.get(part, {}).items():
                print(f"{part:<6}{name:<16}{figures}")
    print(json.dumps(result))


def run(options: argparse.Namespace) -> dict[str, Any]:
    kinds = [REFERENCE, *(k for k in options.only or sorted(BROKERS) if k != REFERENCE)]
    partitions = options.partitions or 2 * options.processes
    directory = Path(tempfile.mkdtemp(prefix="payflow-sources-"))
    world = World(directory, partitions=1, durable=True)
    brokers: list[Broker] = []
    try:
        brokers.extend(BROKERS[kind](world) for kind in kinds)
        bench = Bench(world, brokers, events=options.events, partitions=partitions)
        result: dict[str, Any] = {
            "events": options.events,
            "partitions": partitions,
            "processes": options.processes,
            "rounds": options.rounds,
            "read": bench.read(rounds=options.rounds),
        }
        if not options.no_path:
            result["path"] = bench.path(rounds=options.rounds, processes=options.processes)
    finally:
        for broker in brokers:
            broker.close()
        world.stop()
        shutil.rmtree(directory, ignore_errors=True)
    for part in result.keys() & {"read", "path"}:
        reference = result[part][REFERENCE]
        for figures in result[part].values():
            figures["share"] = round(figures["per_s"] / reference["per_s"], 3)
            figures["cpu_share"] = round(reference["cpu_us"] / figures["cpu_us"], 3)
    return result


class Bench:
    """One world and its brokers."""

    def __init__(
        self, world: World, brokers: list[Broker], *, events: int, partitions: int
    ) -> None:
        self._world, self._brokers = world, brokers
        self._events, self._partitions = events, partitions

    def _fill(self, broker: Broker, topic: str, bodies: list[bytes]) -> None:
        for number in range(self._partitions):
            broker.send(topic, number, bodies[number :: self._partitions])
        if isinstance(broker, KafkaBroker):
            for number in range(self._partitions):
                first, _ = broker.cluster.bounds(topic, number)
                assert first == 0, f"the mock cluster dropped {first} messages"

    def _in_turn(self, number: int) -> list[Broker]:
        """Another one begins each round: tables grow, and the machine is never quite the same."""
        first = number % len(self._brokers)
        return self._brokers[first:] + self._brokers[:first]

    # --- reading alone -----------------------------------------------------------------------

    def read(self, *, rounds: int) -> dict[str, dict[str, Any]]:
        bodies = simulated(self._world, self._events)
        for broker in self._brokers:
            broker.create("read", partitions=self._partitions)
            self._fill(broker, "read", bodies)
        runs: dict[str, list[dict[str, Any]]] = {b.broker_type: [] for b in self._brokers}
        for number in range(rounds):
            for broker in self._in_turn(number):
                runs[broker.broker_type].append(self._read_once(broker))
        return {kind: _medians(found) for kind, found in runs.items()}

    def _read_once(self, broker: Broker) -> dict[str, Any]:
        what = broker.broker_type, json.dumps(broker.settings("read")), str(self._events)
        done = subprocess.run(
            [sys.executable, "-m", "bench.read_source", *what],
            cwd=ROOT,
            env=self._world.env,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        assert found["messages"] == self._events
        return found

    # --- the whole path ----------------------------------------------------------------------

    def path(self, *, rounds: int, processes: int) -> dict[str, dict[str, Any]]:
        for broker in self._brokers:
            broker.add_source(broker.broker_type, partitions=self._partitions)
        workers = self._world.start_celery(processes=processes)
        wait_for_drainers(self._world, processes)
        for broker in self._brokers:
            self._wait_until_held(self._partitions, broker.broker_type)
        bodies = simulated(self._world, rounds * len(self._brokers) * self._events)
        runs: dict[str, list[dict[str, Any]]] = {b.broker_type: [] for b in self._brokers}
        for number in range(rounds):
            for broker in self._in_turn(number):
                mine, bodies = bodies[: self._events], bodies[self._events :]
                runs[broker.broker_type].append(self._run_path(broker, mine, workers[0]))
        return {kind: _medians(found) for kind, found in runs.items()}

    def _run_path(
        self, broker: Broker, bodies: list[bytes], worker: subprocess.Popen[bytes]
    ) -> dict[str, Any]:
        """Fill the source while it is paused, then let the workers go."""
        world, name = self._world, broker.broker_type
        world.sql("UPDATE sources SET paused_at = now() WHERE name = %s", name)
        self._wait_until_held(0, name)
        before = world.committed()
        self._fill(broker, name, bodies)
        first_id = world.sql("SELECT coalesce(max(last_id), 0) FROM batches")[0][0]
        world.sql("CHECKPOINT")
        cpu = children_cpu(world, worker)
        world.sql("UPDATE sources SET paused_at = NULL WHERE name = %s", name)
        world.wait_for(before + len(bodies), seconds=300)
        used = children_cpu(world, worker) - cpu
        accepted, messages, batches, begin, end = world.sql(_RESULT, name, first_id)[0]
        assert messages == len(bodies)
        seconds = (end - begin).total_seconds()
        return {
            "committed": int(accepted),
            "batches": batches,
            "seconds": round(seconds, 2),
            "per_s": round(int(accepted) / seconds),
            "cpu_us": round(used / int(accepted) * 1e6, 1),
        }

    def _wait_until_held(self, wanted: int, source: str) -> None:
        """Until the workers hold so many partitions of a source: it takes them a moment."""
        deadline = time.monotonic() + 60
        while True:
            held = self._world.sql(
                "SELECT count(*) FROM partitions p JOIN sources s ON s.id = p.source_id"
                " WHERE s.name = %s AND leased_until > now()",
                source,
            )
            if held == [(wanted,)]:
                return
            assert time.monotonic() < deadline, self._world.state()
            time.sleep(0.1)


def _medians(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure, and all rates."""
    found = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    return found | {"rates": [run["per_s"] for run in runs]}


if __name__ == "__main__":
    main()
