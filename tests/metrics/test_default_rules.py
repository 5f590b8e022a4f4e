from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

import metrics
from metrics.extractors import EXTRACTORS, MetricType
from metrics.rules import CompiledMetrics, compile_metrics
from tests.metrics.tables import transactions

DOCUMENT = yaml.safe_load(
    (Path(metrics.__file__).parent / "rule_sets" / "default.yaml").read_text(encoding="utf-8")
)

FAILED = {"payment_status": "failed"}
#: rule -> a transaction that moves it, the value it gives, a transaction that does not move it
MOVES: Mapping[str, tuple[Mapping[str, Any], Any, Mapping[str, Any]]] = {
    "approval_rate": ({}, {"n": 1, "d": 1}, {"payment_status": "pending"}),
    "soft_decline_rate": (
        {**FAILED, "error_code": "Insufficient_Funds"},
        {"n": 1, "d": 1},
        {**FAILED, "transaction_type": "refund"},
    ),
    "hard_decline_rate": (
        {**FAILED, "error_code": "stolen_card"},
        {"n": 1, "d": 1},
        {"payment_status": "cancelled"},
    ),
    "unexplained_failures": (FAILED, 1, {**FAILED, "error_code": "timeout"}),
    "completed_amount": ({}, Decimal("25.0000"), FAILED),
    "failed_amount": (FAILED, Decimal("25.0000"), {}),
    "refunded_amount": (
        {"transaction_type": "refund", "amount": Decimal("-3.5000")},
        Decimal("3.5000"),
        {},
    ),
    "high_value": ({"amount": Decimal(10_000)}, 1, {"amount": Decimal("9999.9999")}),
    "micro_amount": ({"amount": Decimal("1.9999")}, 1, {"amount": Decimal(2)}),
    "nonpositive_amount": ({"amount": Decimal(0)}, 1, {"amount": Decimal("0.0001")}),
    "missing_customer": ({"customer_id": ""}, 1, {}),
    "processing_latency_ms": ({"latency_us": 1_500}, Decimal("1.5"), {"latency_us": None}),
    "slow_share": ({"latency_us": 3_000_001}, {"n": 1, "d": 1}, {"latency_us": None}),
    "largest_payment": ({}, Decimal("25.0000"), {"transaction_type": "refund"}),
}


@pytest.fixture(scope="module")
def rules() -> CompiledMetrics:
    return compile_metrics(DOCUMENT, attributes={})


def values(rules: CompiledMetrics, row: Mapping[str, Any]) -> dict[str, Any]:
    """name -> value of everything that the rule set gives for one transaction."""
    result = rules.extract(transactions(row))
    assert result.errors == {}
    return {
        name: value for metric in result.metrics_of(0) for name, value in metric.metric_data.items()
    }


def test_the_default_rules_fit_every_schema(rules):
    """They compile without any attribute, and there are a dozen and more."""
    assert len(rules.rules) >= 12
    assert DOCUMENT["extractors"] == list(EXTRACTORS)
    assert {rule.metric_type for rule in rules.rules} == set(MetricType)


def test_every_default_rule_has_an_example(rules):
    """A rule cannot be added without an event that moves it and one that does not."""
    assert [rule.name for rule in rules.rules] == list(MOVES)


@pytest.mark.parametrize("name", MOVES)
def test_a_default_rule_moves_when_it_should(rules, name):
    """One transaction moves the rule by the value stated, the other leaves it alone."""
    moving, value, other = MOVES[name]

    assert values(rules, moving)[name] == value
    assert name not in values(rules, other)


def test_a_decline_that_is_neither_soft_nor_hard_counts_below_only(rules):
    """An unknown error code is a decided payment, and no numerator claims it."""
    found = values(rules, {**FAILED, "error_code": "declined"})

    assert found["soft_decline_rate"] == found["hard_decline_rate"] == {"n": 0, "d": 1}
    assert found["approval_rate"] == {"n": 0, "d": 1}


def test_no_code_is_both_a_soft_and_a_hard_decline(rules):
    """The two rates never count one failure twice."""
    where = {rule.name: rule.numerator or "" for rule in rules.rules}
    soft, hard = (
        set(where[name].partition(" IN (")[2].strip("()").split(", "))
        for name in ("soft_decline_rate", "hard_decline_rate")
    )

    assert soft
    assert hard
    assert not soft & hard
