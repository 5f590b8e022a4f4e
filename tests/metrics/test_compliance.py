"""Compliance rules: what they find, and which documents are refused."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from metrics.compliance import compile_compliance, violation_windows
from payflow.lib.errors import ConfigurationError
from tests.metrics.tables import ATTRIBUTES, ORDINARY, with_attributes

GOOD: dict[str, Any] = {
    "name": "large",
    "description": "A large amount.",
    "family": "aml",
    "severity": "critical",
    "where": "amount >= 50000",
    "evidence": ["amount", "currency", "occurred_at", "is_3ds"],
}


def find(frame: pl.DataFrame, *rules: dict[str, Any]) -> pl.DataFrame:
    compiled = compile_compliance({"rules": list(rules)}, attributes=ATTRIBUTES)
    return compiled.find(frame.with_row_index("ordinal")).rows


def test_a_finding_names_rule_severity_and_evidence():
    """Only the event that breaks the rule is found, with the values that show it."""
    frame = with_attributes({}, {"amount": Decimal("50000"), "is_3ds": False})

    (row,) = find(frame, GOOD).to_dicts()

    assert (row["ordinal"], row["rule"], row["family"], row["severity"]) == (
        1,
        "large",
        "aml",
        "critical",
    )
    assert json.loads(row["evidence"]) == {
        "amount": "50000.0000",
        "currency": "EUR",
        "occurred_at": "2024-03-01T12:34:56.000000+00:00",
        "is_3ds": False,
    }


def test_an_event_may_break_several_rules():
    """Each rule has its own finding, in the order of events and names."""
    frame = with_attributes({"amount": Decimal("60000"), "country": ""}, {"country": ""})

    rows = find(frame, GOOD, {**GOOD, "name": "country", "where": "country = ''"})

    assert rows.select("ordinal", "rule").rows() == [(0, "country"), (0, "large"), (1, "country")]


def test_a_condition_that_is_unknown_finds_nothing():
    """Null is not true: an event without the attribute does not break a rule about it."""
    assert find(with_attributes({}), {**GOOD, "where": "risk_score > 0.9"}).is_empty()


def test_a_rule_about_a_common_attribute_is_left_out_where_a_schema_lacks_it():
    """A producer that has no place for card data is not accused of leaving it out."""
    rule = {**GOOD, "where": "COALESCE(card_last4, '') = ''", "evidence": ["channel"]}
    frame = with_attributes({})

    lacks = compile_compliance({"rules": [rule]}, attributes=ATTRIBUTES)
    maps = compile_compliance({"rules": [rule]}, attributes={"card_last4": pl.String()})

    assert lacks.rules == ()
    assert lacks.find(frame.with_row_index("ordinal")).rows.is_empty()
    frame = frame.with_columns(card_last4=pl.lit(None, pl.String)).with_row_index("ordinal")
    assert maps.find(frame).rows["rule"].to_list() == ["large"]


def test_findings_are_counted_by_rule_and_severity():
    """The roll-up has one cell per rule, severity and five minutes of event time."""
    frame = with_attributes(*[{"amount": Decimal("50000")}] * 3)
    rows = find(frame, GOOD).with_columns(occurred_at=pl.lit(ORDINARY["occurred_at"]))

    (cell,) = violation_windows(rows).to_dicts()

    assert cell["group_key"] == '{"rule":"large","severity":"critical"}'
    assert (cell["transactions"], cell["value_sum"], cell["window_s"]) == (3, 3, 300)


@pytest.mark.parametrize(
    ("change", "pointer", "message"),
    [
        ({"where": "amuont > 1"}, "/rules/0/where", "unknown column 'amuont'"),
        ({"where": "amount"}, "/rules/0/where", "must be true or false"),
        ({"family": "fraud"}, "/rules/0/family", "must be one of aml, kyc, pci"),
        ({"severity": None}, "/rules/0/severity", "must be one of low, medium"),
        ({"evidence": []}, "/rules/0/evidence", "a list of 1 to 10"),
        ({"evidence": ["nope"]}, "/rules/0/evidence/0", "no column or attribute"),
        ({"description": ""}, "/rules/0/description", "what the rule watches"),
        ({"name": "Large"}, "/rules/0/name", "lower_snake_case"),
        ({"window": "1h"}, "/rules/0/window", "unknown key"),
    ],
)
def test_a_wrong_rule_is_refused_with_the_place(change, pointer, message):
    """Each mistake has one problem with the JSON pointer to it."""
    with pytest.raises(ConfigurationError) as caught:
        compile_compliance({"rules": [{**GOOD, **change}]}, attributes=ATTRIBUTES)

    (problem,) = caught.value.problems
    assert problem.pointer == pointer
    assert message in problem.message


def test_a_version_changes_with_what_is_found_only():
    """Words do not make a new version; condition, severity and evidence do."""
    versions = {
        compile_compliance({"rules": [{**GOOD, **change}]}, attributes=ATTRIBUTES).rules[0].version
        for change in (
            {},
            {"description": "Said otherwise."},
            {"severity": "high"},
            {"where": "amount >= 1"},
            {"evidence": ["amount"]},
        )
    }

    assert len(versions) == 4
