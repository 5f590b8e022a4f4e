"""What counting different customers and merchants costs, and how near the numbers are.

    python bench/distinct.py [--batches 60] [--days 7] [--json]

Batches of 10,000 events of 2,000 and of 1,000,000 customers and 500 merchants, one commit each, on
a PostgreSQL of its own with fsync on. Microseconds per transaction are CPU time: of this process
(`client_us`) and of the backend (`server_us`, from /proc, in steps of 10 ms); one polars thread.
`scattered` has each batch's events in 720 hours. Reads are medians, as a page sees them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ["POLARS_MAX_THREADS"] = "1"
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import django  # noqa: E402
import polars as pl  # noqa: E402  the number of threads is read once
import psycopg  # noqa: E402

from metrics.distinct import read_distinct, read_distinct_steps, write_distinct  # noqa: E402
from metrics.sketches import distinct_cells, estimate, merge_cells  # noqa: E402
from payflow.lib.services import LocalServices  # noqa: E402

BATCH = 10_000
SINCE = datetime(2026, 11, 2, tzinfo=UTC)
_EVENT: dict[str, pl.DataType] = {
    "occurred_at": pl.Datetime("us", "UTC"),
    "customer_id": pl.String(),
    "merchant_id": pl.String(),
}
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--batches", type=int, default=60, help="batches of each shape")
    parser.add_argument("--days", type=int, default=7, help="days of hours to read")
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    options = parser.parse_args()
    with postgres() as url:
        figures = measure(url, batches=options.batches, days=options.days)
    if not options.json:
        for name, figure in figures.items():
            print(f"{name:28}{figure}")
    print(json.dumps(figures))


@contextmanager
def postgres() -> Iterator[str]:
    """A server of this run with the empty table; Django's own connection reads from it."""
    with tempfile.TemporaryDirectory(prefix="payflow-bench-") as directory:
        Path(directory).chmod(0o711)  # root's servers run as nobody
        services = LocalServices(Path(directory))
        url = services.start().database_url
        try:
            os.environ |= {
                "DATABASE_URL": url,
                "PAYFLOW_STATE_DIR": directory,
                "DJANGO_SETTINGS_MODULE": "payflow.settings",
            }
            django.setup()
            with psycopg.connect(url) as connection:
                connection.execute(import_module("metrics.migrations.0003_distinct_counts").FORWARD)
            yield url
        finally:
            services.stop()


def measure(url: str, *, batches: int, days: int) -> dict[str, Any]:
    few = [batch(2_000, seed=n) for n in range(batches)]
    many = [batch(1_000_000, seed=n) for n in range(batches)]
    scattered = [batch(1_000_000, seed=n, hours=720) for n in range(3)]
    small = [batch(1_000_000, seed=n, size=100) for n in range(10 * batches)]
    return {
        "customers_2000": write_alone(url, few),
        "customers_1000000": write_alone(url, many),
        "scattered": write_alone(url, scattered),
        "batches_of_100": write_alone(url, small),
        "two_writers_lost_bits": write_together(url, many),
        "errors_percent": errors(),
        **read(url, days=days),
    }


def batch(customers: int, *, seed: int, size: int = BATCH, hours: int = 1) -> pl.DataFrame:
    rng = random.Random(seed)
    return pl.DataFrame(
        {
            "occurred_at": [SINCE + timedelta(hours=rng.randrange(hours)) for _ in range(size)],
            "customer_id": [f"CUST-{rng.randrange(customers):08d}" for _ in range(size)],
            "merchant_id": [f"MERCH-{rng.randrange(500):06d}" for _ in range(size)],
        },
        schema=_EVENT,
    )


