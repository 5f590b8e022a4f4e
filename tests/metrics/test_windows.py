"""Windowed rules: values, cells, merging, and that any split into batches gives the same bits."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from metrics.rules import compile_metrics
from metrics.windows import Cells, merge_buckets, merge_windows
from tests.metrics.tables import ATTRIBUTES, with_attributes

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def rule(name: str = "ours", metric_type: str = "COUNTER", **keys: Any) -> dict[str, Any]:
    return {"name": name, "description": "One of a test.", "type": metric_type, **keys}


def cells(frame: pl.DataFrame, *rules: dict[str, Any]) -> Cells:
    """The cells that these rules (not the built-in ones) give for these transactions."""
    metrics = compile_metrics({"metrics": list(rules)}, attributes=ATTRIBUTES)
    keys = [f"{number:032x}" for number in range(frame.height)]
    frame = frame.with_columns(key_hex=pl.Series(keys, dtype=pl.String))
    kept = frame.hstack(metrics.extract(frame).window_values)
    found = metrics.windows.cells(kept)
    mine = pl.col("rule").is_in([one["name"] for one in rules])
    return Cells(windows=found.windows.filter(mine), buckets=found.buckets.filter(mine))


def window_rows(frame: pl.DataFrame, *rules: dict[str, Any]) -> list[dict[str, Any]]:
    return cells(frame, *rules).windows.to_dicts()


def test_a_counter_counts_per_window_and_group():
    """One cell per group and window; events without the condition are in none."""
    frame = with_attributes(
        {"merchant_id": "M-1", "occurred_at": NOON},
        {"merchant_id": "M-1", "occurred_at": NOON + timedelta(minutes=59, seconds=59)},
        {"merchant_id": "M-2", "occurred_at": NOON + timedelta(hours=1)},
        {"merchant_id": "M-3", "occurred_at": NOON, "payment_status": "failed"},
    )

    rows = window_rows(
        frame,
        rule(where="payment_status = 'completed'", group_by=["merchant_id"], window="1h"),
    )

    assert [(r["window_start"], r["group_key"], r["transactions"]) for r in rows] == [
        (NOON, '{"merchant_id":"M-1"}', 2),
        (NOON + timedelta(hours=1), '{"merchant_id":"M-2"}', 1),
    ]
    assert {row["window_s"] for row in rows} == {3600}


def test_amounts_of_two_currencies_never_meet():
    """A rule that adds amounts is grouped by currency though it does not say so."""
    frame = with_attributes(
        {"currency": "EUR", "amount": Decimal("0.1")},
        {"currency": "EUR", "amount": Decimal("0.2")},
        {"currency": "JPY", "amount": Decimal("500")},
    )

    rows = window_rows(frame, rule(value="amount"))

    assert [(r["group_key"], r["value_sum"]) for r in rows] == [
        ('{"currency":"EUR"}', Decimal("0.3")),
        ('{"currency":"JPY"}', Decimal("500")),
    ]


def test_a_condition_on_the_amount_does_not_split_by_currency():
    """Only values are added up: comparing the amount leaves one cell."""
    frame = with_attributes({"currency": "EUR"}, {"currency": "JPY"})

    rows = window_rows(frame, rule(where="amount > 10"))

    assert [(r["group_key"], r["transactions"]) for r in rows] == [("{}", 2)]


def test_a_gauge_keeps_smallest_largest_and_last():
    """Last is by event time, then by event key: never by arrival."""
    frame = with_attributes(
        {"amount": Decimal("7"), "occurred_at": NOON + timedelta(seconds=2)},
        {"amount": Decimal("9"), "occurred_at": NOON + timedelta(seconds=3)},
        {"amount": Decimal("8"), "occurred_at": NOON + timedelta(seconds=3)},
        {"amount": Decimal("1"), "occurred_at": NOON},
    )

    (row,) = window_rows(frame, rule(metric_type="GAUGE", value="amount"))

    assert [row[f"value_{name}"] for name in ("min", "max", "last")] == [1, 9, 8]
    assert row["last_at"] == NOON + timedelta(seconds=3)
    assert row["last_key"] == f"{2:032x}"


def test_a_rate_keeps_both_counts():
    """Numerator over denominator is for the reader: cells keep what adds up."""
    frame = with_attributes({}, {"payment_status": "failed"}, {"payment_status": "pending"})

    (row,) = window_rows(
        frame,
        rule(
            metric_type="RATE",
            where="payment_status <> 'pending'",
            numerator="payment_status = 'completed'",
            denominator=1,
        ),
    )

    assert (row["transactions"], row["value_sum"], row["denominator"]) == (2, 1, 2)


def test_a_rate_with_a_missing_side_counts_neither():
    """An event without a denominator has no place in the numerator either."""
    frame = with_attributes({"retries": 3}, {"retries": None})

    (row,) = window_rows(frame, rule(metric_type="RATE", numerator=1, denominator="retries"))

    assert (row["transactions"], row["value_sum"], row["denominator"]) == (1, 1, 3)


def test_a_histogram_counts_buckets():
    """Equal values share a bucket; a histogram has no cell of metric_windows."""
    frame = with_attributes({"risk_score": 0.5}, {"risk_score": 0.5}, {"risk_score": None})

    found = cells(frame, rule(metric_type="HISTOGRAM", value="risk_score"))

    assert found.windows.is_empty()
    assert found.buckets["events"].to_list() == [2]


def test_floats_are_rounded_before_they_are_added():
    """0.1 + 0.2 is 0.3: values are exact decimals of 6 places from evaluate on."""
    frame = with_attributes({"risk_score": 0.1}, {"risk_score": 0.2}, {"risk_score": 1 / 3})

    (row,) = window_rows(frame, rule(value="risk_score"))

    assert row["value_sum"] == Decimal("0.633333")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e23, 1e300])
def test_a_number_that_is_none_is_no_value(value):
    """Not finite, or too large to add up exactly: the event is not in the cell."""
    frame = with_attributes({"risk_score": value}, {"risk_score": 1.0})

    (row,) = window_rows(frame, rule(value="risk_score"))

    assert (row["transactions"], row["value_sum"]) == (1, 1)


def test_values_of_groups_may_be_any_text():
    """Quotes, backslashes, line breaks and letters of any script make a JSON object."""
    name = 'M"\\\n\té漢'
    frame = with_attributes({"merchant_id": name, "is_3ds": None, "retries": 2})

    (row,) = window_rows(frame, rule(group_by=["merchant_id", "is_3ds", "retries"]))

    assert pl.Series([row["group_key"]]).str.json_decode(
        pl.Struct({"merchant_id": pl.String, "is_3ds": pl.Boolean, "retries": pl.Int64})
    ).to_list() == [{"merchant_id": name, "is_3ds": None, "retries": 2}]


def test_any_split_into_batches_gives_the_same_cells():
    """Cells of parts, merged in any order, are the cells of the whole, bit for bit."""
    random.seed(7)
    frame = with_attributes(
        *(
            {
                "merchant_id": f"M-{random.randint(1, 5)}",
                "currency": random.choice(["EUR", "USD"]),
                "amount": Decimal(random.randint(-99_999, 10**9)).scaleb(-4),
                "occurred_at": NOON + timedelta(seconds=random.randint(0, 900)),
                "risk_score": random.choice([None, random.random()]),
            }
            for _ in range(300)
        )
    )
    rules = [
        rule("counted", group_by=["merchant_id"]),
        rule("summed", value="amount * risk_score"),
        rule("gauged", "GAUGE", value="risk_score", window="15m"),
        rule("rated", "RATE", numerator="amount > 50000", denominator=1),
        rule("spread", "HISTOGRAM", value="amount"),
    ]
    metrics = compile_metrics({"metrics": rules}, attributes=ATTRIBUTES)
    keys = [f"{random.getrandbits(128):032x}" for _ in range(frame.height)]
    frame = frame.with_columns(key_hex=pl.Series(keys))
    kept = frame.hstack(metrics.extract(frame).window_values)
    whole = metrics.windows.cells(kept)

    parts = [metrics.windows.cells(kept[start : start + 37]) for start in range(0, 300, 37)]
    random.shuffle(parts)

    assert merge_windows(part.windows for part in parts).equals(whole.windows)
    assert merge_buckets(part.buckets for part in parts).equals(whole.buckets)


def test_a_failing_rule_does_not_touch_the_others():
    """A rule that cannot be computed for one event is counted; every other cell is whole."""
    frame = with_attributes({"brand": "17"}, {"brand": "x"})
    rules = [rule("odd", value="CAST(brand AS INTEGER)"), rule("even")]
    metrics = compile_metrics({"metrics": rules}, attributes=ATTRIBUTES)

    result = metrics.windows.values(frame)

    assert result.data["rule:even"].to_list() == [True, True]
    assert result.data["rule:odd"].to_list() in ([17, None], [None, None])


def test_a_version_changes_with_what_is_computed_only():
    """Words about a rule do not start new cells; a formula, group or window does."""
    versions = [
        compile_metrics({"metrics": [rule(**change)]}, attributes={}).rules[0].version
        for change in (
            {},
            {"description": "Said otherwise."},
            {"where": "amount > 1"},
            {"group_by": ["channel"]},
            {"window": "1h"},
        )
    ]

    assert versions[0] == versions[1]
    assert len(set(versions)) == 4


def test_a_windowed_rule_is_not_kept_with_each_transaction():
    """A group or a window makes it a rule of windows; the others are both."""
    frame = with_attributes({})
    metrics = compile_metrics(
        {"metrics": [rule("both"), rule("windowed", window="5m")]}, attributes=ATTRIBUTES
    )

    result = metrics.extract(frame)

    assert result.data["COUNTER"].to_list() == ['{"both":1}']
    assert {"rule:both", "rule:windowed"} <= set(result.window_values.columns)


def test_a_long_value_is_cut_so_that_its_cell_can_be_stored():
    """Values that begin alike share a cell: a text of any length must not hold up a partition."""
    frame = with_attributes({"brand": "x" * 100 + "1"}, {"brand": "x" * 5000})

    (row,) = window_rows(frame, rule(group_by=["brand"]))

    assert row["group_key"] == '{"brand":"' + "x" * 100 + '"}'
    assert row["transactions"] == 2
