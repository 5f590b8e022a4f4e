"""The tables of roll-up cells: how each is read, and what tells its cells apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
import psycopg
from psycopg import sql

from ingestion.verify.fetch import fetch_frame
from metrics import sketches
from metrics.rollups import KEY
from metrics.windows import BUCKET_KEY, BUCKET_SCHEMA, WINDOW_KEY, WINDOW_SCHEMA

# the longest window has 7 days
_CELLS: Final = sql.SQL("""
SELECT {columns} FROM {table}
WHERE %(whole)s OR window_start BETWEEN %(first)s::timestamptz - interval '7 days' AND %(last)s
""")
_ROLLUP_SCHEMA: Final[Mapping[str, pl.DataType]] = {
    "window_start": pl.Datetime("us", "UTC"),
    "payment_method": pl.String(),
    "currency": pl.String(),
    "payment_status": pl.String(),
    "channel": pl.String(),
    "transaction_count": pl.Int64(),
    "amount_sum": pl.Decimal(38, 4),
    "amount_min": pl.Decimal(19, 4),
    "amount_max": pl.Decimal(19, 4),
    "latency_count": pl.Int64(),
    "latency_sum_us": pl.Decimal(38, 0),
    "latency_max_us": pl.Int64(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CellTable:
    """One table; its windows all have `window_s` seconds, or their own in a column."""

    name: str
    schema: Mapping[str, pl.DataType]
    key: Sequence[str]
    window_s: int | None = None

    def fetch(self, cursor: psycopg.Cursor[Any], windows: Mapping[str, Any]) -> pl.DataFrame:
        """Its cells between the first and the last event of `windows`, or all."""
        columns = sql.SQL(", ").join(_selected(name, kind) for name, kind in self.schema.items())
        query = _CELLS.format(columns=columns, table=sql.Identifier(self.name))
        return fetch_frame(cursor, query, windows, schema=self.schema)

    def exact(self, cells: pl.DataFrame) -> pl.DataFrame:
        """Cells in the types and the order in which both sides are compared."""
        # a stored null of a text is not told from an empty one
        return (
            cells.cast(pl.Schema(self.schema))
            .select(list(self.schema))
            .with_columns(pl.col(pl.String).fill_null(""))
            .sort(self.key)
        )


CELL_TABLES: Final = (
    CellTable(name="payment_metrics_5m", schema=_ROLLUP_SCHEMA, key=KEY, window_s=300),
    CellTable(name="payment_metrics_1h", schema=_ROLLUP_SCHEMA, key=KEY, window_s=3600),
    CellTable(name="metric_windows", schema=WINDOW_SCHEMA, key=WINDOW_KEY),
    CellTable(name="aggregate_histograms", schema=BUCKET_SCHEMA, key=BUCKET_KEY),
    CellTable(name="distinct_counts", schema=sketches.SCHEMA, key=sketches.KEY, window_s=3600),
)


def _selected(name: str, dtype: pl.DataType) -> sql.Composable:
    """Times as microseconds, keys of events as they are written in columns."""
    if dtype.is_temporal():
        return sql.SQL("(extract(epoch FROM {}) * 1000000)::bigint").format(sql.Identifier(name))
    if name == "bits":
        return sql.SQL("right(encode(varbit_send(bits::varbit), 'hex'), 1024)")
    if name == "last_key":
        return sql.SQL("replace(last_key::text, '-', '')")
    return sql.Identifier(name)
