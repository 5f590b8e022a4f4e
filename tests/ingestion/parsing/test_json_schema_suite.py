"""The JSON Schema test suite, draft 2020-12, as far as payflow's keywords reach.

Each schema is put under one property of an event, because an event's root is always an object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestion.parsing import CompiledSchema, compile_schema
from payflow.lib.errors import ConfigurationError

SUITE = Path(__file__).parents[2] / "data/json-schema-test-suite/tests/draft2020-12"
EVENT = {
    "transaction_id": "t-1",
    "at": "2026-01-31T12:00:00Z",
    "amount": 1,
    "currency": "EUR",
    "status": "completed",
}
COLUMNS = {
    "transaction_id": {"path": "transaction_id"},
    "occurred_at": {"path": "at", "format": "rfc3339"},
    "amount": {"path": "amount"},
    "currency": {"path": "currency"},
    "payment_status": {"path": "status"},
}
#: what the groups left out may be refused for; anything else is a keyword we forgot
REFUSALS = ("is not supported", "only JSON Schema 2020-12")


def _groups() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(SUITE.rglob("*.json")):
        for group in json.loads(path.read_text()):
            yield f"{path.stem}: {group['description']}", group


def _document(schema: object) -> dict[str, Any]:
    return {"columns": COLUMNS, "json_schema": {"type": "object", "properties": {"value": schema}}}


def _compile(group: dict[str, Any]) -> CompiledSchema | None:
    try:
        return compile_schema(_document(group["schema"]), name="suite")
    except ConfigurationError as exc:
        if all(any(words in p.message for words in REFUSALS) for p in exc.problems):
            return None
        raise


SUPPORTED = [(title, group) for title, group in _groups() if _compile(group)]


@pytest.mark.parametrize("group", [pytest.param(group, id=title) for title, group in SUPPORTED])
def test_supported_schemas_judge_as_the_suite_says(group):
    """Both paths accept what the suite calls valid and fail what it calls invalid."""
    schema = _compile(group)
    assert schema is not None
    bodies = [json.dumps({**EVENT, "value": t["data"]}).encode() for t in group["tests"]]
    expected = [test["valid"] for test in group["tests"]]

    fast, slow = schema.parse_by_columns(bodies), schema.parse_slowly(bodies)

    for parsed in (fast, slow):
        accepted = set(parsed.columns["row"])
        assert [at in accepted for at in range(len(bodies))] == expected
        assert all(e.field.startswith("value") for es in parsed.failures.values() for e in es)


def test_the_suite_is_not_skipped_away():
    """755 tests of the suite use supported keywords and formats only."""
    judged = sum(len(group["tests"]) for _, group in SUPPORTED)

    assert judged == 755