def write_alone(url: str, batches: Sequence[pl.DataFrame]) -> dict[str, float]:
    """Both halves of the batches: while the hour fills, and when most bits are there."""
    half, found = len(batches) // 2, {}
    with psycopg.connect(url) as connection:
        connection.execute("TRUNCATE distinct_counts")
        connection.commit()
        for name, part in (("", batches[:half]), ("later_", batches[half:])):
            rows = sum(events.height for events in part)
            before = used(connection)
            for events in part:
                write_distinct(connection.cursor(), distinct_cells(events))
                connection.commit()
            spent = [
                (now - then) / rows for now, then in zip(used(connection), before, strict=True)
            ]
            for what, each in zip(("client_us", "server_us"), spent[:2], strict=True):
                found[name + what] = round(each * 1e6, 3)
            found[f"{name}wal_bytes"] = round(spent[2], 2)
        sizes = "SELECT count(*), pg_total_relation_size('distinct_counts') FROM distinct_counts"
        planes, size = connection.execute(sizes).fetchone() or (0, 0)
    return found | {"planes": planes, "table_bytes": size}


def used(connection: psycopg.Connection[Any]) -> tuple[float, float, float]:
    """CPU seconds of this process and of the backend, bytes of WAL."""
    fields = (
        Path(f"/proc/{connection.info.backend_pid}/stat").read_text().rpartition(")")[2].split()
    )
    wal = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone() or (0,)
    return time.process_time(), (int(fields[11]) + int(fields[12])) / _TICKS, float(wal[0])


def write_together(url: str, batches: Sequence[pl.DataFrame]) -> int:
    """Bits of all batches that are missing after two connections wrote half of them each."""
    cells = [distinct_cells(events) for events in batches]

    def write(mine: Sequence[pl.DataFrame]) -> None:
        with psycopg.connect(url) as connection:
            for one in mine:
                write_distinct(connection.cursor(), one)
                connection.commit()

    with psycopg.connect(url) as connection, ThreadPoolExecutor(2) as pool:
        connection.execute("TRUNCATE distinct_counts")
        connection.commit()
        list(pool.map(write, (cells[::2], cells[1::2])))
        stored = "SELECT sum(bit_count(bits)) FROM distinct_counts"
        (there,) = connection.execute(stored).fetchone() or (0,)
    return sum(int(bits, 16).bit_count() for bits in merge_cells(cells)["bits"]) - int(there)


def errors() -> dict[str, float]:
    """Root of the mean square of the errors of 20 estimates, in percent of the exact number."""
    found = {}
    for size in (100, 2_000, 10_000, 100_000):
        squares = []
        for seed in range(20):
            ids = [f"{seed}-{number}" for number in range(size)]
            events = {"occurred_at": SINCE, "customer_id": ids, "merchant_id": ""}
            cells = distinct_cells(pl.DataFrame(events, schema=_EVENT))
            bits = {
                plane: int(text, 16).bit_count()
                for plane, text in cells.select("plane", "bits").rows()
            }
            squares.append((estimate(bits) / size - 1) ** 2)
        found[str(size)] = round(100 * statistics.mean(squares) ** 0.5, 2)
    return found


def read(url: str, *, days: int) -> dict[str, float]:
    """Milliseconds to count the customers of 24 hours, of all days, and of all days by the hour."""
    end = SINCE + timedelta(days=days)
    with psycopg.connect(url) as connection:
        connection.execute("TRUNCATE distinct_counts")
        for hour in range(24 * days):
            events = batch(1_000_000, seed=hour, size=20_000)
            shifted = events.with_columns(pl.col("occurred_at") + timedelta(hours=hour))
            write_distinct(connection.cursor(), distinct_cells(shifted))
    last_day = end - timedelta(days=1)
    return {
        "read_24h_ms": median_ms(lambda: read_distinct("customers", since=last_day, until=end)),
        f"read_{days}d_ms": median_ms(lambda: read_distinct("customers", since=SINCE, until=end)),
        f"read_{days}d_hourly_ms": median_ms(
            lambda: read_distinct_steps("customers", since=SINCE, until=end, step_s=3600)
        ),
    }


def median_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(15):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return round(statistics.median(times) * 1000, 2)


if __name__ == "__main__":
    main()
