"""Tables of transactions for tests: plain rows in, polars columns out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl

from metrics.columns import TRANSACTION_COLUMNS

ORDINARY: Mapping[str, Any] = {
    "transaction_id": "tx-1",
    "occurred_at": datetime(2024, 3, 1, 12, 34, 56, tzinfo=UTC),
    "amount": Decimal("25.0000"),
    "currency": "EUR",
    "payment_method": "credit_card",
    "payment_status": "completed",
    "channel": "web",
    "processor": "acme",
    "transaction_type": "payment",
    "merchant_id": "MERCH-1",
    "merchant_category": "retail",
    "customer_id": "CUST-1",
    "country": "DE",
    "error_code": "",
    "latency_us": 120_000,
}
ATTRIBUTES: Mapping[str, pl.DataType] = {
    "risk_score": pl.Float64(),
    "retries": pl.Int64(),
    "is_3ds": pl.Boolean(),
    "brand": pl.String(),
}


def transactions(*rows: Mapping[str, Any]) -> pl.DataFrame:
    """A table with one ordinary transaction per row, changed by what the row says."""
    return table(rows, TRANSACTION_COLUMNS)


def with_attributes(*rows: Mapping[str, Any]) -> pl.DataFrame:
    """The same with attributes of a schema, null where a row does not have them."""
    return table(rows, {**TRANSACTION_COLUMNS, **ATTRIBUTES})


def table(rows: Iterable[Mapping[str, Any]], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    full = [{**ORDINARY, **row} for row in rows]
    return pl.DataFrame(
        {name: [row.get(name) for row in full] for name in schema}, schema=dict(schema)
    )
