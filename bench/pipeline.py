"""The whole path: stream to committed rows, beside what `psql \\copy` of the same rows takes.

    python bench/pipeline.py --events 300000 --processes 2 [--preload 10000000]
        [--rules bench/spine_rules.yaml] [--json]

Real servers with fsync and synchronous_commit on, real Celery workers, every table and the
archive. `tx_per_s` counts committed accepted rows between the first message read and the last
commit. `copy_limit_tx_per_s` is as many parallel psql processes copying the very same rows (other
ids and keys) into the same tables and indexes, with the same rows per commit, in the same run.
Preloaded databases are kept under var/bench.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import psycopg  # noqa: E402

from bench.preload import preload  # noqa: E402
from tests.kill.world import World  # noqa: E402

SHIPPED = ROOT / "metrics" / "rule_sets" / "default.yaml"
_CLOCK_TICK = os.sysconf("SC_CLK_TCK")
_RESULT = """
SELECT sum(accepted), sum(parts), min(received_at), max(committed_at), count(*),
    sum((timings->>'scrub')::float), sum((timings->>'evaluate')::float),
    sum((timings->>'archive')::float),
    sum(extract(epoch FROM committed_at - received_at))::float * 1000
FROM batches WHERE id >= %s
"""
#: the same rows with other ids and keys: the hour stays in front of the key, so locality stays
_TRANSACTIONS = """
COPY (SELECT id + {shift}, batch + {shift}, occurred_at, received_at, payload_hash, latency_us,
    ordinal, part, (left(event_key::text, 32) || translate(right(event_key::text, 4),
        '0123456789abcdef', '123456789abcdef0'))::uuid,
    amount, currency, payment_method, payment_status, channel, processor, transaction_type,
    transaction_id, merchant_id, merchant_category, customer_id, country, error_code,
    correlation_id, metadata
    FROM normalized_transactions WHERE batch = {batch} ORDER BY id) TO STDOUT
"""
_COLUMNS = {
    "normalized_transactions": """id, batch, occurred_at, received_at, payload_hash, latency_us,
        ordinal, part, event_key, amount, currency, payment_method, payment_status, channel,
        processor, transaction_type, transaction_id, merchant_id, merchant_category, customer_id,
        country, error_code, correlation_id, metadata""".replace("\n", ""),
    "dynamic_metrics": "event_id, metric_type, metric_data",
}
_METRICS = """
COPY (SELECT event_id + {shift}, metric_type, metric_data FROM dynamic_metrics
    WHERE event_id BETWEEN {batch} AND {last} AND event_id >> 12 & 1023 = {batch} >> 12 & 1023
    ORDER BY event_id, metric_type) TO STDOUT
