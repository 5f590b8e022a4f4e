"""What metrics cost per transaction: the shipped rules, their windows, compliance, roll-ups.

    python bench/rules.py [--rows 10000] [--rounds 15] [--json]

One polars thread, as in a worker. The last line is one JSON object, in microseconds per
transaction (medians of the rounds).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

os.environ["POLARS_MAX_THREADS"] = "1"
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import polars as pl  # noqa: E402  the number of threads is read once
import yaml  # noqa: E402

from metrics.columns import COMMON_ATTRIBUTES, TRANSACTION_COLUMNS  # noqa: E402
from metrics.compliance import compile_compliance  # noqa: E402
from metrics.rollups import roll_up, roll_up_cells  # noqa: E402
from metrics.rules import compile_metrics  # noqa: E402

SHIPPED = ROOT / "metrics" / "rule_sets"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--rows", type=int, default=10_000, help="transactions in a batch")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    options = parser.parse_args()

    figures = measure(rows=options.rows, rounds=options.rounds)
    if not options.json:
        for name, figure in figures.items():
            print(f"{name:28} {figure}")
    print(json.dumps(figures))


def measure(*, rows: int, rounds: int) -> dict[str, Any]:
    columns = batch(rows)
    shipped = yaml.safe_load((SHIPPED / "default.yaml").read_text(encoding="utf-8"))
    fifty = {"metrics": more_rules(50)}
    compliance = compile_compliance(
        yaml.safe_load((SHIPPED / "compliance.yaml").read_text(encoding="utf-8")),
        attributes=COMMON_ATTRIBUTES,
    )
    cells = roll_up(columns, window_s=300)
    windows = compile_metrics(shipped, attributes=COMMON_ATTRIBUTES).windows
    kept = columns.hstack(windows.values(columns).data)
    added = windows.cells(kept)

    def extract(document: dict[str, Any]) -> float:
        compiled = compile_metrics(document, attributes=COMMON_ATTRIBUTES).engine
        assert compiled.extract(columns).errors == {}
        return timed(lambda: compiled.extract(columns))

    def timed(call: Callable[[], object]) -> float:
        took = []
        for _ in range(rounds):
            start = time.perf_counter()
            call()
            took.append(time.perf_counter() - start)
        return round(statistics.median(took) / rows * 1e6, 3)

    start = time.perf_counter()
    compile_metrics(shipped, attributes=COMMON_ATTRIBUTES)
    compile_ms = round((time.perf_counter() - start) * 1e3, 1)
    return {
        "rows": rows,
        "shipped_rules": len(shipped["metrics"]),
        "shipped_us": extract(shipped),
        "fifty_rules_us": extract(fifty),
        "extractors_us": extract({"extractors": shipped["extractors"]}),
        "values_per_transaction": values_per_transaction(shipped, columns),
        "window_values_us": timed(lambda: windows.values(columns)),
        "window_cells_us": timed(lambda: windows.cells(kept)),
        "window_rules": len(windows.rules),
        "window_rows": added.windows.height,
        "bucket_rows": added.buckets.height,
        "compliance_us": timed(lambda: compliance.find(columns)),
        "findings": compliance.find(columns).rows.height,
        "roll_up_us": timed(lambda: roll_up(columns, window_s=300)),
        "roll_up_hour_us": timed(lambda: roll_up_cells(cells, window_s=3600)),
        "cells": cells.height,
        "compile_shipped_ms": compile_ms,
    }


def values_per_transaction(document: dict[str, Any], columns: pl.DataFrame) -> float:
    result = compile_metrics(document, attributes=COMMON_ATTRIBUTES).extract(columns)
    texts = [text for series in result.data.get_columns() for text in series if text is not None]
    return round(sum(len(json.loads(text)) for text in texts) / columns.height, 1)


def more_rules(count: int) -> list[dict[str, str]]:
    """Rules of the kinds that people write: sums, counts, rates and latencies by a condition."""
    conditions = [
        f"{column} = '{value}'"
        for column, values in MIX.items()
        if column != "error_code"
        for value, _ in values
    ]
    kinds: list[dict[str, str]] = [
        {"type": "COUNTER"},
        {"type": "COUNTER", "value": "amount * 0.0125"},
        {"type": "RATE", "numerator": "payment_status = 'failed'", "denominator": "1"},
        {"type": "HISTOGRAM", "value": "latency_us / 1000"},
    ]
    return [
        {
            "name": f"rule_{number}",
            "description": "A rule of the benchmark.",
            "where": f"{conditions[number % len(conditions)]} AND amount > {number}.5",
            **kinds[number % len(kinds)],
        }
        for number in range(count)
    ]


MIX: dict[str, list[tuple[str, int]]] = {
    "currency": [("USD", 60), ("EUR", 20), ("GBP", 10), ("JPY", 5), ("CAD", 5)],
    "payment_method": [("credit_card", 50), ("debit_card", 30), ("digital_wallet", 20)],
    "payment_status": [("completed", 85), ("failed", 10), ("pending", 3), ("refunded", 2)],
    "channel": [("web", 40), ("mobile", 35), ("pos", 20), ("api", 5)],
    "transaction_type": [("payment", 97), ("refund", 3)],
    "country": [("US", 50), ("DE", 30), ("GB", 20)],
    "error_code": [("", 90), ("insufficient_funds", 7), ("stolen_card", 3)],
}


def batch(rows: int) -> pl.DataFrame:
    """One batch of transactions within ten minutes, in the mixes of the simulator."""
    pick = random.Random(7)
    start = datetime(2024, 3, 1, 12, tzinfo=UTC)
    data: dict[str, list[Any]] = {
        name: pick.choices([v for v, _ in values], [w for _, w in values], k=rows)
        for name, values in MIX.items()
    }
    data["transaction_id"] = [f"{pick.getrandbits(128):032x}" for _ in range(rows)]
    data["customer_id"] = [f"CUST-{pick.getrandbits(32):08X}" for _ in range(rows)]
    data["merchant_id"] = [f"MERCH-{pick.randrange(500):08X}" for _ in range(rows)]
    data["merchant_category"] = data["processor"] = [""] * rows
    data["occurred_at"] = [
        start + timedelta(microseconds=pick.randrange(600_000_000)) for _ in range(rows)
    ]
    data["amount"] = [Decimal(pick.randrange(1, 2_000_000)).scaleb(-2) for _ in range(rows)]
    data["latency_us"] = [
        pick.randrange(20_000, 4_000_000) if pick.random() < 0.9 else None for _ in range(rows)
    ]
    data["key_hex"] = [f"{pick.getrandbits(128):032x}" for _ in range(rows)]
    data["ordinal"] = list(range(rows))
    data["attempt"] = pick.choices([1, 2], [95, 5], k=rows)
    data["card_country"] = pick.choices(["US", "DE", "FR"], k=rows)
    data["risk_score"] = [pick.random() for _ in range(rows)]
    data["three_ds_verified"] = pick.choices([True, False], k=rows)
    data |= {name: [None] * rows for name in COMMON_ATTRIBUTES if name not in data}
    return pl.DataFrame(data, schema_overrides={**COMMON_ATTRIBUTES, **TRANSACTION_COLUMNS})


if __name__ == "__main__":
    main()
