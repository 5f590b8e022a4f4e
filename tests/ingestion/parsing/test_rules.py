from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from ingestion.parsing import patterns, rules
from ingestion.parsing.patterns import search, to_rust
from ingestion.parsing.reading import read_object
from ingestion.parsing.reasons import Reason
from ingestion.parsing.rules import (
    AllowedValuesRule,
    AllRules,
    LengthRule,
    PatternRule,
    PropertiesRule,
    RangeRule,
    RequiredRule,
    TypeRule,
    comparable,
    is_multiple,
)
from ingestion.parsing.schema import compile_schema
from ingestion.parsing.slow import MAX_ERRORS
from tests.ingestion.parsing.agreement import EVENT, everything, to_json

EVENT_RULES = AllRules(
    (
        RequiredRule(("id", "amount", "status")),
        PropertiesRule(
            {
                "id": AllRules((TypeRule(("string",)), LengthRule(shortest=3))),
                "amount": RangeRule(above=Decimal(0), maximum=Decimal(100)),
                "status": AllowedValuesRule(frozenset({comparable("ok"), comparable("failed")})),
                "code": PatternRule("^[A-Z]+$", to_rust("^[A-Z]+$")),
            }
        ),
    )
)


def test_rules_compose_and_collect_everything():
    """Rules put together find every mistake of an event, each at its own field."""
    event = read_object(b'{"id":"x","amount":0,"code":"a1"}')

    errors = [(error.field, error.constraint) for error in EVENT_RULES.check(event, "")]

    assert errors == [
        ("status", Reason.REQUIRED),
        ("id", Reason.WRONG_LENGTH),
        ("amount", Reason.OUT_OF_RANGE),
        ("code", Reason.PATTERN_MISMATCH),
    ]


def test_first_stops_at_the_first_mistake():
    """Fail-fast evaluates no rule behind the first that fails."""

    class Bomb(TypeRule):
        def check(self, value, field):
            raise AssertionError("this rule must not be asked")

    rules = AllRules((TypeRule(("string",)), Bomb(("string",))))

    error = rules.first(None, "x")

    assert error is not None
    assert error.constraint is Reason.WRONG_TYPE


def test_fail_fast_gives_the_first_of_all_reasons():
    """`fail_fast` of a compiled schema gives one reason, the first of the complete list."""
    body = to_json({**EVENT, "share": "-1", "email": '"nobody"', "at": '"never"'}).encode()
    schema = everything()

    every = schema.judge(body).errors
    fast = schema.judge(body, fail_fast=True).errors

    assert [error.constraint for error in every] == [
        Reason.INVALID_FORMAT,
        Reason.OUT_OF_RANGE,
        Reason.INVALID_TIME,
    ]
    assert fast == every[:1]


def test_a_field_that_fails_a_rule_is_not_reported_again_by_the_mapping():
    """One cause, one error."""
    event = {name: text for name, text in EVENT.items() if name != "at"}

    errors = everything().judge(to_json(event).encode()).errors

    assert [(error.field, error.constraint) for error in errors] == [("at", Reason.REQUIRED)]


@pytest.mark.parametrize(
    ("number", "divisor", "expected"),
    [
        ("0", "3", True),
        ("4.5", "1.5", True),
        ("0.0075", "0.0001", True),
        ("0.00751", "0.0001", False),
        ("1.10", "0.1", True),
        ("-9", "3", True),
        ("-10", "3", False),
        ("1e308", "0.123456789", False),
        ("1e999999999999", "8", True),
        ("1e-999999999999", "2", False),
        ("9" * 5000, "9", True),
    ],
)
def test_multiples_are_exact_at_any_size(number, divisor, expected):
    """Divisibility of decimals, without floats and without building huge integers."""
    assert is_multiple(Decimal(number), Decimal(divisor)) is expected


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("b", "abc", True),
        ("^a*$", "aa\n", False),
        (r"^\d$", "\u0663", False),
        (r"^\w$", "\u00e9", False),
        (r"^\S$", "\u00e9", True),
        (r"^\s$", "\ufeff", True),
        (r"^[\d-]+$", "1-2", True),
        ("^[[]$", "[", True),
        ("^[a&&b]+$", "a&b", True),
        (r"^\u0041\/\cJ$", "A/\n", True),
        (r"^\p{Lu}$", "\u00c9", True),
        ("^.$", "\U0001f600", True),
        ("^.$", "\u2028", False),
        (r"^[\b]$", "\x08", True),
        ("^.$", "\ud800", True),
    ],
)
def test_patterns_mean_what_ecma_262_says(pattern, text, expected):
    """Patterns search anywhere and read as JSON Schema's dialect, not as the engine's own."""
    assert search(to_rust(pattern), text) is expected


