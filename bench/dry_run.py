"""A dry run of drafts over archived events: how long a million takes, and how much memory.

    python bench/dry_run.py --events 1000000 [--json]

Real servers, the shipped rules, simulated payments taken in by the real path. So that making the
archive does not take longer than the measurement, `--unique` events are taken in and their batches
are entered in the manifest as often as needed: each entry is read and evaluated by itself. Times
are of the whole command, start of Python and its processes included.
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import yaml  # noqa: E402

from tests.kill.world import World  # noqa: E402

#: seconds that a million events may take on 2 cores
LIMIT_S = 60
_COLUMNS = """
SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)
FROM information_schema.columns
WHERE table_name = 'batches' AND table_schema = 'public' AND column_name NOT IN ('id', 'last_id')
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--unique", type=int, default=100_000)
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="payflow-dry-run-") as directory:
        result = run(Path(directory), events=options.events, unique=options.unique)
    if not options.json:
        for name, value in result.items():
            print(f"{name:<28}{value}")
    print(json.dumps(result))
    per_million = max(result[f"{kind}_s"] for kind in _DRAFTS) / result["events"] * 1e6
    if per_million > LIMIT_S:
        raise SystemExit(f"a million events take {per_million:.0f} s, at most {LIMIT_S} s are fine")


def run(directory: Path, *, events: int, unique: int) -> dict[str, Any]:
    """Seconds and events a second of each kind of draft."""
    world = World(directory)
    world.env["PAYFLOW_LEASE_S"] = "60"  # nobody is killed here
    try:
        _fill(world, directory, events=events, unique=min(events, unique))
        total = world.sql("SELECT sum(parts) FROM batches")[0][0]
        result: dict[str, Any] = {"events": int(total)}
        for kind, (path, change) in _DRAFTS.items():
            result |= _measure(world, directory, kind=kind, path=path, change=change, events=total)
    finally:
        world.stop()
    # the largest of all processes that were waited for, in kilobytes
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {**result, "largest_process_mb": round(largest / 1024)}


def _fill(world: World, directory: Path, *, events: int, unique: int) -> None:
    path = directory / "events.ndjson"
    world.manage("simulate", "--out", str(path), "--count", str(unique), "--rate", "500")
    world.manage("ingest_file", str(path), "--schema", "transaction")
    [(columns,)] = world.sql(_COLUMNS)
    for copy_number in range(1, -(-events // unique)):
        world.sql(
            f"INSERT INTO batches (id, last_id, {columns}) SELECT id + %s, last_id + %s, {columns} "
            "FROM batches WHERE id >> 12 & 1023 < 512 AND id NOT IN "
            "(SELECT id FROM batches WHERE id >> 12 & 1023 >= 512)",
            (512 + copy_number) << 12,
            (512 + copy_number) << 12,
        )


def _measure(
    world: World,
    directory: Path,
    *,
    kind: str,
    path: str,
    change: Callable[[dict[str, Any]], None],
    events: int,
) -> dict[str, Any]:
    document = copy.deepcopy(yaml.safe_load((ROOT / path).read_text()))
    change(document)
    draft = directory / f"{kind}.yaml"
    draft.write_text(yaml.safe_dump(document, sort_keys=False))
    world.manage("configure", "import", str(draft))
    started, cpu = time.monotonic(), _cpu()
    done = world.manage("dry_run", kind, document["name"], "--last", str(events), "--json")
    seconds, used = time.monotonic() - started, _cpu() - cpu
    result = json.loads(done.stdout.strip().splitlines()[-1])
    if result["events"] != events or result["accepted"] < events * 0.9:
        raise SystemExit(f"{kind}: {result['accepted']} of {events} events were compared")
    return {
        f"{kind}_s": round(seconds, 1),
        f"{kind}_cpu_s": round(used, 1),
        f"{kind}_events_per_s": round(events / seconds),
        f"{kind}_differ": result.get("newly_failing", result.get("differing", result.get("new"))),
    }


def _cpu() -> float:
    """Seconds of CPU of the processes that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _schema(document: dict[str, Any]) -> None:
    """Some merchants' events fail, and a column of all of them reads otherwise."""
    merchant = document["json_schema"]["properties"]["merchant_id"]
    merchant["pattern"] = "[0-9A-E]$"
    document["columns"]["channel"]["upper"] = True


def _metrics(document: dict[str, Any]) -> None:
    """Rules over thousands of merchants among those that differ."""
    for rule in document["metrics"]:
        if rule["name"] in {"high_value", "amount_by_merchant", "micro_amounts_by_merchant"}:
            rule["where"] = "amount > 20"


def _compliance(document: dict[str, Any]) -> None:
    for rule in document["rules"]:
        if rule["name"] in {"aml_large_amount", "kyc_missing_country"}:
            rule["where"] = "amount > 400"


#: kind -> shipped document, and what the draft changes in it
_DRAFTS: dict[str, tuple[str, Callable[[dict[str, Any]], None]]] = {
    "schema": ("ingestion/schemas/transaction.yaml", _schema),
    "metrics": ("metrics/rule_sets/default.yaml", _metrics),
    "compliance": ("metrics/rule_sets/compliance.yaml", _compliance),
}


if __name__ == "__main__":
    main()
