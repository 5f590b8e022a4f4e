"""Writing roll-up cells and findings: one upsert that adds what is new to what is there."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Protocol

import polars as pl
from psycopg import sql

from payflow.lib.copy import copy_frame

CellTable = Literal["payment_metrics_5m", "payment_metrics_1h"]

#: GREATEST and LEAST pass over nulls, so the first stated latency replaces none.
_ADD_CELLS = sql.SQL("""
INSERT INTO {table} AS cell (
    window_start, payment_method, currency, payment_status, channel, transaction_count,
    amount_sum, amount_min, amount_max, latency_count, latency_sum_us, latency_max_us
)
SELECT * FROM unnest(
    %(window_start)s::timestamptz[], %(payment_method)s::text[], %(currency)s::text[],
    %(payment_status)s::text[], %(channel)s::text[], %(transaction_count)s::bigint[],
    %(amount_sum)s::numeric[], %(amount_min)s::numeric[], %(amount_max)s::numeric[],
    %(latency_count)s::bigint[], %(latency_sum_us)s::numeric[], %(latency_max_us)s::bigint[]
)
ON CONFLICT (window_start, payment_method, currency, payment_status, channel) DO UPDATE SET
    transaction_count = cell.transaction_count + EXCLUDED.transaction_count,
    amount_sum = cell.amount_sum + EXCLUDED.amount_sum,
    amount_min = LEAST(cell.amount_min, EXCLUDED.amount_min),
    amount_max = GREATEST(cell.amount_max, EXCLUDED.amount_max),
    latency_count = cell.latency_count + EXCLUDED.latency_count,
    latency_sum_us = cell.latency_sum_us + EXCLUDED.latency_sum_us,
    latency_max_us = GREATEST(cell.latency_max_us, EXCLUDED.latency_max_us)
""")
_ADD_WINDOWS = """
INSERT INTO metric_windows AS cell (
    rule, window_start, rule_version, window_s, group_key, transactions, value_sum, denominator,
    value_min, value_max, value_last, last_at, last_key
)
SELECT * FROM unnest(
    %(rule)s::text[], %(window_start)s::timestamptz[], %(rule_version)s::bigint[],
    %(window_s)s::integer[], %(group_key)s::text[], %(transactions)s::bigint[],
    %(value_sum)s::numeric[], %(denominator)s::numeric[], %(value_min)s::numeric[],
    %(value_max)s::numeric[], %(value_last)s::numeric[], %(last_at)s::timestamptz[],
    %(last_key)s::uuid[]
)
ON CONFLICT (rule, window_start, rule_version, window_s, group_key) DO UPDATE SET
    transactions = cell.transactions + EXCLUDED.transactions,
    value_sum = cell.value_sum + EXCLUDED.value_sum,
    denominator = cell.denominator + EXCLUDED.denominator,
    value_min = LEAST(cell.value_min, EXCLUDED.value_min),
    value_max = GREATEST(cell.value_max, EXCLUDED.value_max),
    (value_last, last_at, last_key) = (
        SELECT newest.value_last, newest.last_at, newest.last_key FROM (
            VALUES (cell.value_last, cell.last_at, cell.last_key),
                (EXCLUDED.value_last, EXCLUDED.last_at, EXCLUDED.last_key)
        ) AS newest (value_last, last_at, last_key)
        ORDER BY last_at DESC, last_key DESC LIMIT 1
    )
"""
_ADD_BUCKETS = """
INSERT INTO aggregate_histograms AS cell (
    rule, window_start, rule_version, window_s, group_key, bucket, events
)
SELECT * FROM unnest(
    %(rule)s::text[], %(window_start)s::timestamptz[], %(rule_version)s::bigint[],
    %(window_s)s::integer[], %(group_key)s::text[], %(bucket)s::integer[], %(events)s::bigint[]
)
ON CONFLICT (rule, window_start, rule_version, window_s, group_key, bucket) DO UPDATE SET
    events = cell.events + EXCLUDED.events
"""


class Cursor(Protocol):
    """A cursor of Django or psycopg."""

    def execute(self, query: Any, params: Any = None) -> Any: ...


def write_cells(cursor: Cursor, table: CellTable, cells: pl.DataFrame) -> None:
    """Add `cells` (of `roll_up`: one per key, sorted by key) to `table`.

    The rows are locked in the order of their keys, so two batches never wait for each other in a
    circle. psycopg's errors pass through.
    """
    if cells.is_empty():
        return
    query = _ADD_CELLS.format(table=sql.Identifier(table))
    cursor.execute(query, _array_literals(cells))


def write_windows(cursor: Cursor, cells: pl.DataFrame) -> None:
    """Add cells (WINDOW_SCHEMA, one per key, sorted by key) to metric_windows."""
    if not cells.is_empty():
        cursor.execute(_ADD_WINDOWS, _array_literals(cells))


def write_buckets(cursor: Cursor, cells: pl.DataFrame) -> None:
    """Add cells (BUCKET_SCHEMA, one per key, sorted by key) to aggregate_histograms."""
    if not cells.is_empty():
        cursor.execute(_ADD_BUCKETS, _array_literals(cells))


def write_violations(cursor: Cursor, findings: pl.DataFrame, *, found_at: datetime) -> None:
    """COPY findings: columns of FINDINGS with `id`, `key_hex` and the texts of the event."""
    if findings.is_empty():
        return
    rows = findings.drop("ordinal").rename({"id": "event_id", "key_hex": "key"})
    copy_frame(cursor, "violations", rows.with_columns(found_at=pl.lit(found_at.isoformat())))


def _array_literals(cells: pl.DataFrame) -> dict[str, str]:
    """Each column as PostgreSQL's text of an array: an eighth of what psycopg takes for lists."""
    escaped = pl.col(pl.String).str.replace_all(r'(["\\])', r"\$1")
    quoted = (pl.lit('"') + escaped + pl.lit('"')).name.keep()
    row = cells.select(
        pl.exclude(pl.String).cast(pl.String).fill_null("NULL").str.join(","),
        quoted.fill_null("NULL").str.join(","),
    ).row(0, named=True)
    return {name: f"{{{text}}}" for name, text in row.items()}
