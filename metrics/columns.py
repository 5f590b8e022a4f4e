"""The columns of a table of transactions that rules and extractors may read."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

#: money: 15 digits before the point, 4 after
AMOUNT = pl.Decimal(19, 4)
EVENT_TIME = pl.Datetime("us", "UTC")

#: what every accepted event has; texts are "" when absent, only latency_us may be null.
#: Keys, hashes and the correlation id are left out: they say nothing about the payment.
TRANSACTION_COLUMNS: Mapping[str, pl.DataType] = {
    "transaction_id": pl.String(),
    "occurred_at": EVENT_TIME,
    "amount": AMOUNT,
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
}
