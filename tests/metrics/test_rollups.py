from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.rollups import DIMENSIONS, KEY, roll_up, roll_up_cells
from tests.metrics.tables import ORDINARY, transactions

FIVE_MINUTES, HOUR, DAY = 300, 3_600, 86_400


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def starts(times: Iterable[datetime], window_s: int = FIVE_MINUTES) -> list[datetime]:
    """The windows that transactions at these times fall into, in order."""
    cells = roll_up(transactions(*({"occurred_at": time} for time in times)), window_s=window_s)
    return cells["window_start"].to_list()


@pytest.mark.parametrize("minute", range(60))
def test_minutes_55_to_59_are_not_lost(minute):
    """Each minute of an hour, the last five among them, lies in its window of 5 minutes."""
    time = utc(2024, 5, 6, 23, minute, 59, 999_999)

    [start] = starts([time])

    assert start == utc(2024, 5, 6, 23, minute - minute % 5)
    assert start <= time < start + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (utc(2024, 12, 31, 23, 59, 59, 999_999), utc(2024, 12, 31, 23, 55)),
        (utc(2025, 1, 1), utc(2025, 1, 1)),
        (utc(2024, 2, 28, 23, 59, 59), utc(2024, 2, 28, 23, 55)),
        (utc(2024, 2, 29, 0, 0), utc(2024, 2, 29)),
        (utc(2024, 2, 29, 23, 59, 59, 999_999), utc(2024, 2, 29, 23, 55)),
        (utc(2024, 3, 1), utc(2024, 3, 1)),
        (utc(2000, 1, 1), utc(2000, 1, 1)),
        (utc(2099, 12, 31, 23, 59, 59, 999_999), utc(2099, 12, 31, 23, 55)),
    ],
)
def test_days_years_and_leap_days_end_where_they_should(time, expected):
    """A window never reaches over midnight, a leap day or a year."""
    assert starts([time]) == [expected]
    midnight = expected.replace(hour=0, minute=0)
    assert starts([time], DAY) == [midnight]


def test_a_change_of_the_clock_neither_doubles_nor_loses_an_hour():
    """The night of 25 hours has 25 hourly windows, the night of 23 has 23."""
    berlin = ZoneInfo("Europe/Berlin")

    for day, hours in (((2024, 10, 27), 25), ((2024, 3, 31), 23)):
        midnight = datetime(*day, tzinfo=berlin)
        begin = midnight.astimezone(UTC)
        end = (midnight + timedelta(days=1)).astimezone(UTC)
        quarters = int((end - begin) / timedelta(minutes=15))
        times = [begin + timedelta(minutes=15 * number) for number in range(quarters)]

        assert len(starts(times, HOUR)) == hours


def test_an_amount_is_never_a_float():
    """Ten times 0.1 is 1, and the columns are decimals."""
    cells = roll_up(
        transactions(*({"amount": Decimal("0.1000")} for _ in range(10))), window_s=FIVE_MINUTES
    )

    assert cells["amount_sum"].item() == Decimal(1)
    assert cells.schema["amount_sum"] == pl.Decimal(38, 4)
    assert cells.schema["amount_min"] == pl.Decimal(19, 4)
    assert not any(dtype.is_float() for dtype in cells.schema.values())


def test_sums_go_beyond_19_digits():
    """A thousand of the largest amounts, and latencies beyond 64 bits, add up exactly."""
    largest = Decimal("999999999999999.9999")
    row = {"amount": largest, "latency_us": 2**63 - 1}

    cells = roll_up(transactions(*[row] * 1000), window_s=FIVE_MINUTES)

    assert cells["amount_sum"].item() == largest * 1000
    assert cells["latency_sum_us"].item() == (2**63 - 1) * 1000
    assert cells["latency_max_us"].item() == 2**63 - 1


def test_failed_payments_have_cells_of_their_own():
    """A failed payment is counted under failed, whatever else is in its window."""
    cells = roll_up(
        transactions({"payment_status": "failed"}, {}, {"payment_status": "failed"}),
        window_s=FIVE_MINUTES,
    )

    counts = dict(cells.select("payment_status", "transaction_count").iter_rows())
    assert counts == {"completed": 1, "failed": 2}


def test_currencies_never_meet_in_a_sum():
    """1 EUR and 1 JPY are two cells."""
    cells = roll_up(transactions({}, {"currency": "JPY"}), window_s=FIVE_MINUTES)

    assert cells["currency"].to_list() == ["EUR", "JPY"]


def test_an_hour_is_not_an_average_of_averages():
    """The mean of an hour comes from its sum and count: 1 of 100 and 9 of 10 give 19, not 55."""
    at = ORDINARY["occurred_at"].replace(minute=1)
    rows = [{"occurred_at": at, "amount": Decimal(100)}]
    rows += [{"occurred_at": at.replace(minute=59), "amount": Decimal(10)}] * 9
    cells = roll_up(transactions(*rows), window_s=FIVE_MINUTES)

    hour = roll_up_cells(cells, window_s=HOUR)

    assert cells.height == 2
    assert hour["amount_sum"].item() / hour["transaction_count"].item() == 19
    assert "avg" not in " ".join(hour.columns)


