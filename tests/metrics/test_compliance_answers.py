"""The compliance rules against the simulator's answer key: what was done, what was found."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest
import yaml

from ingestion.parsing import compile_schema
from metrics.compliance import compile_compliance
from simulator.config import Shape
from simulator.config_file import scenarios
from simulator.generator import Generator

ROOT = Path(__file__).parents[2]
#: kinds that only the broker's time or several events show
BEYOND_ONE_EVENT = {
    "aml_structuring",
    "aml_rapid_fire",
    "business_rule_orphan_refund",
    "business_rule_currency_mismatch",
    "data_quality_future_timestamp",
}
#: kinds that a schema refuses: no rule sees them, they are failed items
REFUSED = {
    Shape.SIMULATOR: {"data_quality_invalid_currency", "data_quality_invalid_status"},
    Shape.TRANSACTION: {
        "data_quality_invalid_currency",
        "data_quality_invalid_status",
        "data_quality_negative_amount",
        "data_quality_zero_amount",
        "kyc_missing_customer_id",
    },
}


def load(path: str) -> dict[str, object]:
    document: dict[str, object] = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    return document


@pytest.mark.parametrize("shape", list(Shape))
def test_every_violation_of_one_event_is_found_and_nothing_else(shape):
    """Findings are the answer key, kind for kind, but for what the schema has refused."""
    generator = Generator(
        scenarios()["compliance-mix"],
        shape=shape,
        seed=7,
        start=datetime(2026, 3, 2, 10, tzinfo=UTC),
        rate=500,
    )
    events = list(islice(generator, 6_000))
    schema = compile_schema(load(f"ingestion/schemas/{shape}.yaml"), name=str(shape))
    rules = compile_compliance(
        load("metrics/rule_sets/compliance.yaml"), attributes=schema.attributes
    )

    parsed = schema.parse([event.body for event in events])
    findings = rules.find(parsed.columns.rename({"row": "ordinal"})).rows

    done = {n: event.answer.kind for n, event in enumerate(events) if event.answer}
    refused = {kind for n, kind in done.items() if (n, 0) in parsed.failures}
    assert refused == REFUSED[shape]
    expected = {n: kind for n, kind in done.items() if kind not in BEYOND_ONE_EVENT | refused}
    assert set(expected.values()) >= {"aml_large_amount", "pci_missing_card_data"}
    assert dict(findings.select("ordinal", "rule").rows()) == expected
    assert findings.height == len(expected)
