"""How fast configuration of Azure App Configuration is live: loaded at a start, and changed.

    python bench/remote_configuration.py [--changes 20] [--json]

The store is the tests' (it checks signatures and answers at once), the client is Azure's own, the
workers are Celery's. `load` is one look of a fresh process at a store with a new schema and new
metric and compliance rules: connecting, reading, validating, three activations. `unchanged` is
such a look at what is active already, `idle` one of a process that has looked before. `change`
is the time from a new value in the store to its activation, `acknowledged` to the last of the
workers that runs it. Limits: 1 s to load, 5 s to change; the exit code is 1 beyond them.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.azure_servers import AppConfiguration, AppConfigurationHandler, serve  # noqa: E402
from tests.kill.world import World  # noqa: E402

LOAD_S: Final = 1.0
CHANGE_S: Final = 5.0
SHIPPED: Final = {
    "schemas:transaction:v1": ROOT / "ingestion/schemas/transaction.yaml",
    "metrics:definitions:v1": ROOT / "metrics/rule_sets/default.yaml",
    "compliance:rules:v1": ROOT / "metrics/rule_sets/compliance.yaml",
}
_LOOKS: Final = """
import json, time
import django
django.setup()
from configuration.remote.followers import follower
found = follower("app_configuration")
seconds = []
for pause in (0, 1.1):
    time.sleep(pause)
    start, cpu = time.perf_counter(), time.process_time()
    assert found.follow()
    seconds += [time.perf_counter() - start, time.process_time() - cpu]
print(json.dumps(seconds))
"""
_ACTIVE: Final = """
SELECT a.activated_at, a.serials FROM configuration_activations a
JOIN configuration_versions v ON v.id = a.version_id
WHERE v.name = 'transaction' AND v.document ->> 'description' = %s
"""
_ACKNOWLEDGED: Final = """
SELECT count(*), max(extract(epoch FROM acknowledged_at))::float8
FROM configuration_acknowledgements k JOIN sources s ON s.id = k.source_id
WHERE s.name = 'demo' AND k.serial >= s.bundle_serial
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--changes", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    options = parser.parse_args()
    result = run(changes=options.changes)
    if not options.json:
        for name, value in result.items():
            print(f"{name:<24}{value}")
    print(json.dumps(result))
    if result["load_s"] > LOAD_S or result["change_max_s"] > CHANGE_S:
        sys.exit(1)


def run(*, changes: int) -> dict[str, Any]:
    directory = ROOT / "var" / "bench" / "remote"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    world = World(directory, durable=True)
    try:
        with serve(AppConfigurationHandler, AppConfiguration()) as store:
            world.env["PAYFLOW_APPCONFIG"] = store.connection_string
            return _measure(world, store, changes)
    finally:
        world.stop()


def _measure(world: World, store: AppConfiguration, changes: int) -> dict[str, Any]:
    for key, path in SHIPPED.items():
        store.put(key, _packed(_changed(path)))
    load, load_cpu, _, _ = _look(world)
    refused = world.sql("SELECT key FROM configuration_remote_documents WHERE problems <> '[]'")
    assert not refused, refused
    unchanged, _, idle, idle_cpu = _look(world)
    world.start_celery(processes=2)
    time.sleep(8)  # a worker needs a moment to start
    live, acknowledged = [], []
    for number in range(changes):
        time.sleep(0.37 * (number % 7))  # at any moment between two looks
        seconds, all_seconds = _change(world, store, f"change {number}")
        live.append(seconds)
        acknowledged.append(all_seconds)
    return {
        "load_s": round(load, 3),
        "load_cpu_s": round(load_cpu, 3),
        "unchanged_s": round(unchanged, 3),
        "idle_ms": round(idle * 1000, 1),
        "idle_cpu_ms": round(idle_cpu * 1000, 1),
        "changes": changes,
        "change_median_s": round(statistics.median(live), 2),
        "change_max_s": round(max(live), 2),
        "acknowledged_median_s": round(statistics.median(acknowledged), 2),
        "acknowledged_max_s": round(max(acknowledged), 2),
    }


def _look(world: World) -> list[float]:
    """Seconds, and seconds of CPU, of two looks of a new process: the first one connects."""
    command = [sys.executable, "-c", _LOOKS]
    done = subprocess.run(
        command, cwd=ROOT, env=world.env, check=True, capture_output=True, text=True
    )
    seconds: list[float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def _change(world: World, store: AppConfiguration, description: str) -> tuple[float, float]:
    """Seconds until a new schema is active, and until two workers said that they run it."""
    start = time.time()
    path = SHIPPED["schemas:transaction:v1"]
    store.put("schemas:transaction:v1", _packed(_described(path, description)))
    active = None
    while active is None:
        assert time.time() < start + 30, "not active after 30 s"
        time.sleep(0.02)
        active = next(iter(world.sql(_ACTIVE, description)), None)
    while True:
        count, last = world.sql(_ACKNOWLEDGED)[0]
        if count >= 2:
            return active[0].timestamp() - start, last - start
        assert time.time() < start + 30, "not acknowledged after 30 s"
        time.sleep(0.02)


def _changed(path: Path) -> str:
    """A shipped document that decides something else."""
    text = path.read_text(encoding="utf-8")
    for old, new in (("window: 5m", "window: 15m"), ("severity: critical", "severity: high")):
        text = text.replace(old, new, 1)
    return text if "\ncolumns:" not in text else _described(path, "from the store")


def _described(path: Path, description: str) -> str:
    """A shipped schema with another description, which changes nothing that is decided."""
    text = path.read_text(encoding="utf-8")
    name, _, rest = text.partition("\ndescription:")
    after = rest.split("\n", 2)[2] if rest.lstrip().startswith(">") else rest.split("\n", 1)[1]
    return f"{name}\ndescription: {description}\n{after}"


def _packed(text: str) -> str:
    """As a setting holds what is larger than 10 KB."""
    return base64.b64encode(gzip.compress(text.encode())).decode()


if __name__ == "__main__":
    main()
