"""The fast path and the slow path say the same of everything."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.parsing import compile_schema
from ingestion.parsing.schema import SMALL_BATCH
from tests.ingestion.parsing.agreement import (
    EVENT,
    ODD_VALUES,
    assert_agree,
    everything,
    shipped,
    to_json,
)

SCHEMA = everything()
PLACES = [
    *((name,) for name in (*EVENT, "ids", "tags", "missing")),
    *(("money", name) for name in EVENT["money"]),
    *(("details", name) for name in (*EVENT["details"], "method")),
    ("details", "customer", "id"),
]
SPACES = st.sampled_from(["", "", "", " ", "\n\t", "\r"])
NAMES = st.sampled_from(["id", "at", r"\u0061t", "ok", "money", r"mone\u0079", "value", "x", "é"])


def _replaced(place: tuple[str, ...], value: str | None) -> dict[str, Any]:
    event = copy.deepcopy(EVENT)
    inner: Any = event
    for name in place[:-1]:
        inner = inner[name]
    if value is None:
        inner.pop(place[-1], None)
    else:
        inner[place[-1]] = value
    return event


@pytest.mark.parametrize("place", PLACES, ids=".".join)
def test_every_odd_value_in_every_place(place):
    """Each odd value in each place of a valid event gets one verdict from both paths."""
    bodies = [to_json(_replaced(place, value)).encode() for value in [*ODD_VALUES, None]]

    assert_agree(SCHEMA, bodies)


def test_the_plain_event_takes_the_fast_path():
    """The event of these tests is accepted without the slow path, or they would show nothing."""
    fast = SCHEMA._fast
    assert fast is not None
    taken = fast.take([to_json(EVENT).encode()])

    assert taken.rest == {}
    assert len(taken.mapped) == 1


@pytest.mark.parametrize("count", [1, SMALL_BATCH - 1, SMALL_BATCH, 5000])
def test_the_size_of_a_batch_changes_nothing(count):
    """Small and large batches, and slices of large ones, give each message the same result."""
    texts = [to_json({**EVENT, "id": f'"{at}"'}) for at in range(count)]
    bodies = [
        text[:-1].encode() if at % 1999 == 1998 else text.encode() for at, text in enumerate(texts)
    ]

    parsed, slow = SCHEMA.parse(bodies), SCHEMA.parse_slowly(bodies)

    assert list(parsed.failures) == [(at, 0) for at in range(1998, count, 1999)]
    assert parsed.columns.equals(slow.columns)


@st.composite
def _raw_objects(draw, depth=0):
    """JSON objects with repeated, escaped and unknown names and odd white space."""
    members = []
    base = dict(EVENT) if depth == 0 else {}
    for name in draw(st.permutations(list(base))):
        if draw(st.integers(0, 30)):
            value = base[name]
            members.append((name, to_json(value) if isinstance(value, dict) else value))
    for _ in range(draw(st.integers(0, 3))):
        value = draw(
            st.sampled_from(ODD_VALUES)
            if depth
            else st.one_of(st.sampled_from(ODD_VALUES), _raw_objects(depth=1))
        )
        members.insert(draw(st.integers(0, len(members))), (draw(NAMES), value))
    space = draw(SPACES)
    return "{" + ",".join(f'{space}"{n}"{space}:{space}{v}' for n, v in members) + space + "}"


@given(st.lists(_raw_objects(), min_size=1, max_size=8))
@settings(max_examples=150)
def test_raw_objects(texts):
    """Repeated and escaped names, unknown names and white space change no verdict."""
    assert_agree(SCHEMA, [text.encode() for text in texts])


@st.composite
def _broken(draw):
    """A valid event with some bytes cut, changed or put in."""
    body = bytearray(to_json(EVENT).encode())
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body) - 1))
        bytes_ = draw(
            st.one_of(
                st.binary(max_size=3),
                st.sampled_from(
                    [
                        b'"',
                        b"\\",
                        b"{",
                        b"}",
                        b",",
                        b":",
                        b"NaN",
                        b"\\u0000",
                        b"\xff",
                        b"\xc3",
                        b"0",
                        b" ",
                    ]
                ),
            )
        )
        body[at : at + draw(st.integers(0, 3))] = bytes_
    return bytes(body)


@given(st.lists(_broken(), min_size=1, max_size=10))
@settings(max_examples=200)
def test_broken_bytes(bodies):
    """Flipped, cut and inserted bytes change no verdict."""
    assert_agree(SCHEMA, bodies)


@given(
    st.lists(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)), max_size=9)
)
@settings(max_examples=100)
def test_any_bytes(bodies):
    """Bytes that are no event at all fail on both paths with a reason each."""
    parsed = assert_agree(SCHEMA, bodies)

    assert parsed.columns.is_empty()
    assert all(parsed.failures.values())


JSON_SCHEMAS = st.dictionaries(
    st.sampled_from(["a", "b", "m"]),
    st.one_of(
        st.booleans(),
        st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from(
                    [
                        "string",
                        "number",
                        "integer",
                        "boolean",
                        "null",
                        "array",
                        "object",
                        ["string", "null"],
                        ["number", "null"],
                        ["integer", "string"],
                    ]
                ),
                "enum": st.lists(st.sampled_from(["x", "usd", "", 0, 1, 1.0, True, None, [1]])),
                "const": st.sampled_from(["x", 1, None, True, {}]),
                "minimum": st.sampled_from([0, 0.1, -1, 1e3]),
                "exclusiveMaximum": st.sampled_from([1, 0.3, 1e16]),
                "multipleOf": st.sampled_from([1, 0.1, 0.0001, 3, 2.5]),
                "minLength": st.integers(0, 2),
                "maxLength": st.integers(1, 3),
                "pattern": st.sampled_from(["^a*$", r"\d", "[^x]", "."]),
                "format": st.sampled_from(["date-time", "date", "email", "ipv4", "uuid"]),
                "items": st.booleans(),
                "required": st.just(["c"]),
                "properties": st.just({"c": {"type": ["number", "object"]}}),
                "additionalProperties": st.booleans(),
            },
        ),
    ),
    max_size=2,
)
SOURCES = st.one_of(
    st.sampled_from(["a", "b", "b.c", "b.c.d", "b[0].c", "b.c[c=x].d", "header:a"]).map(
        lambda path: {"path": path}
    ),
    st.sampled_from([["a", "b.c"], ["b[c=x].c", "header:a", "a"], ["b[0]", "b.c"]]).map(
        lambda paths: {"first": paths}
    ),
)
DOCUMENTS = st.fixed_dictionaries(
    {
        "nulls": st.sampled_from([[], ["", "x"]]),
        "columns": st.fixed_dictionaries(
            {
                "transaction_id": SOURCES,
                "occurred_at": st.sampled_from(
                    [
                        {"path": "t", "format": name}
                        for name in ("rfc3339", "epoch_s", "epoch_ms", "epoch_us")
                    ]
                    + [
                        {"path": "t", "pattern": "%d.%m.%Y %H:%M:%S", "zone": "Europe/Berlin"},
                        {"path": "t", "pattern": "%Y-%m-%dT%H:%M:%S.%f%z"},
                    ]
                ),
                "amount": st.builds(
                    lambda unit, path: {"unit": unit, "path": path},
                    st.sampled_from(["major", "minor"]),
                    st.sampled_from(["m", "a"]),
                ),
                "currency": st.sampled_from(
                    [
                        {"path": "cur"},
                        {"path": "cur", "upper": True},
                        {"constant": "JPY"},
                        {"first": ["a", "cur"], "default": "BHD"},
                    ]
                ),
                "payment_status": st.just({"constant": "completed"}),
            },
            optional={
                "country": st.sampled_from([{"path": "k"}, {"path": "k", "upper": True}]),
                "latency_us": st.sampled_from(
                    [{"path": "m", "unit": u} for u in ("us", "ms", "s")]
                ),
                "error_code": st.builds(
                    lambda source: {**source, "map": {"x": "y", "1": "one", "true": "yes"}}, SOURCES
                ),
            },
        ),
        "attributes": st.dictionaries(
            st.sampled_from(["p", "q"]),
            st.builds(
                lambda source, kind: {**source, "type": kind},
                SOURCES,
                st.sampled_from(["string", "string", "number", "integer", "boolean"]),
            ),
            max_size=1,
        ),
        "json_schema": st.fixed_dictionaries(
            {"properties": JSON_SCHEMAS},
            optional={
                "required": st.sampled_from([["a"], ["b"]]),
                "additionalProperties": st.booleans(),
            },
        ),
    },
    optional={
        "identity": st.sampled_from(["position", ["transaction_id"]]),
        "route": st.sampled_from(
            [
                {"a": {"in": ["x", "usd", ""]}, "otherwise": "ignored"},
                {"k": {"in": ["DE"]}, "otherwise": "failed"},
            ]
        ),
    },
)
ODD = st.sampled_from(ODD_VALUES)
TIMES = {
    "rfc3339": '"2026-01-31T12:00:00.123456Z"',
    "epoch_s": "1767225600.5",
    "epoch_ms": "1767225600123",
    "epoch_us": "1767225600123456",
    "%d.%m.%Y %H:%M:%S": '"27.10.2024 02:30:00"',
    "%Y-%m-%dT%H:%M:%S.%f%z": '"2026-01-31T12:00:00.1234567+0200"',
}


VALUES_OF_B = [
    *('{"c":"x"}', '{"c":1}', '"x"', '{"c":{"d":"x"}}', "null"),
    *('[{"c":"x"}]', '[{"c":1},{"c":"x"}]', '{"c":[{"c":"x","d":"x"}]}', '[{"c":"x","c":"y"}]'),
]


@st.composite
def _cases(draw):
    """A document and events for it, most of them near what it takes."""
    document = draw(DOCUMENTS)
    time = document["columns"]["occurred_at"]
    plain = {
        "t": TIMES[time.get("format") or time["pattern"]],
        "m": draw(st.sampled_from(["12", "0.5", '"7.25"', "-3"])),
        "cur": draw(st.sampled_from(['"USD"', '"usd"', '"JPY"', '"BHD"', '"CLF"', "null"])),
        "a": draw(st.sampled_from(['"x"', '"x"', "1", "true"])),
        "b": draw(st.sampled_from(VALUES_OF_B)),
        "k": draw(st.sampled_from(['"DE"', '"de"', "null"])),
    }
    events = []
    for _ in range(draw(st.integers(1, 12))):
        event = dict(plain)
        for name in draw(st.sets(st.sampled_from(sorted(plain)), max_size=1)):
            event[name] = draw(st.one_of(ODD, ODD.map('{{"c":{}}}'.format)))
        if not draw(st.integers(0, 9)):
            del event[draw(st.sampled_from(sorted(plain)))]
        events.append(to_json(event).encode())
    return document, events


@given(_cases())
@settings(max_examples=200)
def test_generated_documents(case):
    """Whatever the document says, both paths say the same of every event."""
    document, bodies = case

    assert_agree(compile_schema(document, name="generated"), bodies, [b'{"a":"x"}'] * len(bodies))


@pytest.mark.parametrize("name", ["transaction", "simulator", "stripe"])
def test_shipped_schemas_take_odd_objects(name):
    """The shipped schemas judge alike by both paths what was made for another schema."""
    bodies = [
        to_json(_replaced(place, value)).encode() for place in PLACES for value in ODD_VALUES[::7]
    ]

    assert_agree(shipped(name), bodies)
