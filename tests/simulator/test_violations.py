"""Violations: as many as stated, over the events they claim, named nowhere but in the key."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from math import sqrt
from typing import Any

import pytest

from payflow.lib.errors import ConfigurationError
from simulator.compliance_config import CATALOGUE
from simulator.config import Shape
from simulator.config_file import scenarios
from simulator.generator import Generator, Kind, SimulatedEvent
from simulator.patterns import BLOCK

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
MIX = scenarios()["compliance-mix"]
COUNT = 6 * BLOCK
KINDS = {f"{scenario}_{name}" for scenario, names in CATALOGUE.items() for name in names}


def generate(shape: Shape, count: int, *, scenario: str = "compliance-mix") -> list[SimulatedEvent]:
    """The first events of a run of 100 a second."""
    generator = Generator(scenarios()[scenario], shape=shape, seed=11, start=START, rate=100)
    return list(itertools.islice(generator, count))


@cache
def sample(shape: Shape = Shape.SIMULATOR) -> list[SimulatedEvent]:
    """Six blocks, made once."""
    return generate(shape, COUNT)


@cache
def patterns(kind: str) -> list[list[dict[str, Any]]]:
    """The bodies of each pattern of a kind, in the order in which they were sent."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in sample():
        if event.answer is not None and event.answer.kind == kind:
            found[event.answer.pattern_id].append(json.loads(event.body, parse_float=Decimal))
    assert found
    return list(found.values())


@cache
def ordinary() -> list[dict[str, Any]]:
    """The bodies of the events that nothing is wrong with."""
    return [json.loads(event.body) for event in sample() if event.kind is Kind.VALID]


def _times(pattern: list[dict[str, Any]]) -> list[datetime]:
    return [datetime.fromisoformat(event["transaction_timestamp"]) for event in pattern]


def _assert_share(seen: int, total: int, expected: float, *, size: int = 1) -> None:
    """Within five standard deviations of a binomial draw of patterns of `size` events."""
    bound = 5 * sqrt(expected * (1 - expected) * size / total)
    assert abs(seen / total - expected) < bound, (seen, total, expected)


def test_the_stated_percentage_is_the_true_one():
    """13 % stated is 13 % of the events: no probability is multiplied by another."""
    violating = sum(event.answer is not None for event in sample())

    _assert_share(violating, COUNT, 0.13)
    assert violating > 0.12 * COUNT


@pytest.mark.parametrize("planned", MIX.compliance.planned(), ids=lambda planned: planned.kind)
def test_each_kind_has_its_share(planned):
    """Total x scenario x pattern, for all 16 kinds."""
    seen = sum(e.answer is not None and e.answer.kind == planned.kind for e in sample())

    _assert_share(seen, COUNT, planned.share, size=planned.transactions)


def test_the_mix_has_the_16_kinds():
    """And card testing is a scenario of its own."""
    assert {planned.kind for planned in MIX.compliance.planned()} == KINDS - {"fraud_card_testing"}
    assert len(KINDS) == 17


@pytest.mark.parametrize("planned", MIX.compliance.planned(), ids=lambda planned: planned.kind)
def test_a_pattern_has_all_its_events_within_its_window(planned):
    """Whole patterns only, numbered in the order in which they were sent."""
    answers = defaultdict(list)
    for event in sample():
        if event.answer is not None and event.answer.kind == planned.kind:
            answers[event.answer.pattern_id].append(event.answer)

    for members in answers.values():
        assert [answer.event for answer in members] == list(range(1, planned.transactions + 1))
        assert {answer.events for answer in members} == {planned.transactions}
        first, last = members[0].occurred_us, members[-1].occurred_us
        assert (last - first) / 1e6 <= max(planned.window_s, 0)


def test_structuring_stays_below_the_threshold_and_passes_it_together():
    """Five payments of one customer, each below 10,000, within an hour."""
    for pattern in patterns("aml_structuring"):
        unit = 100 if pattern[0]["currency"] == "JPY" else 1
        amounts = [event["amount"] for event in pattern]

        assert len({event["customer_id"] for event in pattern}) == 1
        assert len({event["transaction_id"] for event in pattern}) == 5
        assert max(amounts) < 10_000 * unit < sum(amounts)
        assert _times(pattern)[-1] - _times(pattern)[0] <= timedelta(hours=1)


def test_rapid_fire_is_a_hundred_payments_in_a_minute():
    """Of one customer at one merchant."""
    for pattern in patterns("aml_rapid_fire"):
        assert len({event["transaction_id"] for event in pattern}) == 100
        assert len({(event["customer_id"], event["merchant_id"]) for event in pattern}) == 1
        assert _times(pattern)[-1] - _times(pattern)[0] <= timedelta(minutes=1)


