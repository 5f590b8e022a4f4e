from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.columns import TRANSACTION_COLUMNS
from metrics.extraction import MetricGroup, MetricsExtractor
from metrics.extractors import Metric, MetricExtractor, MetricType
from metrics.isolation import RuleFailure
from metrics.rules import CompiledMetrics, compile_metrics
from tests.metrics.tables import ATTRIBUTES, transactions, with_attributes

#: beyond 38 digits for amounts of 10^10 and more, where polars raises
OVERFLOWS = "amount * amount * amount"
HUGE = Decimal("99999999999.9999")


def rule(name: str, **formulas: str) -> dict[str, str]:
    return {"name": name, "description": "A test.", "type": "COUNTER", **formulas}


def compiled(*metrics: dict[str, str], extractors: Sequence[str] = ()) -> CompiledMetrics:
    document = {"extractors": list(extractors), "metrics": list(metrics)}
    return compile_metrics(document, attributes=ATTRIBUTES)


class FailsOnCash(MetricExtractor):
    """An extractor in Python, as others may write it, with a mistake in it."""

    name = "fails_on_cash"

    def metrics(self) -> list[Metric]:
        def checked(methods: pl.Series) -> pl.Series:
            if "cash" in methods:
                raise KeyError("cash")
            return pl.Series([1] * len(methods))

        value = pl.col("payment_method").map_batches(checked, return_dtype=pl.Int64)
        return [
            Metric(name="known_method", metric_type=MetricType.COUNTER, value=value),
            Metric(name="any_method", metric_type=MetricType.GAUGE, value=pl.lit(1)),
        ]


def test_a_result_has_one_row_per_transaction_and_one_column_per_type():
    """The data is aligned with the input; a type without a metric is null, not an empty object."""
    columns = with_attributes({"amount": Decimal(5)}, {"amount": Decimal(50)})

    data = compiled(rule("high", where="amount > 10")).extract(columns).data

    assert data.columns == list(MetricType)
    assert data["COUNTER"].to_list() == [None, '{"high":1}']
    assert data["GAUGE"].to_list() == [None, None]


def test_each_type_collects_its_metrics_without_nulls():
    """Members are joined by commas; those that a transaction does not have leave no trace."""
    metrics = compiled(
        rule("a", where="amount > 10"),
        rule("b", where="amount > 100"),
        rule("c", value="retries"),
        rule("g", type="GAUGE", value="risk_score"),
        rule("h", type="HISTOGRAM", value="latency_us / 1000"),
        rule("r", type="RATE", numerator="is_3ds", denominator="amount"),
    )
    columns = with_attributes({"retries": 3, "risk_score": 0.25, "is_3ds": True}, {})

    data = metrics.extract(columns).data

    assert data.row(0) == (
        '{"a":1,"c":3}',
        '{"g":0.25}',
        '{"h":120.000000}',
        '{"r":{"n":1,"d":25.0000}}',
    )
    assert data.row(1, named=True)["COUNTER"] == '{"a":1}'
    assert data.row(1, named=True)["RATE"] is None


@pytest.mark.parametrize("score", [float("inf"), float("-inf"), float("nan"), None])
def test_a_float_that_is_no_number_is_no_value(score):
    """JSON has no infinity: such a metric is absent and the text stays valid."""
    metrics = compiled(rule("g", type="GAUGE", value="risk_score"), rule("one", value="1"))

    result = metrics.extract(with_attributes({"risk_score": score}))

    assert result.data["GAUGE"].to_list() == [None]
    assert result.data["COUNTER"].to_list() == ['{"one":1}']
    assert result.errors == {}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_reads_back_to_the_same_bits(score):
    """The shortest text of a float is a JSON number and loses nothing."""
    metrics = compiled(rule("g", type="GAUGE", value="risk_score"))

    text = metrics.extract(with_attributes({"risk_score": score})).data["GAUGE"].item()

    assert json.loads(text) == {"g": score}


@given(st.decimals(min_value=-(10**15) + 1, max_value=10**15 - 1, places=4))
def test_an_amount_is_never_rounded(amount):
    """The JSON number of an amount has the amount's own digits."""
    metrics = compiled(rule("money", value="amount"))

    text = metrics.extract(transactions_with(amount)).data["COUNTER"].item()

    assert json.loads(text, parse_float=Decimal)["money"] == amount


def transactions_with(amount: Decimal) -> pl.DataFrame:
    return with_attributes({"amount": amount})


def test_a_constant_is_a_value_of_every_transaction():
    """A rule that reads no column still gives one value per row, and none for no rows."""
    metrics = compiled(rule("one", value="1"))

    assert (
        metrics.extract(with_attributes({}, {}, {})).data["COUNTER"].to_list() == ['{"one":1}'] * 3
    )
    assert metrics.extract(with_attributes()).data.height == 0


def test_a_value_that_is_the_same_everywhere_is_no_failure():
    """polars gives such a comparison once for the batch and then refuses it; the rule counts."""
    metrics = compiled(
        rule("same", where="1 <> CASE WHEN amount > 0 THEN 1.5 ELSE 2.5 END"),
        rule("high", where="amount > 30"),
    )

    result = metrics.extract(with_attributes({}, {"amount": Decimal(50)}, {}))

    assert result.data["COUNTER"].to_list() == ['{"same":1}', '{"same":1,"high":1}', '{"same":1}']
    assert result.errors == {}


def test_a_rule_set_without_rules_gives_nothing():
    """No rules: four columns of nulls."""
    data = compiled().extract(with_attributes({})).data

    assert data.row(0) == (None, None, None, None)


