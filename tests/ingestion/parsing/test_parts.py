"""What explode, headers, picks, expressions and checks mean, case by case."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import pytest

from ingestion.parsing import Parsed, compile_schema
from ingestion.parsing.parser import TransactionParser
from ingestion.parsing.paths import parse_path, path_text
from payflow.lib.errors import ConfigurationError
from tests.ingestion.parsing.agreement import assert_agree

COLUMNS: dict[str, Any] = {
    "transaction_id": {"path": "report.entries.id"},
    "occurred_at": {"path": "report.at", "format": "epoch_s"},
    "amount": {"path": "report.entries.amount"},
    "currency": {"path": "report.currency"},
    "payment_status": {"constant": "completed"},
}
FLAT = {
    **COLUMNS,
    "transaction_id": {"path": "id"},
    "occurred_at": {"path": "at", "format": "epoch_s"},
    "amount": {"path": "amount"},
    "currency": {"constant": "EUR"},
}
ENVELOPE = {"at": 1767225600, "currency": "EUR"}


def report(entries: Any, **more: Any) -> bytes:
    return json.dumps({"report": {**ENVELOPE, "entries": entries, **more}}).encode()


def exploded(*bodies: bytes, **document: Any) -> Parsed:
    """What both paths say of messages under a schema that explodes."""
    schema = compile_schema(
        {"explode": "report.entries[]", "columns": COLUMNS, **document}, name="parts"
    )
    return assert_agree(schema, list(bodies))


def flat(
    *events: dict[str, Any], headers: list[bytes | None] | None = None, **document: Any
) -> Parsed:
    """What both paths say of events under a schema without parts."""
    schema = compile_schema({"columns": FLAT, **document}, name="flat")
    bodies = [
        json.dumps({"id": "a", "at": 1767225600, "amount": 1, **event}).encode() for event in events
    ]
    return assert_agree(schema, bodies, headers)


def errors(parsed: Parsed) -> dict[tuple[int, int], list[tuple[str, str]]]:
    return {
        place: [(error.constraint.value, error.field) for error in found]
        for place, found in parsed.failures.items()
    }


# --- explode -------------------------------------------------------------------------------------


def test_each_element_is_an_event_with_what_is_around_it():
    """Columns come from the element and from the message; rows are in order of the parts."""
    parsed = exploded(report([{"id": "a", "amount": 1}, {"id": "b", "amount": 2.5}]))

    assert parsed.columns.select("row", "part", "transaction_id", "amount", "currency").rows() == [
        (0, 0, "a", Decimal("1.0000"), "EUR"),
        (0, 1, "b", Decimal("2.5000"), "EUR"),
    ]
    assert parsed.parts == [2]


def test_each_part_has_its_own_verdict():
    """A part that fails is named by its number, with the path that the schema knows."""
    parsed = exploded(
        report([{"id": "a", "amount": 1}, {"id": "b"}, 7, {"id": "c", "amount": "x"}]),
        json_schema={
            "properties": {"report": {"properties": {"entries": {"required": ["amount"]}}}}
        },
    )

    assert parsed.columns["part"].to_list() == [0]
    assert errors(parsed) == {
        (0, 1): [("required", "report.entries.amount")],
        (0, 2): [("required", "report.entries.id"), ("required", "report.entries.amount")],
        (0, 3): [("invalid_number", "report.entries.amount")],
    }
    assert parsed.names[0, 3].transaction_id == "c"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"report":{"entries":[}', [("invalid_json", "")]),
        (report(None), [("required", "report.entries")]),
        (b"{}", [("required", "report.entries")]),
        (report({"id": "a"}), [("wrong_type", "report.entries")]),
        (report([{}] * 1001), [("too_many_parts", "report.entries")]),
        (
            b'{"report":{"entries":[{},{}],"currency":"EUR","currency":"USD"}}',
            [("duplicate_key", "report.currency")],
        ),
        (report([{}, {}], number="x"), [("wrong_type", "report.number")]),
    ],
)
def test_what_is_wrong_around_the_array_fails_the_message_once(body, expected):
    """A thousand parts must not say the same thing a thousand times."""
    number = {"report": {"properties": {"number": {"type": "integer"}}}}

    parsed = exploded(body, json_schema={"properties": number})

    assert errors(parsed) == {(0, 0): expected}
    assert parsed.parts == [1]


def test_an_empty_array_is_one_ignored_part():
    """Nothing happened, and the message is accounted for."""
    parsed = exploded(report([]), report([{"id": "a", "amount": 1}]))

    assert parsed.ignored == [(0, 0)]
    assert parsed.parts == [1, 1]


def test_the_route_is_asked_of_every_part():
    """Some parts may be left to others; a message of another kind needs no array."""
    route = {
        "report.kind": {"in": ["x"]},
        "report.entries.type": {"in": ["pay"]},
        "otherwise": "ignored",
    }
    entries = [{"id": "a", "amount": 1, "type": "pay"}, {"type": "fee"}]

    parsed = exploded(report(entries, kind="x"), report(entries), b'{"other":1}', route=route)

    assert parsed.columns.select("row", "part").rows() == [(0, 0)]
    assert parsed.ignored == [(0, 1), (1, 0), (1, 1), (2, 0)]
    assert parsed.parts == [2, 2, 1]


def test_a_large_envelope_is_not_paid_for_by_every_part():
    """A message of a thousand parts and 700 kB around them takes no more than both do."""
    words = "x" * 700_000
    slow_schema = {
        "properties": {
            "report": {
                "properties": {
                    "note": {"pattern": "^(x+)+$", "maxLength": 10**6},
                    "tags": {"type": "array", "items": {"type": "string"}},
                }
            }
        }
    }
    entries = [{"id": f"a{n}", "amount": 1} for n in range(1000)]
    bodies = [
        report(entries, note=words),
        report(entries, tags=["t"] * 150_000),
        report(entries, currency=words),
        report([*entries[1:], {}], parties=[{"k": "x", "id": 1}] * 30_000),
    ]
    columns = {**COLUMNS, "customer_id": {"path": "report.parties[k=y].id"}}

    began = time.process_time()
    parsed = exploded(*bodies, json_schema=slow_schema, columns=columns)

    assert time.process_time() - began < 10
    assert parsed.parts == [1000] * 4
    assert len(parsed.columns) == 2999


# --- headers and arrays --------------------------------------------------------------------------


def test_headers_are_values_like_others():
    """They have options, fall back to the body, and take part in the route."""
    parsed = flat(
        {},
        {},
        {"trace": "t-2"},
        headers=[b'{"ce.type":"pay","trace":"t-1","attempt":"3"}', b'{"ce.type":"x"}', None],
        columns={**FLAT, "correlation_id": {"first": ["header:trace", "trace"]}},
        attributes={"attempt": {"path": "header:attempt", "type": "integer", "default": 1}},
        route={"header:ce.type": {"in": ["pay"]}, "otherwise": "failed"},
    )

    assert parsed.columns.select("correlation_id", "attempt").rows() == [("t-1", 3)]
    assert errors(parsed) == {(1, 0): [("unrouted", "")], (2, 0): [("unrouted", "")]}


def test_the_first_element_whose_member_says_the_word_is_picked():
    """By text, integer or boolean; without one there is no value."""
    items = [{"no": 1, "v": "a"}, 5, {"no": 2, "on": True, "v": "b"}, {"no": 2, "v": "c"}]
    columns = {
        **FLAT,
        "customer_id": {"path": "items[no=2].v"},
        "merchant_id": {"path": "items[on=true].v"},
        "processor": {"path": "items[0].v"},
        "error_code": {"first": ["items[no=9].v", 'odd."a.b"."c[0]"']},
    }

    parsed = flat({"items": items, "odd": {"a.b": {"c[0]": "d"}}}, {"items": {}}, columns=columns)

    assert parsed.columns.select(
        "customer_id", "merchant_id", "processor", "error_code"
    ).rows() == [
        ("b", "b", "a", "d"),
        ("", "", "", ""),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a.b c.d-e",
        '"a.b".c',
        'a."x ""y"""[0][1].b',
        "items[type=fee].amount",
        'items[the type="a]b=c"].amount',
        "header:ce.type",
        'a."header:x"',
    ],
)
def test_a_path_is_written_as_it_is_read(text: str):
    """Every path has one canonical text that reads back to it."""
    path = parse_path(text)

    assert parse_path(path_text(path)) == path
    assert path_text(path) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "dotted path"),
        ("a.", "dotted path"),
        (".a", "dotted path"),
        ("a[]", "element of an array is"),
        ("a[x]", "element of an array is"),
        ("a[=1]", "element of an array is"),
        ("a]b", "names with brackets"),
        ('a"b"', "stand in quotes"),
        ('"a', "dotted path"),
        ("[0]", "dotted path"),
        ("header:", "must name a header"),
        ("a" * 501, "at most 500"),
    ],
)
def test_bad_paths_say_what_to_write(text: str, words: str):
    """The message names the place or the rule."""
    with pytest.raises(ValueError, match=words):
        parse_path(text)