def test_card_testing_is_many_cards_small_and_mostly_declined():
    """At one merchant, within a minute."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in generate(Shape.TRANSACTION, BLOCK, scenario="card-testing"):
        if event.answer is not None:
            found[event.answer.pattern_id].append(json.loads(event.body))

    assert len(found) == BLOCK * 0.10 / 40
    for burst in found.values():
        assert len(burst) == 40
        assert len({event["merchant_id"] for event in burst}) == 1
        assert len({event["metadata"]["card_last4"] for event in burst}) > 35
        assert all(event["amount"] <= 2 or event["currency"] == "JPY" for event in burst)
    declined = sum(event["status"] == "declined" for burst in found.values() for event in burst)
    _assert_share(declined, 40 * len(found), 0.85)


def test_a_currency_mismatch_is_a_payment_and_its_refund():
    """Of one transaction, the refund later and in another currency."""
    for payment, refund in patterns("business_rule_currency_mismatch"):
        assert payment["transaction_id"] == refund["transaction_id"]
        assert (payment["transaction_type"], refund["transaction_type"]) == ("payment", "refund")
        assert payment["currency"] != refund["currency"]
        assert _times([payment])[0] < _times([refund])[0]


def test_an_orphan_refund_has_no_payment():
    """Neither before nor after it."""
    seen = Counter(
        json.loads(event.body).get("transaction_id")
        for event in sample()
        if event.kind in (Kind.VALID, Kind.VIOLATION)
    )

    for (refund,) in patterns("business_rule_orphan_refund"):
        assert refund["payment_status"] == "refunded"
        assert seen[refund["transaction_id"]] == 1


@pytest.mark.parametrize(
    ("kind", "is_wrong"),
    [
        ("aml_large_amount", lambda e: e["amount"] >= 50_000),
        ("kyc_missing_customer_id", lambda e: "customer_id" not in e),
        ("kyc_invalid_email", lambda e: "(at)" in e["customer_email"]),
        ("kyc_missing_country", lambda e: "customer_country" not in e),
        ("pci_missing_card_data", lambda e: "card_brand" not in e["metadata"]),
        ("pci_invalid_card_brand", lambda e: e["metadata"]["card_brand"] == "UnknownCard"),
        ("data_quality_negative_amount", lambda e: e["amount"] < 0),
        ("data_quality_zero_amount", lambda e: e["amount"] == 0),
        ("data_quality_invalid_currency", lambda e: e["currency"] == "XXX"),
        ("data_quality_invalid_status", lambda e: e["payment_status"] == "processing"),
        (
            "business_rule_status_mismatch",
            lambda e: (e["transaction_type"], e["payment_status"]) == ("payment", "refunded"),
        ),
    ],
)
def test_a_violation_is_really_in_the_event(kind, is_wrong):
    """Every labelled event shows it, and no ordinary one does."""
    assert all(is_wrong(event) for (event,) in patterns(kind))
    if kind != "aml_large_amount":  # yen and the like
        assert not any(is_wrong(event) for event in ordinary() if "card_brand" in event["metadata"])


def test_a_future_event_says_tomorrow():
    """A day after it was sent."""
    for event in sample():
        if event.answer is not None and event.answer.kind == "data_quality_future_timestamp":
            stated = datetime.fromisoformat(json.loads(event.body)["transaction_timestamp"])
            assert stated - START == timedelta(days=1, microseconds=event.at_us) - (
                START - datetime(1970, 1, 1, tzinfo=UTC)
            )


@pytest.mark.parametrize("shape", Shape)
def test_no_event_says_what_it_is(shape: Shape):
    """Neither kinds nor pattern ids nor the labels of older producers travel in the event."""
    words = [kind.encode() for kind in KINDS] + [b"violation", b"pattern_id", b"severity"]

    for event in generate(shape, BLOCK):
        assert not any(word in event.body for word in words)


def test_events_and_answers_are_the_same_to_the_byte():
    """Same seed, same configuration: same events, same key."""
    assert generate(Shape.TRANSACTION, 12_000) == generate(Shape.TRANSACTION, 12_000)


def test_a_pattern_that_does_not_fit_the_rate_is_refused():
    """With the place in the file and the rate that would do."""
    with pytest.raises(ConfigurationError) as caught:
        Generator(MIX, shape=Shape.SIMULATOR, seed=1, start=START, rate=1)

    (problem,) = caught.value.problems
    assert problem.pointer == "/simulator/compliance/scenarios/aml/patterns/rapid_fire"
    assert "need 1.67 events a second or more, and the rate is 1." in problem.message
