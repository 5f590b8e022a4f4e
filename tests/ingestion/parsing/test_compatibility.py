"""Compatibility of schemas: never promised where an event says otherwise."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from configuration.compatibility import Compatibility, Verdict
from ingestion.parsing import compile_schema
from ingestion.parsing.compatibility import compare_schemas
from tests.ingestion.parsing.agreement import SCHEMAS

TRANSACTION: dict[str, Any] = yaml.safe_load((SCHEMAS / "transaction.yaml").read_text())
Change = Callable[[dict[str, Any]], object]


def compared(change: Change) -> Compatibility:
    """The shipped schema against itself with a change."""
    new = copy.deepcopy(TRANSACTION)
    change(new)
    return compare_schemas(TRANSACTION, new)


def fields(document: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = document["json_schema"]["properties"]
    return properties


def why(verdict: Verdict) -> str:
    return "\n".join(map(str, verdict.reasons))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(description="said otherwise"),
        lambda d: d["json_schema"].update(title="a title", examples=[{}]),
        lambda d: fields(d)["amount"].update(pattern="^[0-9.]*[123456789]"),
        lambda d: fields(d)["status"]["enum"].reverse(),
        lambda d: d["columns"].update(country={"first": ["metadata.country"], "upper": True}),
        lambda d: d["columns"]["channel"].update(upper=False),
    ],
)
def test_what_no_event_can_tell_is_compatible_both_ways(change):
    """Remarks, other spellings of a pattern or path, what went without saying."""
    found = compared(change)

    assert found.backward.ok, why(found.backward)
    assert found.forward.ok, why(found.forward)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: fields(d)["status"]["enum"].append("paid"), 'status: the value "paid" would'),
        (lambda d: d["json_schema"]["required"].remove("channel"), "channel: events without it"),
        (lambda d: fields(d)["currency"].update(maxLength=4), "currency: texts longer than 3"),
        (lambda d: fields(d)["amount"].update(exclusiveMinimum=-1), "amount: numbers up to 0"),
        (lambda d: fields(d)["channel"].update(type=["string", "integer"]), "of type integer"),
        (lambda d: fields(d)["amount"].pop("pattern"), 'texts such as "" that are not like'),
        (lambda d: fields(d)["metadata"].pop("type"), "another type than object or null"),
        (
            lambda d: d["columns"]["payment_status"]["map"].update(paid="completed"),
            'the word "paid", which gives "completed", was not known before',
        ),
        # nothing but the four words of the enum can come out of it
        (
            lambda d: d["attributes"].update(word={"path": "status", "type": "string"}),
            "word: is new: the version before did not give it",
        ),
        (
            lambda d: d["columns"]["transaction_id"].update(
                {"first": [d["columns"]["transaction_id"].pop("path"), "id"]}
            ),
            "transaction_id: is read from transaction_id or id instead of transaction_id",
        ),
    ],
)
def test_what_takes_more_events_is_backward_compatible(change, reason):
    """Every event that passed still passes; the other way round the reason names the events."""
    found = compared(change)

    assert found.backward.ok, why(found.backward)
    assert not found.forward.ok
    assert reason in why(found.forward)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda d: (
                fields(d).update(payment_method=True),
                d["json_schema"].update(additionalProperties=False),
            ),
            "undeclared fields",
        ),
        (lambda d: d["json_schema"]["required"].append("risk"), "risk: events without it"),
        (lambda d: fields(d)["amount"].update(exclusiveMinimum=1), "numbers up to 1 passed"),
        (lambda d: fields(d)["status"]["enum"].remove("error"), 'the value "error" passed'),
        (lambda d: fields(d)["channel"].update(pattern="^[a-z]+$"), 'texts such as "0" that'),
        (lambda d: fields(d)["channel"].update(format="uuid"), "texts that are no uuid"),
        (lambda d: fields(d)["metadata"].update(type="object"), "values of type null"),
        (lambda d: fields(d).update(tags={"items": {"maxLength": 3}}), "tags[]: texts longer"),
        (
            lambda d: d.update(route={"channel": {"in": ["web", "pos"]}}),
            "channel: messages other than those with pos, web",
        ),
        (
            lambda d: d.update(checks=[{"name": "positive", "holds": "amount > 0"}]),
            "positive: events for which it is false",
        ),
    ],
)
def test_what_takes_fewer_events_is_forward_compatible(change, reason):
    """What passes now passed before; the reason against the other way names the events."""
    found = compared(change)

    assert found.forward.ok, why(found.forward)
    assert reason in why(found.backward)


@pytest.mark.parametrize(
    ("change", "pointer", "reason"),
    [
        (lambda d: d.update(identity=["transaction_id"]), "/identity", "a redelivery counts twice"),
        (
            lambda d: d.update(identity={"scope": "all", "fields": d["identity"]}),
            *("/identity", "is scope all instead of scope transaction"),
        ),
        (
            lambda d: d["columns"]["amount"].update(unit="minor"),
            *("/columns/amount/unit", 'unit is "minor" instead of "major"'),
        ),
        (
            lambda d: d["columns"]["occurred_at"].update(
                format="epoch_s", path=d["columns"]["occurred_at"]["path"]
            ),
            *("/columns/occurred_at/format", 'is "epoch_s" instead of "rfc3339"'),
        ),
        (
            lambda d: d["columns"]["payment_status"]["map"].update(success="pending"),
            *("/columns/payment_status/map", '"success" gives "pending" instead of "completed"'),
        ),
        (
            lambda d: d["columns"]["country"].update(path="country"),
            *("/columns/country", "is read from country instead of metadata.country"),
        ),
        (
            lambda d: d["columns"]["payment_method"].update(default="card"),
            *("/columns/payment_method/default", 'is "card" instead of "unknown"'),
        ),
        (lambda d: d["nulls"].append("N/A"), "/nulls", '"N/A" counts as missing now'),
        (lambda d: d["columns"].pop("country"), "/columns/country", "empty in every event now"),
        (lambda d: d.update(explode="entries[]"), "/explode", "splits messages by entries"),
    ],
)
def test_what_gives_other_columns_breaks_both_ways(change, pointer, reason):
    """The events pass all the same, but they are other transactions: that is no compatibility."""
    found = compared(change)

    for verdict in (found.backward, found.forward):
        (against,) = [reason for reason in verdict.against if reason.pointer == pointer]
        assert against.is_breaking
        assert reason in against.message


def test_a_new_attribute_breaks_what_it_cannot_take():
    """Mapping a field that may hold anything fails events that nobody minded before."""
    found = compared(
        lambda d: d["attributes"].update(terminal={"path": "metadata.terminal", "type": "integer"})
    )

    assert "terminal: values of another type than integer or null at metadata.terminal" in why(
        found.backward
    )


def test_what_a_new_attribute_cannot_take_may_be_refused_by_the_schema():
    """Field and attribute are new together: the JSON Schema is the one to name the events."""

    def change(document: dict[str, Any]) -> None:
        fields(document)["terminal"] = {"type": "string", "pattern": r"^T-\d{5}$"}
        document["attributes"]["terminal"] = {"path": "terminal", "type": "string"}

    found = compared(change)

    assert {reason.field for reason in found.backward.reasons} == {"terminal"}
    assert all(r.pointer.startswith("/json_schema/") for r in found.backward.reasons)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: fields(d)["channel"].update(pattern=r"\bweb\b"), "texts that are not like"),
        (lambda d: d["columns"]["amount"].update(colour=1), "one of the two is not valid"),
        (lambda d: d["json_schema"].update(oneOf=[]), "one of the two is not valid"),
        (
            lambda d: d["attributes"].update(
                double={"expression": "latency_us * 2", "type": "integer"}
            ),
            "whether its expression fits",
        ),
    ],
)
def test_what_is_not_understood_is_never_compatible(change, reason):
    """Said as such: "cannot tell" is no "breaks", and no "ok" either."""
    found = compared(change)

    assert not found.backward.ok
    assert found.backward.is_unknown
    assert reason in why(found.backward)
    assert "cannot tell: " in why(found.backward)


@pytest.mark.parametrize(
    ("mode", "closed"), [("none", False), ("backward", False), ("forward", True), ("full", True)]
)
def test_a_gate_opens_for_the_directions_it_asks_for(mode, closed):
    """One more word in an enum is backward and not forward compatible."""
    found = compared(lambda d: fields(d)["status"]["enum"].append("paid"))

    assert bool(found.refusals(mode)) is closed


@pytest.mark.parametrize("broken", [{}, {"columns": 5}, {"name": 7, "columns": {}}])
def test_drafts_that_are_wrong_can_be_compared(broken):
    """The page of a draft shows a verdict while it is being written."""
    assert compare_schemas(TRANSACTION, broken).backward.is_unknown
    assert compare_schemas(broken, TRANSACTION).forward.is_unknown


# --- against real verdicts ------------------------------------------------------------------------

VALUES = [
    *(None, True, False, 0, 1, -1, 2, 0.5, 1.0, 3.5, 12, 2**63, 10**400),
    *("", "a", "b", "ab", "abc", "1", "true", "N/A", "x" * 257, "\0", "2026-01-31", "a@b.c"),
    *([], ["a"], [1, "a"], {}, {"z": 1}, {"z": "a"}, {"z": None, "w": 1}),
]
NODES = st.recursive(
    st.just(True)
    | st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(
                [
                    *("string", "integer", "number", "boolean", "object", "array"),
                    *(["string", "null"], ["number", "string"], ["integer", "null"]),
                ]
            ),
            "minLength": st.integers(0, 2),
            "maxLength": st.integers(0, 3),
            "pattern": st.sampled_from(["^[ab]*$", "^a", "b", "^[a-z]{1,2}$", r"\ba"]),
            "minimum": st.sampled_from([-1, 0, 0.5, 1]),
            "exclusiveMinimum": st.sampled_from([-1, 0, 0.5]),
            "maximum": st.sampled_from([1, 2, 2.5]),
            "exclusiveMaximum": st.sampled_from([1, 3]),
            "multipleOf": st.sampled_from([0.5, 1, 2, 1.5]),
            "format": st.sampled_from(["date", "email"]),
        },
    )
    | st.sampled_from([False, {"enum": ["a", "b"]}, {"enum": ["a", 1, None]}, {"const": 1}]),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", ["object", "null"]]),
            "required": st.sampled_from([[], ["z"], ["z", "w"]]),
            "properties": st.fixed_dictionaries({}, optional={"z": inner, "w": inner}),
            "additionalProperties": inner,
            "items": inner,
        },
    ),
    max_leaves=3,
)
ATTRIBUTES = st.sampled_from(
    [
        {"path": "x", "type": "string"},
        {"path": "x", "type": "integer"},
        {"path": "x", "type": "boolean"},
        {"path": "x", "type": "number", "default": 1},
        {"path": "y.z", "type": "string", "upper": True},
        {"first": ["y.z", "x"], "type": "string"},
        {"first": ["y.z"], "type": "string"},
        {"path": "x", "type": "string", "map": {"a": "A", "1": "one"}},
        {"path": "x", "type": "string", "map": {"a": "A", "1": "one", "true": "T"}},
        {"constant": "c", "type": "string"},
    ]
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Small schemas: two fields that are judged, an attribute or two that read them."""
    schema: dict[str, Any] = {"properties": {"x": draw(NODES), "y": draw(NODES)}}
    if draw(st.booleans()):
        schema["required"] = draw(st.sampled_from([["x"], ["x", "y"], ["y"]]))
    document: dict[str, Any] = {
        "columns": {
            "transaction_id": {"path": "id"},
            "occurred_at": {"path": "at", "format": "epoch_s"},
            "amount": {"constant": "1.00"},
            "currency": draw(
                st.sampled_from(
                    [{"path": "c"}, {"path": "c", "default": "USD"}, {"first": ["c", "d"]}]
                )
            ),
            "payment_status": {"constant": "completed"},
        },
        "attributes": draw(st.dictionaries(st.sampled_from("pq"), ATTRIBUTES, max_size=2)),
        "json_schema": schema,
    }
    if draw(st.integers(0, 4)) == 0:
        document["nulls"] = draw(st.sampled_from([["N/A"], ["", "a"]]))
    if draw(st.integers(0, 4)) == 0:
        document["route"] = {"x": {"in": draw(st.sampled_from([["a"], ["a", "b"]]))}}
    return document


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two schemas; the second is mostly the first with one part of another."""
    old, other = draw(documents()), draw(documents())
    new = copy.deepcopy(old)
    part = draw(st.sampled_from(["columns", "attributes", "x", "y", "required", "all"]))
    if part in {"x", "y"}:
        new["json_schema"]["properties"][part] = other["json_schema"]["properties"][part]
    elif part == "required":
        new["json_schema"].pop("required", None)
        if required := other["json_schema"].get("required"):
            new["json_schema"]["required"] = required
    elif part == "all":
        new = other
    else:
        new[part] = other[part]
    return old, new


EVENTS = st.lists(
    st.fixed_dictionaries(
        {"id": st.just("t"), "at": st.just(1_767_225_600)},
        optional={
            "x": st.sampled_from(VALUES),
            "y": st.sampled_from(VALUES),
            "c": st.sampled_from(["USD", "N/A", None]),
            "d": st.just("EUR"),
        },
    ),
    min_size=8,
    max_size=24,
)


@settings(max_examples=250)
@given(versions=pairs(), events=EVENTS)
def test_no_event_says_otherwise(versions, events):
    """Where schemas are called compatible, every event that passed passes with the same values."""
    old, new = (compile_schema(document, name="random") for document in versions)
    found = compare_schemas(*versions)

    for verdict, before, after in ((found.backward, old, new), (found.forward, new, old)):
        for event in events if verdict.ok else ():
            body = json.dumps(event).encode()
            given_values, wanted = before.judge(body).values, after.judge(body)
            if given_values is not None:
                assert wanted.values is not None, (wanted, event)
                assert {name: wanted.values[name] for name in given_values} == given_values