"""
#: slots from 512 on: no drainer has them, and the ids stay beside those of the same moment
_SHIFT = 512 << 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--preload", type=int, default=0, metavar="ROWS")
    parser.add_argument("--rules", type=Path, default=SHIPPED, help="metric rule set to use")
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    options = parser.parse_args()
    result = run(
        events=options.events,
        processes=options.processes,
        rows=options.preload,
        rules=options.rules,
    )
    if not options.json:
        for name, value in result.items():
            print(f"{name:<28}{value}")
    print(json.dumps(result))


def run(*, events: int, processes: int, rows: int, rules: Path) -> dict[str, Any]:
    directory = ROOT / "var" / "bench" / f"rows-{rows}"
    directory.mkdir(parents=True, exist_ok=True)
    world = World(directory, partitions=2 * processes, durable=True)
    try:
        preload(world, rows=rows)
        world.manage("configure", "import", str(rules.resolve()), "--activate")
        world.manage("configure", "refresh")
        world.sql("CHECKPOINT")
        measured = _measure_pipeline(world, events=events, processes=processes)
        limit = _measure_copy(world, first_id=measured.pop("first_id"), processes=processes)
    finally:
        world.stop()
    return {
        "events": events,
        "processes": processes,
        "preloaded_rows": rows,
        "rules": rules.name,
        **measured,
        **limit,
        "share": round(measured["tx_per_s"] / limit["copy_limit_tx_per_s"], 3),
    }


def _measure_pipeline(world: World, *, events: int, processes: int) -> dict[str, Any]:
    """Wait for the workers, publish everything while the source is paused, then let them go."""
    world.sql("UPDATE sources SET paused_at = NULL WHERE name = 'demo'")
    workers = world.start_celery(processes=processes)
    wait_for_drainers(world, processes)
    world.sql("UPDATE sources SET paused_at = now() WHERE name = 'demo'")
    before = world.committed()
    world.publish(simulated(world, events), by_content=True)
    first_id = world.sql("SELECT coalesce(max(last_id), 0) + 1 FROM batches")[0][0]
    cpu = _cpu(world, workers[0])
    world.sql("UPDATE sources SET paused_at = NULL WHERE name = 'demo'")
    world.wait_for(before + events, seconds=900)
    used = {name: after - cpu[name] for name, after in _cpu(world, workers[0]).items()}
    row = world.sql(_RESULT, first_id)[0]
    accepted: int
    accepted, parts, begin, end, batches, scrub, evaluate, archive, total = row
    seconds = (end - begin).total_seconds()
    return {
        "first_id": first_id,
        "tx_per_s": round(accepted / seconds),
        "committed": int(accepted),
        "parts": int(parts),
        "batches": batches,
        "seconds": round(seconds, 2),
        "client_cpu_us_per_tx": round(used["client"] / accepted * 1e6, 1),
        "server_cpu_us_per_tx": round(used["server"] / accepted * 1e6, 1),
        "streams_cpu_us_per_tx": round(used["streams"] / accepted * 1e6, 1),
        "phases_us_per_tx": {
            "scrub": round(scrub / accepted * 1000, 2),
            "evaluate": round(evaluate / accepted * 1000, 2),
            "archive": round(archive / accepted * 1000, 2),
            "read_and_commit": round((total - scrub - evaluate - archive) / accepted * 1000, 2),
        },
    }


def simulated(world: World, count: int) -> list[bytes]:
    """Simulated payments whose times end now, so that each hour holds what its rate says."""
    path = world.services.state_dir / "events.ndjson"
    start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - count / 2000 - 60))
    world.manage(
        "simulate", "--out", str(path), "--count", str(count), "--rate", "2000",
        "--start", start, "--seed", str(time.time_ns() % 2**31),
    )  # fmt: skip
    return path.read_bytes().splitlines()


def wait_for_drainers(world: World, processes: int) -> None:
    """Until that many drainers live."""
    deadline = time.monotonic() + 60
    while True:
        live = world.sql("SELECT count(*) FROM drainers WHERE seen_at > now() - interval '2 s'")
        if live[0][0] == processes:
            return
        assert time.monotonic() < deadline, world.state()
        time.sleep(0.1)


def _measure_copy(world: World, *, first_id: int, processes: int) -> dict[str, float]:
    """What `processes` psql take that run \\copy of the rows just committed."""
    batches = world.sql(
        "SELECT id, last_id, accepted FROM batches WHERE id >= %s ORDER BY id", first_id
    )
    directory = world.services.state_dir / "copy"
    directory.mkdir(exist_ok=True)
    scripts = [_write_script(world, directory, batches[k::processes], k) for k in range(processes)]
    world.sql("CHECKPOINT")
    psql = Path(world.services.servers()["postgres"].command()[0]).with_name("psql")
    server = world.services.servers()["postgres"].pid() or 0
    cpu = sum(map(_cpu_of, _family(server))) + _cpu_of_children()
    start = time.perf_counter()
    running = [
        subprocess.Popen(
            [psql, "-q", "-X", "-v", "ON_ERROR_STOP=1", "-f", script, world.urls.database_url]
        )
        for script in scripts
    ]
    assert [process.wait() for process in running] == [0] * processes
    seconds = time.perf_counter() - start
    # backends that have ended are in their parent's account
    used = sum(map(_cpu_of, _family(server))) + _cpu_of_children() - cpu
    rows = sum(accepted for *_, accepted in batches)
    return {
        "copy_limit_tx_per_s": round(rows / seconds),
        "copy_limit_cpu_us_per_tx": round(used / rows * 1e6, 1),
    }


def _write_script(
    world: World, directory: Path, batches: list[tuple[int, int, int]], number: int
) -> Path:
    lines = []
    for batch, last, _accepted in batches:
        lines.append("BEGIN;")
        for table, query in (
            ("normalized_transactions", _TRANSACTIONS),
            ("dynamic_metrics", _METRICS),
        ):
            path = directory / f"{table}-{batch}.copy"
            with path.open("wb") as out:
                _copy_out(world, query.format(shift=_SHIFT, batch=batch, last=last), out)
            lines.append(f"\\copy {table} ({_COLUMNS[table]}) from '{path}'")
        lines.append("COMMIT;")
    script = directory / f"{number}.sql"
    script.write_text("\n".join(lines) + "\n")
    return script


def _copy_out(world: World, query: str, out: Any) -> None:
    with (
        psycopg.connect(world.urls.database_url) as connection,
        connection.cursor().copy(query) as copy,
    ):
        for data in copy:
            out.write(data)


def _cpu(world: World, worker: subprocess.Popen[bytes]) -> dict[str, float]:
    """CPU seconds so far of the draining processes, of PostgreSQL and of the streams' Valkey."""
    servers = world.services.servers()
    return {
        "client": children_cpu(world, worker),
        "server": sum(_cpu_of(pid) for pid in _family(servers["postgres"].pid() or 0)),
        "streams": _cpu_of(servers["streams"].pid() or 0),
    }


def children_cpu(world: World, worker: subprocess.Popen[bytes]) -> float:
    """CPU seconds so far of the draining processes."""
    return sum(_cpu_of(pid) for pid in world.children_of(worker))


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def _cpu_of(pid: int) -> float:
    """User and system time of a process and of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return 0.0
    return sum(map(int, fields[11:15])) / _CLOCK_TICK


def _cpu_of_children() -> float:
    """User and system time of this process's children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
