"""The shipped metric rules: each moves when it should, in the right group, and not otherwise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

import metrics
from metrics.columns import COMMON_ATTRIBUTES, TRANSACTION_COLUMNS
from metrics.extractors import EXTRACTORS, MetricType
from metrics.rules import CompiledMetrics, MetricRule, compile_metrics
from tests.metrics.tables import table

DOCUMENT = yaml.safe_load(
    (Path(metrics.__file__).parent / "rule_sets" / "default.yaml").read_text(encoding="utf-8")
)
SCHEMA = {**TRANSACTION_COLUMNS, **COMMON_ATTRIBUTES}

Event = Mapping[str, Any]
FAILED: Event = {"payment_status": "failed"}
PENDING: Event = {"payment_status": "pending"}
REFUND: Event = {"transaction_type": "refund"}
CHARGEBACK: Event = {"transaction_type": "chargeback"}
#: of a RATE: numerator and denominator that one event adds
HIT, MISS = (1, 1), (0, 1)
AMOUNT = Decimal("25.0000")


def failed(code: str) -> Event:
    return {**FAILED, "error_code": code}


def at(day: int, hour: int) -> Event:
    """In March 2024; the 1st is a Friday."""
    return {"occurred_at": datetime(2024, 3, day, hour, tzinfo=UTC)}


def amount(value: str) -> Event:
    return {"amount": Decimal(value)}


#: rule -> an event that moves it, what it adds, an event that does not move it
MOVES: Mapping[str, tuple[Event, Any, Event]] = {
    "approval_rate": ({}, HIT, PENDING),
    "approval_by_channel": (FAILED, MISS, REFUND),
    "approval_by_method": ({}, HIT, {"payment_status": "cancelled"}),
    "approval_by_processor_method": ({}, HIT, {"processor": ""}),
    "approval_by_country": (FAILED, MISS, CHARGEBACK),
    "approval_by_category": ({}, HIT, {"payment_status": "refunded"}),
    "approval_by_merchant": ({}, HIT, {"merchant_id": ""}),
    "approval_by_card_brand": ({"card_brand": "Visa"}, HIT, {"card_brand": None}),
    "pending_share": (PENDING, HIT, REFUND),
    "cancelled_share": ({}, MISS, REFUND),
    "soft_decline_rate": (failed("Insufficient_Funds"), HIT, {**FAILED, **REFUND}),
    "hard_decline_rate": (failed("stolen_card"), HIT, {"payment_status": "cancelled"}),
    "soft_declines_by_code": (failed("timeout"), 1, failed("lost_card")),
    "hard_declines_by_code": (failed("lost_card"), 1, failed("timeout")),
    "failures_by_processor_and_code": (failed("timeout"), 1, {"error_code": "timeout"}),
    "technical_failure_share": (failed("processing_error"), HIT, {"processor": ""}),
    "insufficient_funds_share": (failed("51"), HIT, PENDING),
    "fraud_declines": (failed("fraudulent"), 1, failed("insufficient_funds")),
    "authentication_failures": (failed("3ds_failed"), 1, failed("expired_card")),
    "unexplained_failures": (FAILED, 1, failed("timeout")),
    "retry_share": ({"attempt": 2}, HIT, {"attempt": None}),
    "retry_approval_rate": ({"attempt": 3, **FAILED}, MISS, {"attempt": 1}),
    "attempts": ({"attempt": 4}, 4, {"attempt": None}),
    "processing_latency_ms": ({"latency_us": 1_500}, 1, {"latency_us": None}),
    "latency_by_processor_ms": ({"latency_us": 1_500}, 1, {"processor": ""}),
    "slow_share": ({"latency_us": 3_000_001}, HIT, {"latency_us": None}),
    "slow_share_by_method": ({"latency_us": 3_000_000}, MISS, {"latency_us": None}),
    "longest_latency_ms": ({"latency_us": 1_500}, Decimal("1.5"), {"latency_us": None}),
    "completed_amount": ({}, AMOUNT, FAILED),
    "failed_amount": (FAILED, AMOUNT, {}),
    "failed_amount_by_processor": (FAILED, AMOUNT, {**FAILED, "processor": ""}),
    "amount_by_merchant": ({}, AMOUNT, CHARGEBACK),
    "amount_by_country": ({}, AMOUNT, PENDING),
    "largest_payment": ({}, AMOUNT, REFUND),
    "high_value": (amount("10000"), 1, amount("9999.9999")),
    "just_below_threshold": (amount("9000"), 1, amount("10000")),
    "round_amount_share": (amount("300"), HIT, amount("99.99")),
    "micro_amount": (amount("1.9999"), 1, amount("2")),
    "micro_amounts_by_merchant": (amount("0.01"), 1, amount("0")),
    "nonpositive_amount": (amount("0"), 1, amount("0.0001")),
    "refunded_amount": ({**REFUND, **amount("-3.5")}, Decimal("3.5"), {}),
    "refund_share": ({"payment_status": "refunded"}, HIT, FAILED),
    "refunds_by_merchant": (REFUND, AMOUNT, {**REFUND, "merchant_id": ""}),
    "refund_failure_share": ({**REFUND, **FAILED}, HIT, FAILED),
    "chargeback_share": (CHARGEBACK, HIT, REFUND),
    "chargebacks_by_merchant": ({"transaction_type": "dispute"}, 1, REFUND),
    "disputed_share": ({"disputed": True}, HIT, {"disputed": None}),
    "cross_border_share": (
        {"card_country": "FR", "merchant_country": "DE"},
        HIT,
        {"card_country": "FR"},
    ),
    "cross_border_approval_rate": (
        {"card_country": "FR", "merchant_country": "DE"},
        HIT,
        {"card_country": "DE", "merchant_country": "DE"},
    ),
    "foreign_card_share": ({"card_country": "FR"}, HIT, {"card_country": "FR", "country": ""}),
    "three_ds_share": (
        {"three_ds_verified": True},
        HIT,
        {"three_ds_verified": False, "payment_method": "bank_transfer"},
    ),
    "three_ds_approval_rate": (
        {"three_ds_verified": True, **FAILED},
        MISS,
        {"three_ds_verified": False},
    ),
    "high_risk_share": ({"risk_score": 0.75}, HIT, {"risk_score": None}),
    "high_risk_completed": ({"risk_score": 0.9}, 1, {"risk_score": 0.9, **FAILED}),
    "cvv_missing_share": ({"cvv_provided": False}, HIT, {"cvv_provided": None}),
    "volume_by_channel_method": (PENDING, 1, {}),
    "volume_by_processor": (REFUND, 1, {"processor": ""}),
    "volume_by_country": (REFUND, 1, {}),
    "currency_mix": (REFUND, 1, {}),
    "night_share": (at(1, 5), HIT, {**at(1, 5), **REFUND}),
    "weekend_share": (at(3, 12), HIT, {**at(3, 12), **REFUND}),
    "missing_customer": ({"customer_id": ""}, 1, {}),
    "missing_merchant": ({"merchant_id": ""}, 1, {}),
    "missing_country": ({"country": ""}, 1, {}),
    "missing_channel": ({"channel": ""}, 1, {}),
    "missing_latency_share": ({"latency_us": None}, HIT, {}),
    "missing_card_data": (
        {"card_brand": "Visa"},
        1,
        {"card_brand": "Visa", "card_last4": "4242"},
    ),
}
#: RATEs and counts that every transaction enters: the second event moves another cell or less
ALWAYS: Mapping[str, tuple[Event, Any]] = {
    "volume_by_channel_method": ({"channel": "pos"}, 1),
    "volume_by_country": ({"country": "FR"}, 1),
    "currency_mix": ({"currency": "JPY"}, 1),
    "missing_latency_share": ({}, MISS),
}
#: numerators: an event of the denominator that leaves them alone
BELOW_ONLY: Mapping[str, Event] = {
    "approval_rate": FAILED,
    "approval_by_channel": failed("timeout"),
    "approval_by_method": FAILED,
    "approval_by_processor_method": FAILED,
    "approval_by_country": FAILED,
    "approval_by_category": FAILED,
    "approval_by_merchant": FAILED,
    "approval_by_card_brand": {"card_brand": "Visa", **FAILED},
    "pending_share": {},
    "cancelled_share": PENDING,
    "soft_decline_rate": failed("declined"),
    "hard_decline_rate": failed("declined"),
    "technical_failure_share": failed("lost_card"),
    "insufficient_funds_share": failed("lost_card"),
    "retry_share": {"attempt": 1},
    "retry_approval_rate": {"attempt": 2, **FAILED},
    "slow_share": {"latency_us": 3_000_000},
    "slow_share_by_method": {"latency_us": 1},
    "round_amount_share": amount("100.01"),
    "refund_share": {},
    "refund_failure_share": {**REFUND, "payment_status": "refunded"},
    "chargeback_share": {},
    "disputed_share": {"disputed": False},
    "cross_border_share": {"card_country": "DE", "merchant_country": "DE"},
    "cross_border_approval_rate": {"card_country": "FR", "merchant_country": "DE", **FAILED},
    "foreign_card_share": {"card_country": "DE"},
    "three_ds_share": {"three_ds_verified": False},
    "three_ds_approval_rate": {"three_ds_verified": True, **FAILED},
    "high_risk_share": {"risk_score": 0.7499},
    "cvv_missing_share": {"cvv_provided": True},
    "night_share": at(1, 6),
    "weekend_share": at(1, 12),
    "missing_latency_share": {},
}


def compiled() -> CompiledMetrics:
    return compile_metrics(DOCUMENT, attributes=COMMON_ATTRIBUTES)


RULES: Mapping[str, MetricRule] = {rule.name: rule for rule in compiled().rules}


@pytest.fixture(scope="module")
def rules() -> CompiledMetrics:
    return compiled()


def moved(rules: CompiledMetrics, event: Event) -> dict[str, tuple[dict[str, str], Any]]:
    """rule -> group and value of every cell that one event makes; of a histogram, events."""
    frame = table([event], SCHEMA).with_columns(key_hex=pl.lit("00" * 16))
    result = rules.extract(frame)
    assert result.errors == {}
    cells = rules.windows.cells(frame.hstack(result.window_values))
    found = {
        row["rule"]: (json.loads(row["group_key"]), _added(row)) for row in cells.windows.to_dicts()
    }
    return found | {
        row["rule"]: (json.loads(row["group_key"]), row["events"])
        for row in cells.buckets.to_dicts()
    }


def _added(cell: Mapping[str, Any]) -> Any:
    rule = RULES.get(cell["rule"])
    if rule is not None and rule.metric_type is MetricType.RATE:
        return cell["value_sum"], cell["denominator"]
    return cell["value_sum"]


def test_the_default_rules_are_many_and_of_every_type(rules):
    """Fifty and more, per transaction and windowed; few of them cost a row per merchant."""
    windowed = [rule for rule in rules.rules if not rule.is_per_transaction]
    by_merchant = [rule.name for rule in windowed if "merchant_id" in rule.group_by]

    assert len(rules.rules) >= 50
    assert DOCUMENT["extractors"] == list(EXTRACTORS)
    assert {rule.metric_type for rule in rules.rules} == set(MetricType)
    assert 10 <= len(windowed) <= len(rules.rules) - 10
    assert len(by_merchant) <= 5


def test_the_default_rules_serve_any_schema():
    """Without one attribute fifty are left: only those about attributes are left out."""
    bare = compile_metrics(DOCUMENT, attributes={})

    assert len(bare.rules) >= 50
    assert "retry_share" in RULES
    assert "retry_share" not in {rule.name for rule in bare.rules}


def test_every_default_rule_has_an_example():
    """A rule cannot be added without an event that moves it and one that does not."""
    rates = [rule.name for rule in RULES.values() if rule.metric_type is MetricType.RATE]

    assert list(RULES) == list(MOVES)
    assert rates == list(BELOW_ONLY)


@pytest.mark.parametrize("name", MOVES)
def test_a_default_rule_moves_when_it_should(rules, name):
    """One event moves the cell of its own group by the value stated."""
    event, value, _ = MOVES[name]

    group, added = moved(rules, event)[name]

    assert added == value
    (row,) = table([event], SCHEMA).to_dicts()
    assert group == {column: row[column] for column in RULES[name].group_by}


@pytest.mark.parametrize("name", [name for name in MOVES if name not in ALWAYS])
def test_a_default_rule_rests_when_it_should(rules, name):
    """The other event makes no cell of the rule."""
    assert name not in moved(rules, MOVES[name][2])


@pytest.mark.parametrize("name", ALWAYS)
def test_a_rule_of_every_event_moves_another_cell(rules, name):
    """Where every event counts, another group moves, or the denominator alone."""
    event, value = ALWAYS[name]

    group, added = moved(rules, event)[name]

    assert added == value
    assert (group, added) != moved(rules, MOVES[name][0])[name]


@pytest.mark.parametrize("name", BELOW_ONLY)
def test_a_rate_has_events_below_that_are_not_above(rules, name):
    """The denominator counts the event, the numerator does not."""
    assert moved(rules, BELOW_ONLY[name])[name][1] == MISS


@pytest.mark.parametrize("name", [n for n, rule in RULES.items() if rule.is_per_transaction])
def test_a_rule_without_group_is_kept_with_the_transaction(rules, name):
    """The transaction's page shows the value that the rule gave."""
    result = rules.extract(table([MOVES[name][0]], SCHEMA))

    assert name in {key for metric in result.metrics_of(0) for key in metric.metric_data}


def test_stripe_scores_are_read_on_their_own_scale(rules):
    """74 of 100 is no high risk, though it is more than 0.75."""
    low, high = (
        moved(rules, {"processor": "stripe", "risk_score": score})["high_risk_share"][1]
        for score in (74.0, 75.0)
    )

    assert (low, high) == (MISS, HIT)


def test_no_code_is_both_a_soft_and_a_hard_decline():
    """The two rates never count one failure twice."""
    soft, hard = (
        set((RULES[name].numerator or "").partition(" IN (")[2].strip("()").split(", "))
        for name in ("soft_decline_rate", "hard_decline_rate")
    )

    assert soft
    assert hard
    assert not soft & hard