@pytest.mark.parametrize(
    "pattern", ["(?!a)", "(?<=a)b", r"(a)\1", r"\k<x>", "(", "a{2", "[b-a]", r"\q"]
)
def test_patterns_that_mean_something_else_are_refused(pattern):
    """What the engine cannot do, or would read differently, is no pattern."""
    with pytest.raises(ValueError, match=r"not|support"):
        to_rust(pattern)


def test_a_pattern_that_explodes_elsewhere_is_linear():
    """A pattern that backtracks for ever in other engines is answered at once."""
    assert search(to_rust("^(a+)+$"), "a" * 50_000 + "b") is False


SMALL: dict[str, Any] = {
    "name": "small",
    "columns": {
        "transaction_id": {"path": "id"},
        "occurred_at": {"path": "at", "format": "epoch_s"},
        "amount": {"path": "amount", "unit": "major"},
        "currency": {"constant": "EUR"},
        "payment_status": {"constant": "completed"},
    },
}
_ODD: tuple[Any, ...] = (
    "a",
    "b",
    1,
    None,
    True,
    "\ud800",
    [],
    ["b", "a"],
    {"x": "b"},
    {"y": ["b"]},
)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": ["string", "array"], "pattern": "a"},
        {"properties": {"x": {"pattern": "a"}, "y": {"items": {"pattern": "a"}}}},
        {"additionalProperties": {"items": {"pattern": "a"}, "type": "array"}},
        {"items": {"pattern": "a"}, "enum": ["a", ["b", "a"], None]},
        {"additionalProperties": False, "properties": {"x": {}}},
    ],
)
def test_many_values_together_are_judged_like_each_alone(schema):
    """Whatever the keywords, and wherever the text is."""
    compiled = compile_schema(
        {**SMALL, "json_schema": {"properties": {"l": {"items": schema}}}}, name="small"
    )

    def judged(*values: Any) -> list[str]:
        body = json.dumps({"id": "1", "at": 1772359200, "amount": 1, "l": values}).encode()
        return [error.message for error in compiled.judge(body).errors]

    alone = [
        message.replace("l[0]", f"l[{at}]")
        for at, value in enumerate(_ODD)
        for message in judged(value)
    ]
    assert judged(*_ODD) == alone
    assert alone


def test_a_long_array_costs_one_search_and_says_a_hundred_reasons(monkeypatch):
    """A message of 1 MiB has 200,000 texts: one by one they would outlast the lease."""
    searched: list[int] = []

    def search_all(rust: str, texts: list[str]) -> list[bool]:
        searched.append(len(texts))
        return patterns.search_all(rust, texts)

    monkeypatch.setattr(rules, "search_all", search_all)
    compiled = compile_schema(
        {**SMALL, "json_schema": {"properties": {"l": {"items": {"pattern": "a"}}}}}, name="small"
    )
    body = json.dumps({"id": "1", "at": 1772359200, "amount": 1, "l": ["b"] * 5_000}).encode()

    errors = compiled.judge(body).errors

    assert searched == [5_000]
    assert [error.field for error in errors] == [f"l[{at}]" for at in range(MAX_ERRORS)]