# --- expressions ---------------------------------------------------------------------------------


def test_columns_are_computed_from_columns():
    """Text, money, integers, numbers and booleans follow from what the event says."""
    parsed = flat(
        {"amount": 12.5, "fee": "0.25"},
        {"amount": -3},
        columns={
            **FLAT,
            "payment_status": {
                "expression": "CASE WHEN amount < 0 THEN 'refunded' ELSE 'completed' END"
            },
        },
        attributes={
            "fee": {"path": "fee", "type": "number"},
            "cents": {"type": "integer", "expression": "amount * 100"},
            "share": {"type": "number", "expression": "fee / 2"},
            "large": {"type": "boolean", "expression": "amount >= 10"},
            "label": {"type": "string", "expression": "UPPER(transaction_id)"},
        },
    )

    names = ("payment_status", "cents", "share", "large", "label")
    assert parsed.columns.select(names).rows() == [
        ("completed", 1250, 0.125, True, "A"),
        ("refunded", -300, None, False, "A"),
    ]
    assert json.loads(parsed.columns["metadata"][1]) == {
        "cents": -300,
        "large": False,
        "label": "A",
    }


@pytest.mark.parametrize(
    ("column", "expression", "event", "expected"),
    [
        ("amount", "gross / 3", {"gross": 1}, "too_many_decimals"),
        ("amount", "gross * 100000", {"gross": 10**14}, "too_many_digits"),
        ("amount", "gross * gross * gross", {"gross": 10**14}, "not_computed"),
        ("amount", "gross - fee", {"gross": 1}, "required"),
        ("currency", "UPPER(note)", {"note": "euro"}, "unknown_currency"),
        ("currency", "note", {}, "required"),
        ("payment_status", "note", {"note": "done"}, "unknown_status"),
        ("country", "note", {"note": "Germany"}, "invalid_country"),
        ("latency_us", "gross * 1000000", {"gross": -1}, "out_of_range"),
        ("count", "gross / 2", {"gross": 1}, "wrong_type"),
        ("count", "gross * 1000000", {"gross": 10**14}, "out_of_range"),
    ],
)
def test_a_result_that_does_not_fit_its_column_fails(column, expression, event, expected):
    """Results are held to what the event's own values are held to; neighbours are not touched."""
    columns = {k: v for k, v in FLAT.items() if k != column}
    attributes: dict[str, dict[str, object]] = {
        "gross": {"path": "gross", "type": "integer"},
        "fee": {"path": "fee", "type": "integer", "default": 0},
        "note": {"path": "note", "type": "string"},
    }
    if expected == "required" and column == "amount":
        del attributes["fee"]["default"]
    if column == "count":
        attributes["count"] = {"type": "integer", "expression": expression}
    else:
        columns[column] = {"expression": expression}
    sound = {
        "gross": 2,
        "fee": 1,
        "note": {"country": "DE", "payment_status": "failed"}.get(column, "EUR"),
    }
    if column == "amount" and "/" in expression:
        sound["gross"] = 3

    parsed = flat(sound, event, sound, columns=columns, attributes=attributes)

    assert errors(parsed) == {(1, 0): [(expected, column)]}
    assert parsed.columns["row"].to_list() == [0, 2]


