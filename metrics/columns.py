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

#: attributes that any rule may name, though not every schema maps them: for transactions of a
#: schema without one, the rules that name it are left out. "Absent" and "never asked for" differ:
#: a rule about missing card data must not accuse a producer that has no place for it.
COMMON_ATTRIBUTES: Mapping[str, pl.DataType] = {
    #: number of the try to pay for the same thing, 1 for the first
    "attempt": pl.Int64(),
    "card_brand": pl.String(),
    #: country of the bank that issued the card, two letters
    "card_country": pl.String(),
    "card_last4": pl.String(),
    "customer_email": pl.String(),
    "cvv_provided": pl.Boolean(),
    "disputed": pl.Boolean(),
    #: two letters
    "merchant_country": pl.String(),
    #: 0 to 1; Stripe's are 0 to 100
    "risk_score": pl.Float64(),
    "three_ds_verified": pl.Boolean(),
}
