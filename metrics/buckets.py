"""Buckets of histograms: exact bounds, so that any split into batches gives the same counts.

Bounds grow by 2 % from one millionth to 10^22, in whole millionths: `next = max(b + 1, b * 102 //
100)`, computed in integers and therefore the same everywhere. A value is told from its bucket
within 1 %, the mapping of DDSketch (Masson, Rim, Lee, "DDSketch", VLDB 2019) with gamma 1.02 and
decimal bounds. Bucket 0 holds zero; bucket n > 0 holds values above bound n - 1 up to bound n;
bucket -n the same values below zero.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Final

import polars as pl

#: what windowed values are rounded to, half-even, before anything is added up
VALUE: Final = pl.Decimal(38, 6)
#: values of this size and more are no values
LIMIT: Final = Decimal(10) ** 22
#: largest relative distance between a value and `bucket_value` of its bucket
RELATIVE_ERROR: Final = Decimal("0.01")
_MICRO: Final = 10**6


def _bounds() -> list[int]:
    bounds = [1]
    while bounds[-1] < LIMIT * _MICRO:
        bounds.append(max(bounds[-1] + 1, bounds[-1] * 102 // 100))
    return bounds


#: upper bound of bucket n in millionths at place n - 1
_BOUNDS: Final = _bounds()
_SERIES: Final = pl.Series([Decimal(bound).scaleb(-6) for bound in _BOUNDS], dtype=VALUE)


def bucket_of(value: Decimal) -> int:
    """The bucket of one value, rounded up to whole millionths."""
    millionths = int((abs(value) * _MICRO).to_integral_value(ROUND_CEILING))
    place = bisect_left(_BOUNDS, millionths) + 1 if millionths else 0
    return -place if value < 0 else place


def bucket_column(value: pl.Expr) -> pl.Expr:
    """The bucket of each value (VALUE) as Int32, null where there is none."""
    place = value.abs().map_batches(_places, return_dtype=pl.Int32, is_elementwise=True)
    return (
        pl.when(value > 0)
        .then(place)
        .when(value < 0)
        .then(-place)
        .when(value == 0)
        .then(pl.lit(0, pl.Int32))
    )


def _places(values: pl.Series) -> pl.Series:
    return _SERIES.search_sorted(values, side="left").cast(pl.Int32) + 1


def bucket_value(bucket: int) -> Decimal:
    """The value that stands for a bucket: within RELATIVE_ERROR of every value in it."""
    if bucket == 0:
        return Decimal(0)
    upper = Decimal(_BOUNDS[abs(bucket) - 1])
    lower = Decimal(_BOUNDS[abs(bucket) - 2]) if abs(bucket) > 1 else upper - 1
    middle = upper if upper - lower == 1 else 2 * lower * upper / (lower + upper)
    return (middle if bucket > 0 else -middle) / _MICRO


def quantile(buckets: Mapping[int, int], q: float) -> Decimal | None:
    """The value at rank ceil(q * n) of n values counted by bucket; None when there are none."""
    total = sum(buckets.values())
    if not total:
        return None
    rank = max(1, int((Decimal(str(q)) * total).to_integral_value(ROUND_CEILING)))
    seen = 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= rank:
            return bucket_value(bucket)
    return None
