from __future__ import annotations

import math
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from metrics.sketches import (
    COUNTED,
    KEY,
    PLANE,
    SCHEMA,
    STANDARD_ERROR,
    distinct_cells,
    estimate,
    merge_cells,
)
from tests.metrics.tables import transactions

HOUR = datetime(2024, 2, 29, 23, tzinfo=UTC)


def paid_by(
    customers: Iterable[str], *, at: datetime = HOUR, merchant: str = "MERCH-1"
) -> pl.DataFrame:
    """One ordinary transaction per customer; built from columns, for there may be many."""
    ids = list(customers)
    return pl.DataFrame(
        {"occurred_at": at, "customer_id": ids, "merchant_id": merchant},
        schema={
            "occurred_at": pl.Datetime("us", "UTC"),
            "customer_id": pl.String,
            "merchant_id": pl.String,
        },
    )


def bits_set(cells: pl.DataFrame, counted: str = "customers") -> dict[int, int]:
    """Bits of each plane, of windows merged by hand."""
    merged: dict[int, int] = {}
    for row in cells.filter(counted=counted).iter_rows(named=True):
        bits = int(row["bits"], 16)
        merged[row["plane"]] = merged.get(row["plane"], 0) | bits
    return {plane: bits.bit_count() for plane, bits in merged.items()}


def ids(seed: int, size: int) -> list[str]:
    return [f"CUST-{seed}-{number:08d}" for number in range(size)]


def test_one_id_sets_the_bit_that_its_hash_names():
    """The layout is stored for ever: zeros in front choose the plane, the last 12 bits the place.

    A text whose hash begins with three zeros was looked for, so that no end is mixed up.
    """
    text = next(t for t in map(str, range(1000)) if xxh3_64_intdigest(t.encode()) >> 60 == 1)
    place = xxh3_64_intdigest(text.encode()) & 0xFFF

    cells = distinct_cells(paid_by([text], merchant=""))

    [row] = cells.rows(named=True)
    assert (row["counted"], row["window_start"], row["plane"]) == ("customers", HOUR, 3)
    assert int(row["bits"], 16) == 1 << (PLANE - 1 - place)


def test_the_shape_of_cells_is_the_table_s():
    """Cells have SCHEMA's columns and are sorted by key, with or without a transaction."""
    late = paid_by(ids(1, 300), at=HOUR + timedelta(hours=1))

    cells = distinct_cells(pl.concat([late, paid_by(ids(2, 300))]))

    assert cells.schema == pl.Schema(SCHEMA)
    assert cells.select(KEY).equals(cells.select(KEY).sort(KEY))
    assert cells.select(KEY).is_unique().all()
    assert distinct_cells(transactions()).schema == pl.Schema(SCHEMA)
    assert set(cells["bits"].str.len_bytes()) == {PLANE // 4}


def test_customers_and_merchants_are_counted_apart():
    """Three customers at two merchants in two hours: each hour its own, and none mixed."""
    cells = distinct_cells(
        transactions(
            {"occurred_at": HOUR, "customer_id": "a", "merchant_id": "x"},
            {"occurred_at": HOUR, "customer_id": "b", "merchant_id": "x"},
            {"occurred_at": HOUR + timedelta(hours=1), "customer_id": "c", "merchant_id": "y"},
        )
    )

    found = {
        (counted, start): round(estimate(bits_set(part, counted)))
        for (counted, start), part in cells.group_by("counted", "window_start")
    }
    assert found == {
        ("customers", HOUR): 2,
        ("merchants", HOUR): 1,
        ("customers", HOUR + timedelta(hours=1)): 1,
        ("merchants", HOUR + timedelta(hours=1)): 1,
    }


def test_an_empty_id_is_nobody():
    """Events without a customer or merchant count for nothing."""
    cells = distinct_cells(
        transactions(
            {"customer_id": "", "merchant_id": "x"}, {"customer_id": "", "merchant_id": ""}
        )
    )

    assert cells["counted"].unique().to_list() == ["merchants"]


def test_the_last_microsecond_of_an_hour_belongs_to_it():
    """Windows are half-open."""
    end = HOUR + timedelta(hours=1)

    cells = distinct_cells(
        transactions({"occurred_at": end - timedelta(microseconds=1)}, {"occurred_at": end})
    )

    customers = cells.filter(counted="customers")
    assert customers["window_start"].to_list() == [HOUR, end]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.text(max_size=3), st.text(max_size=1), st.integers(0, 3)),
        min_size=1,
        max_size=60,
    ),
    st.randoms(use_true_random=False),
)
def test_any_split_and_order_gives_the_same_bits(events, rng):
    """Cells of parts of the events, in any order and with repeats, merge to the cells of all."""
    rows = [
        {"customer_id": c, "merchant_id": m, "occurred_at": HOUR + timedelta(hours=hour)}
        for c, m, hour in events
    ]
    whole = distinct_cells(transactions(*rows))
    shuffled = rng.sample(rows, len(rows)) + rng.choices(rows, k=5)
    cuts = sorted(rng.choices(range(len(shuffled)), k=3))
    parts = [
        distinct_cells(transactions(*shuffled[start:end]))
        for start, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)
    ]

    assert merge_cells(parts).equals(whole)
    assert merge_cells([merge_cells(parts[:2]), *parts[2:], *parts[:1]]).equals(whole)


