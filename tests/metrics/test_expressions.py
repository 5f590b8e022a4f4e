from __future__ import annotations

import re
from contextlib import suppress
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.columns import TRANSACTION_COLUMNS
from metrics.expressions import Expression, ExpressionError, Kind, compile_expression, kind_of
from tests.metrics.tables import ATTRIBUTES, with_attributes

KINDS = {name: kind_of(dtype) for name, dtype in {**TRANSACTION_COLUMNS, **ATTRIBUTES}.items()}


def value(text: str, **row: Any) -> Any:
    """The value of an expression on one transaction."""
    columns = with_attributes(row)
    return columns.with_columns(x=compile_expression(text, KINDS).polars())["x"].item()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 4 - 3", 3),
        ("-amount + 5", Decimal("-20")),
        ("amount * 1.5", Decimal("37.5")),
        ("amount / 3", Decimal("8.3333333333")),
        ("amount % 10", Decimal(5)),
        ("latency_us / 1000", Decimal(120)),
        ("ABS(-amount)", Decimal(25)),
        ("ROUND(amount / 3, 2)", Decimal("8.33")),
        ("FLOOR(amount / 2)", Decimal(12)),
        ("ceil(amount / 2)", Decimal(13)),
        ("LEAST(amount, 5, 7)", Decimal(5)),
        ("GREATEST(amount, 50)", Decimal(50)),
        ("COALESCE(latency_us, 0)", 120_000),
        ("NULLIF(channel, 'web')", None),
        ("LENGTH(channel)", 3),
        ("UPPER(LEFT(channel, 2))", "WE"),
        ("SUBSTR(currency, 2, 1)", "U"),
        ("RIGHT(currency, 1)", "R"),
        ("STARTS_WITH(channel, 'w') AND NOT ENDS_WITH(channel, 'w')", True),
        ("channel IN ('pos', 'web')", True),
        ("channel NOT IN ('pos', 'web')", False),
        ("amount IN (25, 30.5)", True),
        ("amount BETWEEN 25 AND 26", True),
        ("amount NOT BETWEEN 25 AND 26", False),
        ("channel LIKE 'w_b' AND channel NOT LIKE 'x%'", True),
        ("latency_us IS NULL OR channel IS NOT NULL", True),
        ("channel != 'web' OR country <> 'DE'", False),
        ("CASE WHEN amount > 100 THEN 2 WHEN amount > 10 THEN 1 ELSE 0 END", 1),
        ("CASE WHEN amount > 100 THEN 2 END", None),
        ("CAST('17' AS BIGINT)", 17),
        ("CAST('no number' AS BIGINT)", None),
        ("CAST('1.25' AS DECIMAL)", Decimal("1.25")),
        ("EXTRACT(HOUR FROM occurred_at) * 100 + EXTRACT(MINUTE FROM occurred_at)", 1234),
        ("EXTRACT(ISODOW FROM occurred_at)", 5),
        ("\"channel\" = 'it''s'", False),
        ("1e3", 1000),
        ("TRUE = FALSE", False),
    ],
)
def test_expressions_mean_what_sql_says(text, expected):
    """Every operator and function of the grammar gives the value that SQL gives."""
    assert value(text) == expected


def test_money_is_compared_exactly():
    """A literal next to an amount is never rounded to a float."""
    assert value("amount = 0.1 + 0.2", amount=Decimal("0.3000")) is True
    assert value("amount > 999999999999999.9998", amount=Decimal("999999999999999.9999")) is True
    assert value("amount > 1e3", amount=Decimal("1000.0001")) is True


def test_numbers_next_to_a_float_are_floats():
    """risk_score is a float; what is computed from it is one too."""
    result = value("risk_score * 0.1 + 1", risk_score=0.5)

    assert isinstance(result, float)
    assert result == 1.05


@pytest.mark.parametrize(
    "text", ["amount / (amount - 25)", "amount % (retries - 2)", "latency_us / 0", "risk_score / 0"]
)
def test_division_by_zero_is_no_value(text):
    """Dividing by zero gives null, neither an error nor infinity."""
    assert value(text, retries=2, risk_score=0.5) is None


def test_integers_do_not_wrap_around():
    """Arithmetic beyond 64 bits keeps every digit."""
    assert value("latency_us * 4", latency_us=2**62) == 2**64
    assert value("latency_us + latency_us", latency_us=2**63 - 1) == 2**64 - 2
    assert value("ABS(latency_us)", latency_us=-(2**63)) == 2**63
    assert value("-latency_us", latency_us=-(2**63)) == 2**63