def test_a_failing_rule_does_not_take_others_with_it():
    """Only the offending row is without only the failing rule's metric; the failure is counted."""
    metrics = compiled(rule("cube", value=OVERFLOWS), rule("high", where="amount > 10"))
    columns = with_attributes({"amount": Decimal(20)}, {"amount": HUGE}, {"amount": Decimal(2)})

    result = metrics.extract(columns)

    assert result.data["COUNTER"].to_list() == [
        '{"cube":8000.000000000000,"high":1}',
        '{"high":1}',
        '{"cube":8.000000000000}',
    ]
    assert result.errors == {"cube": RuleFailure(count=1, error_class="ComputeError")}


def test_a_row_that_the_condition_leaves_out_cannot_fail():
    """A value is only an error where the rule applies."""
    metrics = compiled(rule("cube", where="amount < 100", value=OVERFLOWS))

    result = metrics.extract(with_attributes({"amount": HUGE}, {"amount": Decimal(2)}))

    assert result.data["COUNTER"].to_list() == [None, '{"cube":8.000000000000}']
    assert result.errors == {}


def test_a_condition_that_fails_is_counted_once():
    """A failing `where` is a failure of that row, and the row has no metric."""
    metrics = compiled(rule("odd", where=f"{OVERFLOWS} > 5", value="amount"))

    result = metrics.extract(with_attributes({"amount": HUGE}, {"amount": Decimal(2)}))

    assert result.data["COUNTER"].to_list() == [None, '{"odd":2.0000}']
    assert result.errors == {"odd": RuleFailure(count=1, error_class="ComputeError")}


def test_a_failing_extractor_does_not_take_others_with_it():
    """All metrics of the extractor are absent on the offending rows, everything else counts."""
    groups = [
        MetricGroup(owner=FailsOnCash.name, metrics=FailsOnCash().metrics()),
        MetricGroup(owner="fine", metrics=[Metric(name="fine", metric_type=MetricType.COUNTER)]),
    ]
    engine = MetricsExtractor(groups, schema=TRANSACTION_COLUMNS)
    columns = transactions(
        {}, {"payment_method": "cash"}, {}, {"payment_method": "cash"}, {"currency": "USD"}
    )

    result = engine.extract(columns)

    good = '{"known_method":1,"fine":1}'
    assert result.data["COUNTER"].to_list() == [good, '{"fine":1}', good, '{"fine":1}', good]
    assert result.data["GAUGE"].to_list() == ['{"any_method":1}', None] * 2 + ['{"any_method":1}']
    assert result.errors == {"fails_on_cash": RuleFailure(count=2, error_class="KeyError")}


def test_a_failure_does_not_quote_the_payload():
    """A failure names the class of the error and nothing of the values."""
    metrics = compiled(rule("cube", value=OVERFLOWS))

    failure = metrics.extract(with_attributes({"amount": HUGE})).errors["cube"]

    assert repr(failure) == "RuleFailure(count=1, error_class='ComputeError')"


def test_an_extractor_that_gives_text_is_refused():
    """A metric is a number: text is noticed when the rule set is compiled, not in a batch."""
    text = Metric(name="t", metric_type=MetricType.GAUGE, value=pl.col("channel"))

    with pytest.raises(TypeError, match="not String"):
        MetricsExtractor([MetricGroup(owner="t", metrics=[text])], schema=TRANSACTION_COLUMNS)


def test_a_missing_column_is_no_failure_of_a_rule():
    """A table that lacks a column is a mistake of the caller: it raises and counts nothing."""
    with pytest.raises(ValueError, match="channel"):
        compiled(rule("one")).extract(with_attributes({}).drop("channel"))


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "amount": st.sampled_from([Decimal(1), Decimal("0.0300"), HUGE, -HUGE, Decimal(0)]),
            "payment_status": st.sampled_from(["completed", "failed", "pending"]),
            "latency_us": st.one_of(st.none(), st.integers(0, 2**62)),
            "retries": st.one_of(st.none(), st.integers(-3, 3)),
            "risk_score": st.one_of(st.none(), st.floats(allow_nan=False)),
            "brand": st.one_of(st.none(), st.sampled_from(["visa", "17", ""])),
        }
    ),
    max_size=12,
)
MIXED = compiled(
    rule("cube", value=OVERFLOWS),
    rule("guarded", where="amount < 10", value=OVERFLOWS),
    rule("where_fails", where=f"{OVERFLOWS} > 0"),
    rule("quotient", value="amount / retries"),
    rule("scaled", type="GAUGE", value="risk_score * 1e10 / retries"),
    rule("latency", type="HISTOGRAM", value="latency_us * latency_us"),
    rule("parsed", type="GAUGE", value="CAST(brand AS BIGINT) + 1"),
    rule("rate", type="RATE", numerator="brand = 'visa'", denominator="retries"),
    rule("constant", value="1"),
    extractors=["transaction_status", "transaction_amount", "channel_failure_rate"],
)


@given(ROWS, st.integers(1, 12))
def test_results_do_not_depend_on_how_rows_are_split_into_batches(rows, size):
    """Whole, or in batches of any size: the same metrics per row, the same failures in sum."""
    whole = MIXED.extract(with_attributes(*rows))

    parts = [
        MIXED.extract(with_attributes(*rows[start : start + size]))
        for start in range(0, len(rows), size)
    ]

    rejoined = pl.concat([whole.data.clear(), *(part.data for part in parts)])
    assert rejoined.equals(whole.data)
    counts: dict[str, int] = {}
    for part in parts:
        for name, failure in part.errors.items():
            counts[name] = counts.get(name, 0) + failure.count
    assert counts == {name: failure.count for name, failure in whole.errors.items()}
