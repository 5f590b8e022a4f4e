"""What the pages take at the size of a week of busy traffic, over HTTP from a running gunicorn.

    python bench/pages.py --preload 10000000 [--looks 60] [--json]

Uses the preloaded database of bench/pipeline.py (var/bench/rows-N) and fills its roll-ups for
17 days. `overview_uncached` asks for a range of its own each time, so that everything is read
from the database; `overview_shared` is what viewers of one range get, who share what was read.
Times are milliseconds of whole answers, one request at a time; p95 of `--looks` requests each.
Limits: 500 ms for the overview, 100 ms for the passport; the exit code is 1 beyond them.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import socket
import statistics
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.preload import preload  # noqa: E402
from bench.roll_ups import fill_roll_ups  # noqa: E402
from tests.kill.world import World  # noqa: E402

OVERVIEW_MS: Final = 500
PASSPORT_MS: Final = 100
_PASSWORD: Final = "bench-password-of-one-run"
_RANGES: Final = ("now", "1h", "24h", "7d")
#: events that went through the whole path: their passports have batches, rules and bytes
_REAL_EVENTS: Final = 5000


class Viewer:
    """Somebody who is logged in, with one connection at a time."""

    def __init__(self, base: str) -> None:
        self.base = base
        jar = urllib.request.HTTPCookieProcessor(CookieJar())
        self._opener = urllib.request.build_opener(jar)
        page = self.get("/login/")
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert found, "no login form"
        form = {
            "csrfmiddlewaretoken": found[1],
            "username": "bench",
            "password": _PASSWORD,
            "next": "/",
        }
        request = urllib.request.Request(
            f"{base}/login/",
            data=urllib.parse.urlencode(form).encode(),
            headers={"Referer": f"{base}/login/"},
        )
        with self._opener.open(request) as answer:
            assert answer.url == f"{base}/", answer.url

    def get(self, path: str) -> str:
        with self._opener.open(self.base + path) as answer:
            body: bytes = answer.read()
            return body.decode()

    def timed(self, path: str) -> float:
        """Milliseconds until the whole answer is there."""
        start = time.perf_counter()
        self.get(path)
        return (time.perf_counter() - start) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--preload", type=int, default=10_000_000, metavar="ROWS")
    parser.add_argument("--looks", type=int, default=60, help="requests per page (60)")
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    options = parser.parse_args()
    result = run(rows=options.preload, looks=options.looks)
    if not options.json:
        for name, value in result.items():
            print(f"{name:<24}{value}")
    print(json.dumps(result))
    sys.exit(0 if result["within_limits"] else 1)


def run(*, rows: int, looks: int) -> dict[str, Any]:
    directory = ROOT / "var" / "bench" / f"rows-{rows}"
    directory.mkdir(parents=True, exist_ok=True)
    world = World(directory, durable=True)
    try:
        preload(world, rows=rows)
        _take_in_real_events(world, directory)
        cells = fill_roll_ups(world, rows=rows)
        base = _serve(world)
        pages = _measure(world, Viewer(base), looks=looks)
    finally:
        world.stop()
    overview = max(row["p95"] for name, row in pages.items() if name.startswith("overview"))
    passport = max(row["p95"] for name, row in pages.items() if name.startswith("passport"))
    return {
        "preloaded_rows": rows,
        "looks": looks,
        "cells": cells,
        "pages_ms": pages,
        "overview_p95_ms": overview,
        "passport_p95_ms": passport,
        "within_limits": overview < OVERVIEW_MS and passport < PASSPORT_MS,
    }


def _take_in_real_events(world: World, directory: Path) -> None:
    """Payments of the last 50 minutes; some failed, some refused."""
    if world.sql("SELECT count(*) FROM batches")[0][0]:
        return
    path = directory / "pages.ndjson"
    start = datetime.now(UTC) - timedelta(minutes=50)
    with path.open("w") as out:
        for number in range(_REAL_EVENTS):
            moment = start + timedelta(seconds=0.5 * number)
            out.write(json.dumps(_event(number, moment)) + "\n")
    world.manage("ingest_file", str(path), "--schema", "transaction")


def _event(number: int, moment: datetime) -> dict[str, Any]:
    return {
        "transaction_id": f"BENCH-{number:08d}",
        "timestamp": moment.isoformat(),
        "transaction_type": "payment",
        "channel": ("web", "mobile", "pos", "api")[number % 4],
        "amount": None if number % 100 == 99 else 10 + number % 900,
        "currency": ("USD", "EUR", "JPY")[number % 3],
        "merchant_id": f"MERCH-{number % 50:08d}",
        "customer_id": f"CUST-{number % 700:08d}",
        "status": "timeout" if number % 20 == 0 else "success",
        "metadata": {"processor": ("stripe", "adyen")[number % 2], "country": "DE"},
    }


def _serve(world: World) -> str:
    """The web process of the Procfile on a free port, with a person who may see everything."""
    world.env["DJANGO_SUPERUSER_PASSWORD"] = _PASSWORD
    if not world.sql("SELECT 1 FROM auth_user WHERE username = 'bench'"):
        world.manage("createsuperuser", "--noinput", "--username", "bench", "--email", "b@b.test")
    else:
        world.manage("shell", "-c", _SET_PASSWORD)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    world.manage("collectstatic", "--noinput", "-v0")
    world.start(
        "-m", "gunicorn", "payflow.wsgi", "--worker-class", "gthread", "--workers", "1",
        "--threads", "8", "--bind", f"127.0.0.1:{port}", "--no-control-socket",
        PAYFLOW_ROLE="web",
    )  # fmt: skip
    base = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"{base}/livez"):
                return base
        except OSError:
            assert time.monotonic() < deadline, "the web process does not answer"
            time.sleep(0.2)


_SET_PASSWORD: Final = (
    "import os; from django.contrib.auth.models import User; "
    "user = User.objects.get(username='bench'); "
    "user.set_password(os.environ['DJANGO_SUPERUSER_PASSWORD']); user.save()"
)


def _measure(world: World, viewer: Viewer, *, looks: int) -> dict[str, dict[str, float]]:
    rng = random.Random(1)
    now = datetime.now(UTC)

    def repeat(paths: Iterable[str]) -> dict[str, float]:
        return _summary([viewer.timed(path) for path in paths])

    pages = {
        f"overview_uncached_{name}": repeat(
            _own_range(now, hours, number) for number in range(looks)
        )
        for name, hours in (("1h", 1), ("24h", 24), ("7d", 168))
    }
    for name in _RANGES:
        pages[f"overview_shared_{name}"] = repeat(
            f"/overview/live/?range={name}" for _ in range(looks)
        )
    for name, ids in _transactions(world, looks, rng).items():
        if ids:
            pages[f"passport_{name}"] = repeat(
                f"/metrics/normalizedtransaction/{key}/change/" for key in ids
            )
    for name, path in _lists(world, now).items():
        pages[f"list_{name}"] = repeat(path for _ in range(looks))
    return pages


def _own_range(now: datetime, hours: int, number: int) -> str:
    """A range that nobody has looked at: each ends a step earlier than the one before."""
    until = now - timedelta(minutes={1: 5, 24: 15, 168: 60}[hours]) * number
    since = until - timedelta(hours=hours)
    query = urllib.parse.urlencode(
        {"from": f"{since:%Y-%m-%dT%H:%M}Z", "to": f"{until:%Y-%m-%dT%H:%M}Z"}
    )
    return f"/?{query}"


def _transactions(world: World, looks: int, rng: random.Random) -> dict[str, list[int]]:
    """Ids of preloaded rows of every age, and of rows that went through the path."""
    low, high = world.sql("SELECT min(id), max(id) FROM normalized_transactions")[0]
    preloaded = [
        world.sql(
            "SELECT id FROM normalized_transactions WHERE id >= %s ORDER BY id LIMIT 1",
            rng.randrange(low, high),
        )[0][0]
        for _ in range(looks)
    ]
    real = world.sql(
        "SELECT t.id FROM normalized_transactions t WHERE t.batch IN "
        "(SELECT id FROM batches ORDER BY id DESC LIMIT 20) ORDER BY t.id LIMIT 5000"
    )
    chosen = rng.sample(real, min(looks, len(real)))
    return {"preloaded": preloaded, "real": [row[0] for row in chosen]}


def _lists(world: World, now: datetime) -> dict[str, str]:
    """Lists as the overview links to them, and the search."""
    hour = now - timedelta(hours=1)
    times = urllib.parse.urlencode(
        {
            "occurred_at_from_0": f"{hour:%Y-%m-%d}",
            "occurred_at_from_1": f"{hour:%H:%M:%S}",
            "occurred_at_to_0": f"{now:%Y-%m-%d}",
            "occurred_at_to_1": f"{now:%H:%M:%S}",
        }
    )
    arrived = f"{hour:%Y-%m-%dT%H:%M:%S}..{now:%Y-%m-%dT%H:%M:%S}"
    row = world.sql(
        "SELECT transaction_id, customer_id FROM normalized_transactions ORDER BY id DESC LIMIT 1"
    )[0]
    transactions = "/metrics/normalizedtransaction/"
    return {
        "transactions": transactions,
        "failed_of_an_hour": f"{transactions}?{times}&payment_status=failed",
        "processor_of_an_hour": f"{transactions}?{times}&payment_status=failed&processor=stripe",
        "search_transaction": f"{transactions}?q={urllib.parse.quote(row[0])}",
        "search_customer": f"{transactions}?q={urllib.parse.quote(row[1])}",
        "violations": f"/metrics/violation/?{times}",
        "failed_items": f"/deadletter/faileditem/?arrived={arrived}",
        "failure_groups": "/deadletter/failuregroup/",
        "batches": f"/ingestion/batch/?arrived={arrived}",
    }


def _summary(times: list[float]) -> dict[str, float]:
    """Median, 95th percentile and the slowest, in milliseconds."""
    ordered = sorted(times)
    return {
        "p50": round(statistics.median(ordered), 1),
        "p95": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 1),
        "max": round(ordered[-1], 1),
    }


if __name__ == "__main__":
    main()