def test_nothing_merged_is_nothing():
    """No batches give an empty table of the right shape."""
    assert merge_cells([]).schema == pl.Schema(SCHEMA)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 8, 13])
def test_a_few_ids_are_counted_exactly(size):
    """A handful of customers is not "about 5"."""
    found = estimate(bits_set(distinct_cells(paid_by(ids(0, size)))))

    assert round(found) == size


@pytest.mark.parametrize(
    ("size", "sketches"), [(100, 120), (1_000, 80), (5_000, 40), (20_000, 20), (100_000, 8)]
)
def test_estimates_are_as_close_as_promised(size, sketches):
    """Against exact numbers: the errors average to nothing, and their size is STANDARD_ERROR's.

    Fixed ids, so this cannot fail by chance; the bounds leave room for 3 errors of a mean.
    """
    errors = [
        estimate(bits_set(distinct_cells(paid_by(ids(seed, size))))) / size - 1
        for seed in range(sketches)
    ]

    mean = sum(errors) / sketches
    spread = math.sqrt(sum(error**2 for error in errors) / sketches)
    assert abs(mean) < 3 * STANDARD_ERROR / math.sqrt(sketches)
    assert spread < STANDARD_ERROR * (1 + 3 / math.sqrt(2 * sketches))
    assert max(map(abs, errors)) < 4 * STANDARD_ERROR


def test_a_range_counts_who_comes_again_once():
    """24 hours that share most of their customers: the day has those there were, not the sum."""
    everybody = ids(7, 3_000)
    pick = random.Random(7)
    hours = [pick.sample(everybody, 1_000) for _ in range(24)]
    exact = len(set().union(*hours))

    cells = [
        distinct_cells(paid_by(hour, at=HOUR + timedelta(hours=number)))
        for number, hour in enumerate(hours)
    ]
    found = estimate(bits_set(pl.concat(cells)))

    assert abs(found / exact - 1) < 2 * STANDARD_ERROR


@pytest.mark.parametrize("size", [10, 10_000, 10**9, 10**13])
def test_the_estimate_solves_its_equation_at_any_size(size):
    """Given the bits that are expected for a number, the estimate is that number."""
    expected = {
        plane: -PLANE * math.expm1(-size / PLANE * 2.0 ** -(plane + 1)) for plane in range(65)
    }

    assert estimate(expected) == pytest.approx(size, rel=1e-6)  # type: ignore[arg-type]


def test_full_planes_still_give_a_number():
    """Planes without a free bit, which no real traffic fills, do not hang or divide by zero."""
    assert math.isfinite(estimate(dict.fromkeys(range(40), PLANE)))


def test_each_count_has_a_column_that_transactions_have():
    """COUNTED names columns of the accepted events."""
    assert set(COUNTED.values()) <= set(transactions().columns)
