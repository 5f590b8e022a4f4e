from __future__ import annotations

import copy
import datetime as dt
from typing import Any

import pytest

from ingestion.parsing import compile_schema
from payflow.lib.errors import ConfigurationError

GOOD: dict[str, Any] = {
    "name": "good",
    "columns": {
        "transaction_id": {"path": "id"},
        "occurred_at": {"path": "at", "format": "rfc3339"},
        "amount": {"path": "amount"},
        "currency": {"path": "currency"},
        "payment_status": {"path": "status"},
    },
    "attributes": {"risk": {"path": "risk", "type": "number"}},
    "json_schema": {"type": "object", "properties": {"id": {"type": "string"}}},
}
MISSING = object()


def _changed(pointer: str, value: object) -> dict[str, Any]:
    document = copy.deepcopy(GOOD)
    inner: Any = document
    *path, last = pointer.strip("/").split("/")
    for name in path:
        inner = inner.setdefault(name, {})
    if value is MISSING:
        del inner[last]
    else:
        inner[last] = value
    return document


def _problems(document: Any) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as caught:
        compile_schema(document, name="good")
    return {problem.pointer: problem.message for problem in caught.value.problems}


def test_the_good_document_is_good():
    """What the other tests break compiles."""
    assert compile_schema(GOOD, name="good").name == "good"


