"""Buckets: exact bounds, the error they promise, quantiles from counts."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from math import ceil

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.buckets import (
    LIMIT,
    RELATIVE_ERROR,
    VALUE,
    bucket_column,
    bucket_of,
    bucket_value,
    quantile,
)

VALUES = st.decimals(
    min_value=-LIMIT + 1, max_value=LIMIT - 1, places=6, allow_nan=False, allow_infinity=False
)


@given(VALUES)
def test_a_bucket_tells_its_value_within_one_percent(value):
    """Whatever the size or sign, the value of the bucket is at most 1 % away."""
    told = bucket_value(bucket_of(value))

    assert abs(told - value) <= RELATIVE_ERROR * abs(value)


@given(st.lists(VALUES, min_size=1, max_size=20))
def test_columns_and_single_values_have_the_same_buckets(values):
    """What evaluate computes in columns is what Python computes for one value."""
    frame = pl.DataFrame({"v": values}, schema={"v": VALUE})

    buckets = frame.select(bucket_column(pl.col("v"))).to_series().to_list()

    assert buckets == [bucket_of(value) for value in values]


def test_no_value_has_no_bucket_and_zero_has_its_own():
    """Null stays null, zero is bucket 0, the smallest value is bucket 1 on either side."""
    values = [None, Decimal(0), Decimal("0.000001"), Decimal("-0.000001")]
    frame = pl.DataFrame({"v": values}, schema={"v": VALUE})

    buckets = frame.select(bucket_column(pl.col("v"))).to_series().to_list()

    assert buckets == [None, 0, 1, -1]


@given(st.lists(VALUES, min_size=1, max_size=200), st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_within_one_percent_of_the_exact_one(values, q):
    """The stated error bound holds for every quantile of any set of values."""
    exact = sorted(values)[max(1, ceil(Decimal(str(q)) * len(values))) - 1]

    told = quantile(Counter(map(bucket_of, values)), q)

    assert told is not None
    assert abs(told - exact) <= RELATIVE_ERROR * abs(exact)


def test_no_events_have_no_quantile():
    """An empty histogram answers None, not zero."""
    assert quantile({}, 0.5) is None


@pytest.mark.parametrize("amount", ["9.99", "100", "1000000", "49.95"])
def test_counts_of_one_value_give_it_back(amount):
    """A thousand equal payments have that amount at every quantile, within the bound."""
    buckets = {bucket_of(Decimal(amount)): 1000}

    for q in (0.5, 0.95, 0.99):
        assert quantile(buckets, q) == pytest.approx(Decimal(amount), rel=Decimal("0.01"))
