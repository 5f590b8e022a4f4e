"""Writing roll-up cells: one upsert that adds what is new to what is there."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import polars as pl
from psycopg import sql

from metrics.rollups import DIMENSIONS

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


def _array_literals(cells: pl.DataFrame) -> dict[str, str]:
    """Each column as PostgreSQL's text of an array: an eighth of what psycopg takes for lists."""
    joined = cells.select(
        pl.exclude(DIMENSIONS).cast(pl.String).fill_null("NULL").str.join(","),
        pl.col(DIMENSIONS).str.replace_all(r'(["\\])', r"\$1").str.join('","'),
    )
    return {
        name: f'{{"{text}"}}' if name in DIMENSIONS else f"{{{text}}}"
        for name, text in joined.row(0, named=True).items()
    }