def test_null_is_neither_true_nor_false():
    """A comparison with a missing value is unknown, also inside NOT and IN."""
    assert value("NOT (retries > 1)") is None
    assert value("retries NOT IN (1, 2)") is None
    assert value("brand IN ('visa')") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a value"),
        ("amount +", "expected a value, found the end"),
        ("amount amount", "expected the end"),
        ("amount AS x", "expected the end"),
        ("amount -- comment\n", "cannot read '-'"),
        ("amount; amount", "cannot read ';'"),
        ("'open", "cannot read"),
        ("1.2.3", "cannot read"),
        ("*", "expected a value"),
        ("amuont > 1", "unknown column 'amuont'"),
        ("metadata = 'x'", "unknown column"),
        ("t.amount", "cannot read '.'"),
        ("SUM(amount)", "SUM is an aggregate"),
        ("COUNT(*)", "COUNT is an aggregate"),
        ("ROW_NUMBER() OVER ()", "not allowed"),
        ("NOW()", "NOW is a clock"),
        ("CURRENT_DATE", "unknown column"),
        ("RANDOM()", "not allowed"),
        ("READ_CSV('/etc/passwd')", "not allowed"),
        ("(SELECT 1)", "subqueries are not allowed"),
        ("amount > channel", "mixes"),
        ("channel + 1", "takes numbers, not text"),
        ("amount AND TRUE", "AND takes boolean"),
        ("NOT amount", "NOT takes boolean"),
        ("is_3ds > FALSE", "takes numbers or text, not boolean"),
        ("channel LIKE brand", "pattern in quotes"),
        ("amount LIKE '1%'", "LIKE takes text"),
        ("amount NOT 1", "expected IN, BETWEEN or LIKE"),
        ("CASE ELSE 1 END", "expected WHEN"),
        ("CASE WHEN TRUE THEN 1 ELSE 'a' END", "CASE mixes"),
        ("COALESCE(amount, 'x')", "COALESCE mixes"),
        ("ABS(channel)", "ABS takes numbers"),
        ("UPPER(amount)", "UPPER takes text"),
        ("ROUND(amount, latency_us)", "whole number"),
        ("ROUND(amount, 7)", "whole number from 0 to 6"),
        ("SUBSTR(channel, 0)", "from 1"),
        ("LENGTH()", "expected a value"),
        ("LENGTH(channel, channel)", "takes 1 arguments, not 2"),
        ("CAST(amount AS BLOB)", "CAST knows"),
        ("CAST(occurred_at AS BIGINT)", "CAST takes numbers or text"),
        ("EXTRACT(EPOCH FROM occurred_at)", "EXTRACT knows"),
        ("EXTRACT(HOUR FROM amount)", "EXTRACT takes time"),
        ("1e400", "more than 18 digits"),
        ("0.12345678901", "more than 10 decimals"),
        ("(" * 13 + "1" + ")" * 13, "nested more than 12 levels"),
        ("+".join(["1"] * 200), "at most 300"),
        ("'" + "x" * 2_000 + "'", "at most 2,000"),
    ],
)
def test_what_is_no_rule_about_one_transaction_is_refused(text, message):
    """Aggregates, windows, clocks, subqueries, wrong kinds and oversized texts are refused."""
    with pytest.raises(ExpressionError, match=re.escape(message)):
        compile_expression(text, KINDS)


def test_lists_within_lists_are_refused_before_they_fill_the_memory():
    """IN of numbers writes its left side once per number: 8 to the 10th copies are too many."""
    text = "amount"
    for _ in range(10):
        text = f"CASE WHEN {text} IN (1,2,3,4,5,6,7,8) THEN 1 END"

    with pytest.raises(ExpressionError, match="is too large"):
        compile_expression(text, KINDS)


def test_a_long_list_of_numbers_is_no_nested_one():
    """As many numbers as the parts allow."""
    numbers = ", ".join(str(10**9 + n) for n in range(140))

    assert compile_expression(f"amount IN ({numbers})", KINDS).kind is Kind.BOOLEAN


def test_the_canonical_text_does_not_depend_on_spelling():
    """Two spellings of one rule have one text, so that a rule's version can be its hash."""
    one = compile_expression("amount>1 and channel in ('web')", KINDS)
    other = compile_expression(" amount  >  1.0 AND\n channel IN ( 'web' ) ", KINDS)

    assert one.sql == other.sql
    assert one.kind is Kind.BOOLEAN
    assert one.columns == {"amount", "channel"}


def test_the_largest_expression_is_cheap():
    """An expression at every limit compiles and runs; polars needs minutes far beyond them."""
    nested = "(amount > 1 AND " * 11 + "TRUE" + ")" * 11
    long = " OR ".join(["amount = 1"] * 70)

    assert value(nested) is True
    assert value(long) is False


Texts = st.SearchStrategy[str]

NUMBERS = st.sampled_from(
    ["amount", "latency_us", "retries", "risk_score", "0", "2", "-3", "0.25", "1e3"]
)
TEXTS = st.sampled_from(["channel", "brand", "'web'", "''", "'it''s'", "'%_\\'"])
TRUTHS = st.sampled_from(["is_3ds", "TRUE", "latency_us IS NULL", "brand IS NOT NULL"])


