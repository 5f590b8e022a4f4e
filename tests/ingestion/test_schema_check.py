"""Drafts of schemas are refused for slips too: with the place, the value and what was meant."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from ingestion.schema_check import check_schema
from payflow.lib.errors import ConfigurationError
from tests.ingestion.parsing.agreement import EVERYTHING, SCHEMAS

TRANSACTION: dict[str, Any] = yaml.safe_load((SCHEMAS / "transaction.yaml").read_text())
#: as polars writes it out, many times larger than it is written here
SLOW = "1"
for _ in range(10):
    SLOW = f"1 / NULLIF({SLOW}, 3)"


def problems(change: Callable[[dict[str, Any]], object]) -> dict[str, str]:
    """Pointer -> message of what is wrong with the shipped schema after a change."""
    document = copy.deepcopy(TRANSACTION)
    change(document)
    with pytest.raises(ConfigurationError) as caught:
        check_schema(document, "transaction")
    return {problem.pointer: problem.message for problem in caught.value.problems}


def fields(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["json_schema"]["properties"]
    return found


@pytest.mark.parametrize("name", ["simulator", "stripe", "transaction"])
def test_shipped_schemas_pass(name):
    """Nothing that payflow ships has a slip in it."""
    check_schema(yaml.safe_load((SCHEMAS / f"{name}.yaml").read_text()), name)


def test_every_option_passes():
    """The document that uses every option of a mapping."""
    check_schema({"name": "everything", **EVERYTHING}, "everything")


@pytest.mark.parametrize(
    ("change", "pointer", "message"),
    [
        (
            lambda d: fields(d).update(metadata={"type": "string"}),
            *("/columns/country/path", "by the JSON Schema metadata is never an object"),
        ),
        (
            lambda d: d["json_schema"].update(additionalProperties=False),
            *("/columns/payment_method/first/0", "the JSON Schema lets no value stand there"),
        ),
        (
            lambda d: fields(d).update(currency={"type": ["boolean", "null"]}),
            *("/columns/currency/path", "the JSON Schema lets boolean stand there, no currency"),
        ),
        (
            lambda d: fields(d).update(amount={"enum": [{}, []]}),
            *("/columns/amount/path", "lets object or array stand there, no amount"),
        ),
        (
            lambda d: fields(d)["currency"].update(minLength=4),
            *("/json_schema/properties/currency/maxLength", "3 is not above minLength, which is 4"),
        ),
        (
            lambda d: fields(d).update(tags={"items": {"minimum": 2, "exclusiveMaximum": 2}}),
            *("/json_schema/properties/tags/items/exclusiveMaximum", "no value could pass"),
        ),
        (
            lambda d: fields(d)["currency"].update(minlength=3),
            *("/json_schema/properties/currency/minlength", "did you mean 'minLength'?"),
        ),
        (
            lambda d: fields(d).update(
                a={"items": {"properties": {"b": {"patternProperties": {}}}}}
            ),
            "/json_schema/properties/a/items/properties/b/patternProperties",
            "the keyword 'patternProperties' is not supported",
        ),
        (
            lambda d: fields(d)["currency"].update(type="text"),
            *("/json_schema/properties/currency/type", "integer, string, not 'text'"),
        ),
        (
            lambda d: fields(d)["currency"].update(format={}),
            *("/json_schema/properties/currency/format", "the format '{}' is not supported"),
        ),
        (
            lambda d: fields(d)["status"].update(enum=list(range(6_000))),
            *("/json_schema/properties/status/enum", "has 6,000 values, at most 5,000"),
        ),
        (
            lambda d: fields(d)["currency"].update(pattern="(?:[a-z]{500}){500}"),
            *("/json_schema/properties/currency/pattern", "repeat less"),
        ),
        (
            lambda d: d["columns"].update(amout={"path": "a"}),
            *("/columns/amout", "there is no column 'amout'"),
        ),
        (
            lambda d: d["columns"]["amount"].update(units="minor"),
            *("/columns/amount/units", "did you mean 'unit'?"),
        ),
        (
            lambda d: d["columns"]["payment_status"]["map"].update(paid="done"),
            *("/columns/payment_status/map/paid", '"done": must be one of completed'),
        ),
        (
            lambda d: d["attributes"].update(x={"path": "a", "type": []}),
            *("/attributes/x/type", "must be one of string"),
        ),
        (
            lambda d: d["attributes"].update(
                {f"a{n}": {"path": "a", "type": "string"} for n in range(300)}
            ),
            *("/attributes", "at most 300 are allowed"),
        ),
        (lambda d: d["identity"].append("transaction_id"), "/identity", "named twice"),
        (lambda d: d.update(colums={}), "/colums", "did you mean 'columns'?"),
        (
            lambda d: d.update(route={"kind": {"in": []}}),
            *("/route/kind/in", "no message would be taken"),
        ),
        (
            lambda d: d.update(route={"kind": {"in": ["a"]}, "otherwise": []}),
            *("/route/otherwise", "must be ignored or failed"),
        ),
        (
            lambda d: d.update(checks=[{"name": "slow", "holds": f"{SLOW} > 1"}]),
            *("/checks/0/holds", "takes more than 0.25 s to compute for 1,000 transactions"),
        ),
        (
            lambda d: d["attributes"].update(slow={"expression": SLOW, "type": "number"}),
            *("/attributes/slow/expression", "takes more than 0.25 s"),
        ),
    ],
)
def test_slips_are_refused_with_their_place(change, pointer, message):
    """What can never come about, what is misspelt, what is too large or too slow."""
    found = problems(change)

    assert message in found[pointer]


def test_expressions_of_every_kind_are_tried():
    """Text, numbers, times and checks pass the trial when they are ordinary."""
    document = copy.deepcopy(TRANSACTION)
    document["attributes"] |= {
        "area": {"expression": "LEFT(country, 1)", "type": "string"},
        "cents": {"expression": "CAST(amount * 100 AS BIGINT)", "type": "integer"},
        "large": {"expression": "amount > 1000", "type": "boolean"},
    }
    document["checks"] = [{"name": "day", "holds": "EXTRACT(HOUR FROM occurred_at) < 24"}]

    check_schema(document, "transaction")
