"""The shipped compliance rules: each finds what it should and leaves its neighbour alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

import metrics
from metrics.columns import COMMON_ATTRIBUTES, TRANSACTION_COLUMNS
from metrics.compliance import CompiledCompliance, compile_compliance
from payflow.lib.iso import MINOR_DIGITS
from tests.metrics.tables import table

DOCUMENT = yaml.safe_load(
    (Path(metrics.__file__).parent / "rule_sets" / "compliance.yaml").read_text(encoding="utf-8")
)
SCHEMA = {**TRANSACTION_COLUMNS, **COMMON_ATTRIBUTES}
#: an ordinary card payment breaks no rule
CLEAN: Mapping[str, Any] = {
    "card_brand": "Visa",
    "card_last4": "4242",
    "customer_email": "ada@example.com",
}
REFUND = {"transaction_type": "refund"}

#: rule -> events that break it, events next to them that do not
FINDS: Mapping[str, tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]] = {
    "aml_large_amount": (
        [{"amount": Decimal(50_000)}, {"amount": Decimal(5_000_000), "currency": "JPY"}],
        [
            {"amount": Decimal("49999.99")},
            {"amount": Decimal(50_000), **REFUND},
            {"amount": Decimal(4_999_999), "currency": "JPY"},
        ],
    ),
    "kyc_missing_customer_id": ([{"customer_id": ""}], [{"customer_id": "C"}]),
    "kyc_missing_country": ([{"country": ""}], [{"country": "FR"}]),
    "kyc_invalid_email": (
        [
            {"customer_email": text}
            for text in ("nobody", "@example.com", "a@", "a@b", "a@@example.com", "a b@c.de", "a@.")
        ],
        [{"customer_email": text} for text in (None, "a@b.c", "ada+x@mail.example.co.uk")],
    ),
    "pci_missing_card_data": (
        [
            {"card_last4": None},
            {"card_brand": None, "payment_method": "debit_card"},
            {"card_last4": "", "payment_method": "card"},
        ],
        [{"card_last4": None, "card_brand": None, "payment_method": "bank_transfer"}],
    ),
    "pci_invalid_card_brand": (
        [{"card_brand": "Vsia"}, {"card_brand": "411111"}],
        [{"card_brand": "MASTERCARD"}, {"card_brand": "American Express"}],
    ),
    "data_quality_negative_amount": (
        [{"amount": Decimal("-0.01")}],
        [{"amount": Decimal("-5"), **REFUND}, {"amount": Decimal("0.01")}],
    ),
    "data_quality_zero_amount": (
        [{"amount": Decimal(0)}],
        [
            {"amount": Decimal(0), "transaction_type": "verification"},
            {"amount": Decimal("0.01")},
        ],
    ),
    "data_quality_invalid_currency": (
        [{"currency": "XTS"}, {"currency": "XAU"}],
        [{"currency": "XOF", "amount": Decimal(25)}, {"currency": "USD"}],
    ),
    "data_quality_currency_decimals": (
        [
            {"amount": Decimal("10.50"), "currency": "JPY"},
            {"amount": Decimal("1.001"), "currency": "EUR"},
            {"amount": Decimal("-0.0001"), "currency": "KWD", **REFUND},
        ],
        [
            {"amount": Decimal("1050"), "currency": "JPY"},
            {"amount": Decimal("-1.01"), "currency": "EUR", **REFUND},
            {"amount": Decimal("1.001"), "currency": "KWD"},
            {"amount": Decimal("999999999999999.99"), "currency": "EUR", **REFUND},
        ],
    ),
    "business_rule_status_mismatch": (
        [
            {"error_code": "timeout"},
            {"payment_status": "refunded", **REFUND, "error_code": "declined"},
            {"payment_status": "refunded"},
            {"payment_status": "failed", "error_code": "Declined", **REFUND},
        ],
        [
            {"payment_status": "failed", "error_code": "timeout"},
            {"payment_status": "failed", "error_code": "declined"},
            {"payment_status": "failed", "error_code": "timeout", **REFUND},
            {"payment_status": "refunded", **REFUND},
            {"payment_status": "refunded", "transaction_type": "charge"},
        ],
    ),
}
#: what is not "low"
SEVERITIES = {
    "aml_large_amount": "critical",
    "kyc_missing_customer_id": "high",
    "pci_missing_card_data": "critical",
    "data_quality_negative_amount": "medium",
    "data_quality_zero_amount": "medium",
}


@pytest.fixture(scope="module")
def rules() -> CompiledCompliance:
    return compile_compliance(DOCUMENT, attributes=COMMON_ATTRIBUTES)


def found(rules: CompiledCompliance, event: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """rule -> the finding in one event."""
    frame = table([{**CLEAN, **event}], SCHEMA).with_row_index("ordinal")
    findings = rules.find(frame)
    assert findings.errors == {}
    return {row["rule"]: row for row in findings.rows.to_dicts()}


def test_every_compliance_rule_has_examples(rules):
    """A rule cannot be added without events that break it and events that do not."""
    assert [rule.name for rule in rules.rules] == list(FINDS)
    assert all(broken and other for broken, other in FINDS.values())


def test_an_ordinary_payment_breaks_no_rule(rules):
    """Findings are exceptions."""
    assert found(rules, {}) == {}


@pytest.mark.parametrize(
    ("name", "event"), [(name, event) for name, pair in FINDS.items() for event in pair[0]]
)
def test_a_compliance_rule_finds_what_it_should(rules, name, event):
    """The finding is there, with its severity and every value that it names."""
    (rule,) = (rule for rule in rules.rules if rule.name == name)

    finding = found(rules, event)[name]

    assert finding["severity"] == SEVERITIES.get(name, "low")
    assert name.startswith(finding["family"])
    assert set(json.loads(finding["evidence"])) == set(rule.evidence)


@pytest.mark.parametrize(
    ("name", "event"), [(name, event) for name, pair in FINDS.items() for event in pair[1]]
)
def test_a_compliance_rule_leaves_its_neighbour_alone(rules, name, event):
    """Just beside what is wrong there is no finding."""
    assert name not in found(rules, event)


def test_schemas_without_card_data_are_not_accused():
    """What a schema does not map is not missing: these rules are left out there."""
    bare = compile_compliance(DOCUMENT, attributes={})
    left_out = set(FINDS) - {rule.name for rule in bare.rules}

    assert left_out == {"kyc_invalid_email", "pci_missing_card_data", "pci_invalid_card_brand"}


def test_the_digits_of_currencies_are_those_of_the_list(rules):
    """The rule about decimals knows every currency that has no two of them."""
    for currency, digits in MINOR_DIGITS.items():
        if currency.startswith("X") and digits == 0 and currency not in {"XAF", "XOF", "XPF"}:
            continue  # no money: the rule about invalid currencies finds them
        name = "data_quality_currency_decimals"
        finest = Decimal(1).scaleb(-digits)

        assert name not in found(rules, {"currency": currency, "amount": 7 + finest}), currency
        if digits < 4:
            assert name in found(rules, {"currency": currency, "amount": 7 + finest / 10}), currency