def test_checks_hold_across_fields():
    """False fails under the check's name; what is not known does not."""
    checks = [
        {"name": "refund_names_original", "holds": "amount >= 0 OR original IS NOT NULL"},
        {
            "name": "fee_below_amount",
            "holds": "fee <= amount",
            "expected": "a fee below the amount",
        },
    ]
    attributes = {
        "original": {"path": "original", "type": "string"},
        "fee": {"path": "fee", "type": "number"},
    }

    parsed = flat(
        {"amount": -1},
        {"amount": -1, "original": "o"},
        {"amount": 1, "fee": 2},
        {"amount": -1, "fee": 2},
        checks=checks,
        attributes=attributes,
    )

    assert parsed.columns["row"].to_list() == [1]
    assert errors(parsed) == {
        (0, 0): [("check_failed", "refund_names_original")],
        (2, 0): [("check_failed", "fee_below_amount")],
        (3, 0): [("check_failed", "refund_names_original"), ("check_failed", "fee_below_amount")],
    }
    assert parsed.failures[2, 0][0].expected == "a fee below the amount"
    assert parsed.failures[0, 0][0].expected == "amount >= 0 OR original IS NOT NULL"
    assert parsed.names[0, 0].transaction_id == "a"


def test_an_identity_may_be_computed():
    """Keys and hashes see computed columns; the payload's hash does not count them twice."""
    attributes = {"half": {"type": "integer", "expression": "FLOOR(amount / 2)"}}

    parsed = flat(
        {"amount": 2}, {"amount": 3}, {"amount": 4}, attributes=attributes, identity=["half"]
    )

    keys = parsed.columns["event_key"].to_list()
    assert keys[0] == keys[1] != keys[2]


