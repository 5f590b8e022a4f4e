"""What the database holds of some batches, read by the ranges of ids that they took.

A batch's ids are those of its slot between its first and its last: no other batch can have one.
So the range finds every row that this batch numbered, whatever its `batch` column says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
import psycopg
from psycopg import sql

from ingestion.verify.fetch import fetch_frame, read_lines
from ingestion.verify.snapshot import Manifest

_TIME: Final = pl.Datetime("us", "UTC")
#: every column of normalized_transactions
TRANSACTION_SCHEMA: Final[Mapping[str, pl.DataType]] = {
    "id": pl.Int64(),
    "batch": pl.Int64(),
    "ordinal": pl.Int32(),
    "part": pl.Int32(),
    "event_key": pl.String(),
    "payload_hash": pl.Int64(),
    "received_at": _TIME,
    "transaction_id": pl.String(),
    "occurred_at": _TIME,
    "amount": pl.Decimal(19, 4),
    "currency": pl.String(),
    "payment_method": pl.String(),
    "payment_status": pl.String(),
    "channel": pl.String(),
    "processor": pl.String(),
    "transaction_type": pl.String(),
    "merchant_id": pl.String(),
    "merchant_category": pl.String(),
    "customer_id": pl.String(),
    "country": pl.String(),
    "error_code": pl.String(),
    "latency_us": pl.Int64(),
    "correlation_id": pl.String(),
    "metadata": pl.String(),
}
METRIC_SCHEMA: Final[Mapping[str, pl.DataType]] = {
    "id": pl.Int64(),
    "metric_type": pl.String(),
    "metric_data": pl.String(),
}
OUTCOME_SCHEMA: Final[Mapping[str, pl.DataType]] = {
    "id": pl.Int64(),
    "batch": pl.Int64(),
    "ordinal": pl.Int32(),
    "part": pl.Int32(),
    "outcome": pl.String(),
    "other_id": pl.Int64(),
    "transaction_id": pl.String(),
}
VIOLATION_SCHEMA: Final[Mapping[str, pl.DataType]] = {
    "id": pl.Int64(),
    "rule": pl.String(),
    "rule_version": pl.Int64(),
    "family": pl.String(),
    "severity": pl.String(),
    "key": pl.String(),
    "occurred_at": _TIME,
    "found_at": _TIME,
    "transaction_id": pl.String(),
    "customer_id": pl.String(),
    "merchant_id": pl.String(),
    "evidence": pl.String(),
}
#: columns of failed_items that a commit writes and nobody changes
ITEM_COLUMNS: Final = (
    "id",
    "batch",
    "ordinal",
    "part",
    "source_id",
    "partition_name",
    "position",
    "bundle_id",
    "schema_name",
    "stage",
    "reason",
    "field",
    "errors",
    "payload",
    "archive_file",
    "archive_row",
    "other_id",
    "transaction_id",
    "correlation_id",
    "failed_at",
    "group_id",
)
# OFFSET 0 keeps the planner from joining: one range of the primary key is read for each batch
_SELECT: Final = sql.SQL("""
SELECT {columns}
FROM unnest(%(first)s::bigint[], %(last)s::bigint[], %(slot)s::int[]) AS own (first, last, slot),
LATERAL (
    SELECT * FROM {table}
    WHERE {id} BETWEEN own.first AND own.last AND ({id} >> 12) & 1023 = own.slot
    OFFSET 0
) AS found
ORDER BY {order}
""")


def _select(table: str, columns: list[sql.Composable], *, key: str, order: str) -> sql.Composed:
    return _SELECT.format(
        columns=sql.SQL(", ").join(columns),
        table=sql.Identifier(table),
        id=sql.Identifier(key),
        order=sql.SQL(order),
    )


def _exact(schema: Mapping[str, pl.DataType]) -> list[sql.Composable]:
    """Columns as they are, times as microseconds."""
    in_us = sql.SQL("(extract(epoch FROM {}) * 1000000)::bigint")
    return [
        in_us.format(sql.Identifier(name)) if dtype.is_temporal() else sql.Identifier(name)
        for name, dtype in schema.items()
    ]


_TRANSACTIONS: Final = _select(
    "normalized_transactions", _exact(TRANSACTION_SCHEMA), key="id", order="id"
)
# four short rows an event: a row of COPY costs more than it holds. jsonb's text has no line ends
_METRIC_LINES: Final = sql.SQL("""
SELECT string_agg(event_id || E'\\t' || metric_type || E'\\t' || metric_data, E'\\n')
FROM ({}) AS rows
""").format(
    _select(
        "dynamic_metrics",
        [sql.Identifier(name) for name in ("event_id", "metric_type", "metric_data")],
        key="event_id",
        order="event_id, metric_type",
    )
)
_OUTCOMES: Final = _select("batch_outcomes", _exact(OUTCOME_SCHEMA), key="id", order="id")
_VIOLATIONS: Final = _select(
    "violations",
    [sql.SQL("event_id"), *_exact(VIOLATION_SCHEMA)[1:]],
    key="event_id",
    order='event_id, rule COLLATE "C"',
)
_ITEMS: Final = _select(
    "failed_items", [sql.Identifier(name) for name in ITEM_COLUMNS], key="id", order="id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The rows of some batches, by id."""

    transactions: pl.DataFrame
    metrics: pl.DataFrame
    outcomes: pl.DataFrame
    violations: pl.DataFrame
    #: one dictionary of ITEM_COLUMNS an item
    items: list[dict[str, Any]]


def read_stored(cursor: psycopg.Cursor[Any], manifests: Sequence[Manifest]) -> Stored:
    """All rows that these batches numbered."""
    own = {
        "first": [manifest.id for manifest in manifests],
        "last": [manifest.last_id for manifest in manifests],
        "slot": [manifest.id >> 12 & 1023 for manifest in manifests],
    }
    transactions = fetch_frame(cursor, _TRANSACTIONS, own, schema=TRANSACTION_SCHEMA)
    (lines,) = cursor.execute(_METRIC_LINES, own).fetchone() or (None,)
    cursor.execute(_ITEMS, own)
    items = [dict(zip(ITEM_COLUMNS, row, strict=True)) for row in cursor.fetchall()]
    return Stored(
        transactions=transactions.with_columns(pl.col("event_key").str.replace_all("-", "")),
        metrics=read_lines((lines or "").encode(), schema=METRIC_SCHEMA),
        outcomes=fetch_frame(cursor, _OUTCOMES, own, schema=OUTCOME_SCHEMA),
        violations=fetch_frame(cursor, _VIOLATIONS, own, schema=VIOLATION_SCHEMA),
        items=items,
    )