@pytest.mark.parametrize(
    ("place", "value", "pointer"),
    [
        ("name", "other", "/name"),
        ("decoder", "xml", "/decoder"),
        ("explode", "entries", "/explode"),
        ("colums", {}, "/colums"),
        ("nulls", "NONE", "/nulls"),
        ("nulls", [None], "/nulls"),
        ("columns", [], "/columns"),
        ("columns/amount", MISSING, "/columns"),
        ("columns/transaction_id", MISSING, "/columns"),
        ("columns/colour", {"path": "x"}, "/columns/colour"),
        ("columns/amount", "amount", "/columns/amount"),
        ("columns/amount", {}, "/columns/amount"),
        ("columns/amount", {"path": "a", "constant": 1}, "/columns/amount"),
        ("columns/amount/unit", "cents", "/columns/amount/unit"),
        ("columns/amount/round", 5, "/columns/amount/round"),
        ("columns/amount/round", True, "/columns/amount/round"),
        ("columns/amount/map", {"a": 1}, "/columns/amount/map"),
        ("columns/amount/default", "much", "/columns/amount/default"),
        ("columns/amount/path", "a..b", "/columns/amount/path"),
        ("columns/amount/path", "", "/columns/amount/path"),
        ("columns/amount/path", "header:", "/columns/amount/path"),
        ("columns/amount/path", 5, "/columns/amount/path"),
        ("columns/currency", {"first": []}, "/columns/currency/first"),
        ("columns/currency", {"first": ["a", "b."]}, "/columns/currency/first/1"),
        ("columns/currency", {"constant": "EURO"}, "/columns/currency/constant"),
        ("columns/currency/default", "eur", "/columns/currency/default"),
        ("columns/currency/upper", "yes", "/columns/currency/upper"),
        ("columns/currency/unit", "minor", "/columns/currency/unit"),
        ("columns/country", {"path": "c", "default": "Germany"}, "/columns/country/default"),
        ("columns/channel", {"constant": "a", "default": "b"}, "/columns/channel/default"),
        ("columns/channel", {"constant": None}, "/columns/channel/constant"),
        ("columns/channel", {"constant": "x" * 257}, "/columns/channel/constant"),
        ("columns/channel", {"path": "a", "map": {}}, "/columns/channel/map"),
        ("columns/channel", {"path": "a", "map": {"w/eb": 1.5}}, "/columns/channel/map/w~1eb"),
        ("columns/channel", {"path": "a", "map": {True: "x"}}, "/columns/channel/map/True"),
        ("columns/payment_status/map", {"ok": "done"}, "/columns/payment_status/map/ok"),
        ("columns/transaction_id/default", "none", "/columns/transaction_id/default"),
        ("columns/occurred_at", {"constant": "2026"}, "/columns/occurred_at/constant"),
        ("columns/occurred_at/format", "iso", "/columns/occurred_at/format"),
        ("columns/occurred_at/format", MISSING, "/columns/occurred_at/format"),
        ("columns/occurred_at/zone", "UTC", "/columns/occurred_at/format"),
        ("columns/occurred_at", {"path": "a", "pattern": "%Y"}, "/columns/occurred_at/pattern"),
        ("columns/occurred_at", {"path": "a", "pattern": "%Y%m%d"}, "/columns/occurred_at/pattern"),
        (
            "columns/occurred_at",
            {"path": "a", "pattern": "%Y%m%d", "zone": "Mars/Olympus"},
            "/columns/occurred_at/pattern",
        ),
        (
            "columns/occurred_at",
            {"path": "a", "pattern": "%Y%m%d%Q", "zone": "UTC"},
            "/columns/occurred_at/pattern",
        ),
        ("columns/latency_us", {"path": "a", "unit": "h"}, "/columns/latency_us/unit"),
        ("attributes", [], "/attributes"),
        ("attributes/risk/type", "float", "/attributes/risk/type"),
        ("attributes/amount", {"path": "a", "type": "number"}, "/attributes/amount"),
        ("attributes/Risk", {"path": "a", "type": "number"}, "/attributes/Risk"),
        ("attributes/risk/default", "low", "/attributes/risk/default"),
        ("identity", [], "/identity"),
        ("identity", "none", "/identity"),
        ("identity", ["colour"], "/identity"),
        ("identity", ["correlation_id"], "/identity"),
        ("identity", ["risk"], "/identity"),
        ("identity", {"scope": ""}, "/identity/scope"),
        ("identity", {"field": []}, "/identity/field"),
        ("route", {}, "/route"),
        ("route", {"otherwise": "ignored"}, "/route"),
        ("route", {"kind": {"in": ["a"]}, "otherwise": "dropped"}, "/route/otherwise"),
        ("route", {"kind": {"not": ["a"]}}, "/route/kind"),
        ("route", {"kind": {"in": [1]}}, "/route/kind"),
        ("route", {"a..b": {"in": ["a"]}}, "/route/a..b"),
        ("json_schema", False, "/json_schema"),
        ("json_schema", "x", "/json_schema"),
        ("json_schema/type", "array", "/json_schema/type"),
        ("json_schema/type", "text", "/json_schema/type"),
        ("json_schema/$schema", "http://json-schema.org/draft-07/schema#", "/json_schema/$schema"),
        ("json_schema/allOf", [], "/json_schema/allOf"),
        ("json_schema/$ref", "#/a", "/json_schema/$ref"),
        ("json_schema/required", "id", "/json_schema/required"),
        ("json_schema/properties", [], "/json_schema/properties"),
        ("json_schema/properties/id/uniqueItems", True, "/json_schema/properties/id/uniqueItems"),
        ("json_schema/properties/id/format", "hostname", "/json_schema/properties/id/format"),
        ("json_schema/properties/id/pattern", "(", "/json_schema/properties/id/pattern"),
        ("json_schema/properties/id/pattern", "(?=a)", "/json_schema/properties/id/pattern"),
        ("json_schema/properties/id/pattern", r"(a)\1", "/json_schema/properties/id/pattern"),
        ("json_schema/properties/id/pattern", "x" * 501, "/json_schema/properties/id/pattern"),
        ("json_schema/properties/id/minimum", "1", "/json_schema/properties/id/minimum"),
        ("json_schema/properties/id/multipleOf", 0, "/json_schema/properties/id/multipleOf"),
        ("json_schema/properties/id/minLength", 1.5, "/json_schema/properties/id/minLength"),
        ("json_schema/properties/id/enum", "a", "/json_schema/properties/id/enum"),
        ("json_schema/properties/id/const", float("nan"), "/json_schema/properties/id/const"),
        (
            "json_schema/properties/id/const",
            dt.date(2026, 1, 1),
            "/json_schema/properties/id/const",
        ),
        ("json_schema/properties/a~b", 1, "/json_schema/properties/a~0b"),
    ],
)
def test_each_mistake_is_found_at_its_place(place, value, pointer):
    """A wrong document is refused with the JSON pointer of the mistake, and of nothing else."""
    assert list(_problems(_changed(place, value))) == [pointer]


def test_all_mistakes_are_told_at_once():
    """One compile lists every problem."""
    document = _changed("columns/amount/unit", "cents")
    document["columns"]["colour"] = {}
    document["attributes"]["risk"]["type"] = "float"
    document["json_schema"]["oneOf"] = []
    document["route"] = {}

    problems = _problems(document)

    assert sorted(problems) == [
        "/attributes/risk/type",
        "/columns/amount/unit",
        "/columns/colour",
        "/json_schema/oneOf",
        "/route",
    ]


def test_messages_say_what_to_write():
    """A problem names what is possible."""
    assert _problems(_changed("columns/amount/unit", "cents")) == {
        "/columns/amount/unit": "must be one of major, minor"
    }
    assert (
        "'oneOf' is not supported"
        in _problems(_changed("json_schema/oneOf", []))["/json_schema/oneOf"]
    )


def test_the_checksum_is_of_the_content():
    """The order of keys does not change the checksum, any value does."""
    one = compile_schema(GOOD, name="good")
    same = compile_schema(dict(reversed(GOOD.items())), name="good")
    other = compile_schema(_changed("columns/amount/unit", "minor"), name="good")

    assert one.checksum == same.checksum != other.checksum
    assert len(one.checksum) == 64