def test_a_cell_without_latency_says_so():
    """No stated latency: count and sum are 0, the largest is unknown."""
    cells = roll_up(transactions({"latency_us": None}), window_s=FIVE_MINUTES)

    row = cells.row(0, named=True)
    assert (row["latency_count"], row["latency_sum_us"], row["latency_max_us"]) == (0, 0, None)


def test_no_transactions_have_no_cells():
    """An empty table gives no cell and keeps the columns."""
    cells = roll_up(transactions(), window_s=FIVE_MINUTES)

    assert cells.height == 0
    assert cells.schema == roll_up(transactions({}), window_s=FIVE_MINUTES).schema
    assert roll_up_cells(cells, window_s=HOUR).schema == cells.schema


CENTURY_US = (utc(2100, 1, 1) - utc(2000, 1, 1)) // timedelta(microseconds=1)
EDGES = [
    utc(2024, 2, 29),
    utc(2024, 3, 1),
    utc(2024, 3, 31, 1),
    utc(2024, 10, 27, 1),
    utc(2024, 12, 31, 23, 55),
    utc(2025, 1, 1),
]
TIMES = st.one_of(
    st.integers(0, CENTURY_US - 1).map(lambda us: utc(2000, 1, 1) + timedelta(microseconds=us)),
    st.builds(
        lambda edge, us: edge + timedelta(microseconds=us),
        st.sampled_from(EDGES),
        st.integers(-2, 2),
    ),
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "occurred_at": TIMES,
            "amount": st.decimals(
                min_value=Decimal("-999999999999999.9999"),
                max_value=Decimal("999999999999999.9999"),
                places=4,
            ),
            "currency": st.sampled_from(["EUR", "JPY"]),
            "payment_status": st.sampled_from(["completed", "failed"]),
            "channel": st.sampled_from(["", "web", "a,b", "é"]),
            "latency_us": st.one_of(st.none(), st.integers(0, 2**63 - 1)),
        }
    ),
    max_size=20,
)


def in_plain_python(rows: list[dict[str, Any]], window_s: int) -> list[tuple[Any, ...]]:
    """The cells as a person would compute them: datetime, Decimal and a dictionary."""
    cells: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    epoch = utc(1970, 1, 1)
    for row in ({**ORDINARY, **row} for row in rows):
        start = row["occurred_at"] - (row["occurred_at"] - epoch) % timedelta(seconds=window_s)
        cells.setdefault((start, *(row[name] for name in DIMENSIONS)), []).append(row)
    result = []
    for key in sorted(cells):
        amounts = [row["amount"] for row in cells[key]]
        latencies = [row["latency_us"] for row in cells[key] if row["latency_us"] is not None]
        result.append(
            (
                *key,
                len(amounts),
                sum(amounts),
                min(amounts),
                max(amounts),
                len(latencies),
                sum(latencies),
                max(latencies, default=None),
            )
        )
    return result


@given(ROWS, st.sampled_from([60, FIVE_MINUTES, HOUR, DAY]))
def test_cells_are_what_plain_python_computes(rows, window_s):
    """Every cell of every window, with amounts and times at their edges."""
    assert roll_up(transactions(*rows), window_s=window_s).rows() == in_plain_python(rows, window_s)


@given(ROWS, st.integers(1, 20))
def test_any_split_into_batches_gives_the_same_cells(rows, size):
    """Cells of parts, merged, are the cells of the whole, in value and in order."""
    whole = roll_up(transactions(*rows), window_s=FIVE_MINUTES)

    parts = [
        roll_up(transactions(*rows[start : start + size]), window_s=FIVE_MINUTES)
        for start in range(0, len(rows), size)
    ]

    merged = roll_up_cells(pl.concat([whole.clear(), *parts]), window_s=FIVE_MINUTES)
    assert merged.equals(whole)
    assert merged.schema == whole.schema


@given(ROWS)
def test_hours_from_cells_are_hours_from_transactions(rows):
    """The hourly cells do not depend on the way over 5 minutes."""
    columns = transactions(*rows)

    over_cells = roll_up_cells(roll_up(columns, window_s=FIVE_MINUTES), window_s=HOUR)

    assert over_cells.equals(roll_up(columns, window_s=HOUR))


def test_cells_are_sorted_by_their_key():
    """The order in which rows are locked is the same for every batch."""
    rows = [
        {"channel": channel, "currency": money} for channel in "zba" for money in ("USD", "EUR")
    ]

    cells = roll_up(transactions(*rows), window_s=FIVE_MINUTES)

    assert cells.select(KEY).rows() == sorted(cells.select(KEY).rows())
