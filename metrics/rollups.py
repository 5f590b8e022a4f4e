"""Roll-ups: sums, counts, smallest and largest per window and dimensions, exact and mergeable.

A cell is what a window of event time holds for one payment_method, currency, payment_status and
channel. Only parts that add up are kept; averages and rates are computed when cells are read.
Windows are whole multiples of their length since 1970 UTC, so an hour, a day and any offset of a
local clock never move one.
"""

from __future__ import annotations

import polars as pl

from metrics.columns import EVENT_TIME

#: what tells cells apart besides the window; amounts of two currencies never meet
DIMENSIONS = ("payment_method", "currency", "payment_status", "channel")
KEY = ("window_start", *DIMENSIONS)
#: sums have 34 digits before the point: more than 10^18 amounts of the largest size
_SUM = pl.Decimal(38, 4)
_MICROSECONDS = pl.Decimal(38, 0)


def roll_up(columns: pl.DataFrame, *, window_s: int) -> pl.DataFrame:
    """The cells of these transactions, sorted by key; windows of `window_s` seconds.

    Columns: window_start Datetime us UTC, the dimensions String, transaction_count Int64,
    amount_sum Decimal(38, 4), amount_min and amount_max Decimal(19, 4), latency_count Int64,
    latency_sum_us Decimal(38, 0), latency_max_us Int64 (null when no event states a latency).
    """
    amount, latency = pl.col("amount"), pl.col("latency_us")
    return (
        columns.lazy()
        .group_by(window_start("occurred_at", window_s), *DIMENSIONS)
        .agg(
            transaction_count=pl.len().cast(pl.Int64),
            amount_sum=amount.cast(_SUM).sum(),
            amount_min=amount.min(),
            amount_max=amount.max(),
            latency_count=latency.count().cast(pl.Int64),
            latency_sum_us=latency.cast(_MICROSECONDS).sum(),
            latency_max_us=latency.max(),
        )
        .sort(KEY)
        .collect()
    )


def roll_up_cells(cells: pl.DataFrame, *, window_s: int) -> pl.DataFrame:
    """The same cells over windows of `window_s`, a multiple of the window they have.

    With the window they have it merges cells that share a key: the cells of two batches.
    """
    return (
        cells.lazy()
        .group_by(window_start("window_start", window_s), *DIMENSIONS)
        .agg(
            pl.col("transaction_count", "amount_sum", "latency_count", "latency_sum_us").sum(),
            pl.col("amount_min").min(),
            pl.col("amount_max", "latency_max_us").max(),
        )
        .select(cells.columns)
        .sort(KEY)
        .collect()
    )


def window_start(name: str, window_s: int) -> pl.Expr:
    """The start of the window that holds the time; the end is never computed from its parts."""
    length_us = window_s * 1_000_000
    start_us = pl.col(name).cast(pl.Int64) // length_us * length_us
    return start_us.cast(EVENT_TIME).alias("window_start")