def test_single_messages_are_computed_too():
    """Pages that hold one event see the same columns and the same reasons."""

    class Message:
        body = b'{"id":"a","at":1767225600,"amount":5}'

    document = {
        "columns": FLAT,
        "attributes": {"double": {"type": "number", "expression": "amount * 2"}},
    }
    wrong = {**document, "checks": [{"name": "small", "holds": "double < 10"}]}

    result = TransactionParser(compile_schema(document, name="x")).parse_and_validate(Message())
    failed = TransactionParser(compile_schema(wrong, name="x")).parse_and_validate(Message())

    assert result.transaction is not None
    assert result.transaction.attributes == {"double": 10.0}
    assert failed.error is not None
    assert failed.error.constraint == "check_failed"


@pytest.mark.parametrize(
    ("document", "pointer", "words"),
    [
        ({"explode": "entries"}, "/explode", "and []"),
        ({"explode": "a[].b[]"}, "/explode", "element of an array"),
        ({"explode": "a[0][]"}, "/explode", "one array"),
        ({"explode": "header:x[]"}, "/explode", "names joined"),
        ({"explode": 5}, "/explode", "and []"),
        (
            {"explode": "a[]", "json_schema": {"properties": {"a": {"type": "array"}}}},
            "/explode",
            "must describe one element",
        ),
        (
            {"explode": "a.b[]", "json_schema": {"properties": {"a": {"enum": [{}]}}}},
            "/explode",
            "enum and const",
        ),
        (
            {
                "explode": "a[]",
                "json_schema": {"properties": {"b": True}, "additionalProperties": False},
            },
            "/explode",
            "allows no value for a",
        ),
        (
            {"columns": {**FLAT, "channel": {"expression": "x"}}},
            "/columns/channel/expression",
            "unknown",
        ),
        (
            {"columns": {**FLAT, "channel": {"expression": "SUM(amount)"}}},
            "/columns/channel/expression",
            "SUM",
        ),
        (
            {"columns": {**FLAT, "channel": {"expression": "amount"}}},
            "/columns/channel/expression",
            "gives",
        ),
        (
            {"columns": {**FLAT, "channel": {"expression": ""}}},
            "/columns/channel/expression",
            "as text",
        ),
        (
            {"columns": {**FLAT, "channel": {"expression": "currency", "default": "x"}}},
            "/columns/channel/default",
            "beside an expression",
        ),
        (
            {"columns": {**FLAT, "transaction_id": {"expression": "currency"}}},
            "/columns/transaction_id/expression",
            "comes from the event itself",
        ),
        (
            {
                "columns": {
                    **FLAT,
                    "amount": {"path": "amount", "unit": "minor"},
                    "currency": {"expression": "payment_status"},
                }
            },
            "/columns/amount/unit",
            "not computed",
        ),
        (
            {
                "columns": {**FLAT, "amount": {"expression": "share * 1"}},
                "attributes": {"share": {"path": "s", "type": "number"}},
            },
            "/columns/amount/expression",
            "AS DECIMAL",
        ),
        ({"checks": {}}, "/checks", "list"),
        ({"checks": ["x"]}, "/checks/0", "object"),
        ({"checks": [{"name": "X", "holds": "TRUE"}]}, "/checks/0/name", "lower-case"),
        ({"checks": [{"name": "x", "holds": "amount"}]}, "/checks/0/holds", "true or false"),
        ({"checks": [{"name": "x"}]}, "/checks/0/holds", "as text"),
        (
            {"checks": [{"name": "x", "holds": "TRUE", "when": 1}]},
            "/checks/0/when",
            "not supported",
        ),
        ({"checks": [{"name": "x", "holds": "TRUE"}] * 2}, "/checks/1/name", "twice"),
    ],
)
def test_mistakes_are_named_at_their_place(document, pointer, words):
    """Each mistake is found before anything is live, with what to write instead."""
    with pytest.raises(ConfigurationError) as caught:
        compile_schema({"columns": FLAT, **document}, name="wrong")

    assert [problem.pointer for problem in caught.value.problems] == [pointer]
    assert words in caught.value.problems[0].message
