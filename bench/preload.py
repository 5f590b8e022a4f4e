"""Fill a database with transactions over the whole horizon, by COPY, as if they had arrived."""

from __future__ import annotations

import os
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import psycopg

from payflow.lib.copy import copy_text
from payflow.lib.event_id import EPOCH_MS

CHUNK = 100_000
HORIZON = timedelta(days=7)
_ORDER = "normalized_transactions", "dynamic_metrics"


def preload(world: Any, *, rows: int) -> None:
    """Add what is missing to have `rows` transactions, then vacuum. Kept for the next run."""
    have = world.sql("SELECT count(*) FROM preloaded" if _is_marked(world) else "SELECT 0")[0][0]
    if rows == 0 or have:
        return
    lower, upper = world.sql("SELECT lower_id, upper_id FROM write_leaf")[0]
    now_ms = time.time_ns() // 1_000_000 - EPOCH_MS
    first_tick = max(lower >> 22, now_ms - int(HORIZON.total_seconds() * 1000))
    span = now_ms - 60_000 - first_tick
    with psycopg.connect(world.urls.database_url) as connection:
        for first in range(0, rows, CHUNK):
            tick = first_tick + span * first // rows
            _copy_chunk(connection, tick=tick, seed=first)
    world.sql("VACUUM (ANALYZE) normalized_transactions")
    world.sql("VACUUM (ANALYZE) dynamic_metrics")
    world.sql("CREATE TABLE preloaded AS SELECT %s::bigint AS rows", rows)
    assert upper > first_tick << 22


def _is_marked(world: Any) -> bool:
    return bool(world.sql("SELECT to_regclass('preloaded') IS NOT NULL")[0][0])


def _copy_chunk(connection: psycopg.Connection[Any], *, tick: int, seed: int) -> None:
    rng = random.Random(seed)
    ids = [(tick + n // 4096) << 22 | 1023 << 12 | n % 4096 for n in range(CHUNK)]
    # events of the whole horizon, keys under the hour of their time
    now = int(time.time())
    times = [now - rng.randrange(int(HORIZON.total_seconds())) for _ in range(CHUNK)]
    random_bytes = os.urandom(12 * CHUNK)
    keys = [
        (seconds // 3600).to_bytes(4, "big").hex() + random_bytes[12 * n : 12 * n + 12].hex()
        for n, seconds in enumerate(times)
    ]
    frame = pl.DataFrame(
        {
            "id": ids,
            "batch": pl.Series([ids[0]] * CHUNK),
            "occurred_at": pl.Series(times).cast(pl.Int64) * 1_000_000,
            "event_key": keys,
            "payload_hash": [rng.getrandbits(62) for _ in range(CHUNK)],
            "ordinal": list(range(CHUNK)),
            "amount": [f"{rng.randrange(10**6) / 100:.2f}" for _ in range(CHUNK)],
            "transaction_id": [key[8:40] for key in keys],
            "correlation_id": [key[4:36] for key in keys],
            "merchant_id": [f"MERCH-{rng.randrange(10**4):08d}" for _ in range(CHUNK)],
            "customer_id": [f"CUST-{rng.randrange(10**6):08d}" for _ in range(CHUNK)],
        }
    ).with_columns(
        pl.col("occurred_at").cast(pl.Datetime("us", "UTC")),
        received_at=pl.lit(datetime.now(UTC).isoformat()),
        part=0,
        currency=pl.lit("USD"),
        payment_method=pl.lit("credit_card"),
        payment_status=pl.lit("completed"),
        channel=pl.lit("web"),
        transaction_type=pl.lit("payment"),
        merchant_category=pl.lit("retail"),
        country=pl.lit("DE"),
        metadata=pl.lit('{"risk_score":0.231,"card_brand":"Visa","card_last4":"1234"}'),
    )
    metrics = pl.concat(
        frame.select(
            pl.col("id").alias("event_id"), metric_type=pl.lit(kind), metric_data=pl.lit(data)
        )
        for kind, data in (
            ("COUNTER", '{"approved":1,"transactions":1}'),
            ("GAUGE", '{"largest_payment":712.1}'),
            ("HISTOGRAM", '{"transaction_amount":712.1}'),
            ("RATE", '{"approval_rate":{"n":1,"d":1},"channel_failure_rate":{"n":0,"d":1}}'),
        )
    ).sort("event_id", "metric_type")
    with connection.transaction(), connection.cursor() as cursor:
        for table, rows in zip(_ORDER, (frame, metrics), strict=True):
            columns = ", ".join(rows.columns)
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                copy.write(copy_text(rows))