def deeper(numbers: Texts, texts: Texts, truths: Texts) -> tuple[Texts, Texts, Texts]:
    """Expressions of each kind, made of smaller ones."""

    def of(pattern: str, *parts: Texts) -> Texts:
        return st.builds(pattern.format, *parts)

    def chosen(*patterns: str) -> Texts:
        return st.sampled_from(patterns)

    operation = st.builds(
        lambda a, op, b: f"({a} {op} {b})", numbers, chosen("+", "-", "*", "/", "%"), numbers
    )
    comparison = chosen("=", "<>", "<", "<=", ">", ">=")
    calls = chosen("ABS({})", "FLOOR({})", "CEIL({})", "ROUND({}, 2)", "-({})")
    more_numbers = st.one_of(
        operation,
        st.builds(lambda pattern, x: pattern.format(x), calls, numbers),
        of("LEAST({}, {})", numbers, numbers),
        of("GREATEST({}, {})", numbers, numbers),
        of("COALESCE({}, {})", numbers, numbers),
        of("NULLIF({}, {})", numbers, numbers),
        of("CASE WHEN {} THEN {} ELSE {} END", truths, numbers, numbers),
        of("CAST({} AS BIGINT)", st.one_of(numbers, texts)),
        of("CAST({} AS DECIMAL)", st.one_of(numbers, texts)),
        of("LENGTH({})", texts),
    )
    more_texts = st.one_of(
        of("UPPER({})", texts),
        of("SUBSTR({}, 2, 3)", texts),
        of("LEFT({}, 1)", texts),
        of("COALESCE({}, {})", texts, texts),
        of("CASE WHEN {} THEN {} END", truths, texts),
    )
    more_truths = st.one_of(
        st.builds(lambda a, op, b: f"({a} {op} {b})", numbers, comparison, numbers),
        st.builds(lambda a, op, b: f"({a} {op} {b})", texts, comparison, texts),
        of("({} AND {})", truths, truths),
        of("({} OR {})", truths, truths),
        of("(NOT {})", truths),
        of("({} BETWEEN {} AND {})", numbers, numbers, numbers),
        of("({} IN ({}, {}))", numbers, numbers, numbers),
        of("({} NOT IN ('web', 'x'))", texts),
        of("({} LIKE 'w%_')", texts),
        of("STARTS_WITH({}, {})", texts, texts),
    )
    return more_numbers, more_texts, more_truths


LEVEL_2 = deeper(NUMBERS, TEXTS, TRUTHS)
LEVEL_3 = deeper(*(st.one_of(a, b) for a, b in zip((NUMBERS, TEXTS, TRUTHS), LEVEL_2, strict=True)))
KINDS_OF_LEVEL = (
    {Kind.INTEGER, Kind.EXACT, Kind.FLOAT},
    {Kind.TEXT},
    {Kind.BOOLEAN},
)
ROWS = with_attributes(
    {"retries": 2, "risk_score": 0.5, "is_3ds": True, "brand": "visa"},
    {"retries": 0, "risk_score": -1e308, "is_3ds": False, "brand": "17", "amount": Decimal(0)},
    {"latency_us": None},
)


def same(value: Any) -> Any:
    """NaN equals itself here; 0.0 and -0.0 are one number for jsonb too."""
    return "NaN" if value != value else value  # noqa: PLR0124


def on(columns: pl.DataFrame, expression: Expression) -> list[Any] | None:
    """The value for each row, None when polars raises for one of them."""
    try:
        values = columns.select(x=expression.polars())["x"].to_list()
    except pl.exceptions.ComputeError:
        return None
    return values if len(values) == columns.height else values * columns.height


@settings(max_examples=300)
@given(st.integers(0, 2).flatmap(lambda level: st.tuples(st.just(level), LEVEL_3[level])))
def test_what_the_grammar_takes_polars_computes_row_by_row(case):
    """Any well-formed expression has the kind it says, and a row's value is the row's own."""
    level, text = case

    expression = compile_expression(text, KINDS)

    dtype = ROWS.lazy().select(x=expression.polars()).collect_schema()["x"]
    assert kind_of(dtype) is expression.kind
    assert expression.kind in KINDS_OF_LEVEL[level]
    together = on(ROWS, expression)
    alone = [on(ROWS[row], expression) for row in range(ROWS.height)]
    if together is None:
        assert None in alone
    else:
        assert [same(value) for value in together] == [
            same(value) for values in alone for value in values or ["error"]
        ]


WORDS = """amount channel 1 0.5 'a' ( ) , + - / * % = < IN IS NOT NULL AND CASE WHEN THEN END
BETWEEN LIKE ABS EXTRACT FROM HOUR occurred_at CAST AS BIGINT"""


@given(st.lists(st.sampled_from(WORDS.split()), max_size=8))
def test_any_text_is_an_expression_or_a_clear_refusal(words):
    """Whatever is typed either compiles down to polars or raises ExpressionError."""
    with suppress(ExpressionError):
        compile_expression(" ".join(words), KINDS).polars()
