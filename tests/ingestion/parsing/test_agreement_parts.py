"""Both paths say the same where messages hold several events, and of headers and arrays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.parsing import CompiledSchema, compile_schema
from ingestion.parsing.fast import FastPath
from ingestion.parsing.fast_parts import PartsPath
from tests.ingestion.parsing.agreement import ODD_VALUES, assert_agree, to_json

#: every new way to name a value, with an array of events
DOCUMENT: dict[str, Any] = {
    "explode": "report.entries[]",
    "nulls": ["", "NONE"],
    "route": {
        "header:kind": {"in": ["report", "x", "true"]},
        "report.entries.type": {"in": ["AUTH", "CAPTURE"]},
        "otherwise": "ignored",
    },
    "identity": ["transaction_id", "payment_status", "occurred_at", "batch"],
    "columns": {
        "transaction_id": {"path": "report.entries.ref"},
        "occurred_at": {"first": ["report.entries.at", "report.created"], "format": "rfc3339"},
        "amount": {"path": "report.entries.amounts[kind=gross].value", "unit": "minor"},
        "currency": {"first": ["report.entries.currency", "report.currency"], "upper": True},
        "payment_status": {
            "path": "report.entries.ok",
            "map": {"true": "completed", "no": "failed"},
        },
        "merchant_id": {"path": 'report."merchant.id"'},
        "processor": {"path": "header:processor", "default": "acme"},
        "error_code": {"path": "report.entries.reasons[0]"},
        "correlation_id": {"first": ["header:trace", "id"]},
        "customer_id": {"path": 'parties["the role"=buyer].id'},
        "transaction_type": {"expression": "CASE WHEN amount < 0 THEN 'refund' ELSE 'payment' END"},
    },
    "attributes": {
        "batch": {"path": "report.number", "type": "integer"},
        "fee": {"path": "report.entries.amounts[kind=fee].value", "type": "number"},
        "attempt": {"path": "header:attempt", "type": "integer"},
        "net": {"type": "number", "expression": "amount - COALESCE(fee, 0)"},
    },
    "checks": [{"name": "fee_below_amount", "holds": "fee IS NULL OR ABS(amount) * 100 >= fee"}],
    "json_schema": {
        "type": "object",
        "required": ["report"],
        "properties": {
            "report": {
                "type": "object",
                "required": ["entries", "number"],
                "properties": {
                    "number": {"type": "integer", "minimum": 0},
                    "entries": {
                        "type": "object",
                        "required": ["ref"],
                        "properties": {
                            "ref": {"type": "string", "pattern": "^[a-z]"},
                            "amounts": {
                                "type": "array",
                                "items": {"type": "object", "required": ["kind"]},
                            },
                        },
                    },
                },
            }
        },
    },
}
ENTRY = {
    "ref": '"t-1"',
    "type": '"AUTH"',
    "at": '"2026-01-31T12:00:00Z"',
    "currency": '"eur"',
    "ok": "true",
    "amounts": '[{"kind":"net","value":90},{"kind":"gross","value":100},{"kind":"fee","value":10}]',
    "reasons": '["r-1"]',
}
REPORT = {"number": "7", "created": '"2026-02-01T00:00:00Z"', "currency": '"USD"'}
HEADERS = b'{"kind":"report","trace":"c-1","attempt":"2"}'
PARTIES = '[{"the role":"seller","id":"s"},{"the role":"buyer","id":"b"}]'
ODD_ARRAYS = [
    *("[]", "{}", "null", '"x"', "[1]", "[null]", "[[]]", '[{"kind":"gross"}]', '[{"value":1}]'),
    *('[{"kind":"gross","value":1},{"kind":"gross","value":2}]', '[{"kind":"gross","value":null}]'),
    *('[{"kind":"gross","kind":"fee","value":1}]', '[{"kind":"gross","value":1,"value":2}]'),
    *('[{"kind":"gross","value":{"a":1,"a":2}}]', r'[{"kind":"gr\u006fss","value":5}]'),
    *('[{"kind":true,"value":1}]', '[{"kind":"gross","value":"12"}]', '["a\\"b"]', '["é","x"]'),
    *('[{"kind":"gross","value":1e400}]', '[{"kind":"gross","value":99999999999999999999}]'),
    *('[{"kind":"gross","value":100},{"kind":"fee","value":20000}]', '["\\ud800"]', '["a\\u0000"]'),
]
ODD_HEADERS = [
    *(None, b"", b"{}", b"[]", b"null", b"{", b"\xff", b'{"kind":1}', b'{"kind":true}'),
    *(b'{"kind":"report","attempt":3}', b'{"kind":"report","kind":"x"}', b'{"kind":null}'),
    *(b'{"kind":"report","trace":"a","trace":"b"}', b'{"kind" :"report","kind":"x"}'),
    *(b'{"kind":"report","other":{"kind":"x"}}', b'{"kind":"report","other":1,"other":2}'),
    *(rb'{"kind":"rep\u006frt"}', rb'{"kind":"report","trace":"\u0000"}', b'{"kind":"report",}'),
    *(b'\xef\xbb\xbf{"kind":"report"}', b'{"kind":"report","trace":"' + b"x" * 300 + b'"}'),
    *(
        b'{"kind":"other"}',
        '{"kind":"report","processor":"é"}'.encode(),
        b'{"kind":"report","a":NaN}',
    ),
    *(
        b'{"kind":"report","a":' + b"[" * 400 + b"]" * 400 + b"}",
        b'{"kind":"report","processor":"NONE"}',
    ),
]


def schema(**changes: Any) -> CompiledSchema:
    return compile_schema({**DOCUMENT, **changes}, name="parts")


SCHEMA = schema()


def message(*entries: str, report: dict[str, str] | None = None, **more: str) -> bytes:
    """A message with these entries, each a JSON text."""
    inner = {**(REPORT if report is None else report), "entries": f"[{','.join(entries)}]"}
    body = {"id": '"m-1"', "parties": PARTIES, "report": to_json(inner), **more}
    return to_json(body).encode()


def entry(**changes: str | None) -> str:
    """JSON of an entry; None leaves a name out."""
    changed = {**ENTRY, **changes}
    return to_json({name: value for name, value in changed.items() if value is not None})


def fast_of(schema: CompiledSchema) -> FastPath | PartsPath:
    """The fast path of a schema that has one."""
    assert schema._fast is not None
    return schema._fast


def test_plain_parts_take_the_fast_path():
    """The messages of these tests are taken without the slow path, or they would show nothing."""
    bodies = [message(entry(), entry(type='"OTHER"'), entry(ref='"u"')), message()]

    taken = fast_of(SCHEMA).take(bodies, [HEADERS, HEADERS])

    assert taken.rest == {}
    assert taken.mapped.select("row", "part").rows() == [(0, 0), (0, 2)]
    assert taken.ignored == [(0, 1), (1, 0)]
    assert taken.parts == [3, 1]


def test_a_bad_part_leaves_the_others_on_the_fast_path():
    """Only the parts that the fast path cannot judge go to the slow one."""
    bodies = [message(entry(), entry(ref="5"), entry(ok='"maybe"'), "1", entry())]

    taken = fast_of(SCHEMA).take(bodies, [HEADERS])

    assert taken.rest == {0: [1, 2, 3]}
    assert taken.mapped["part"].to_list() == [0, 4]


@pytest.mark.parametrize("name", [*ENTRY, "more"])
def test_every_odd_value_in_every_place_of_a_part(name):
    """Each odd value in each place of one part of three gets one verdict from both paths."""
    values = [*ODD_VALUES, *ODD_ARRAYS, None]
    bodies = [message(entry(), entry(**{name: value}), entry()) for value in values]

    parsed = assert_agree(SCHEMA, bodies, [HEADERS] * len(bodies))

    assert {(row, 0) for row in range(len(bodies))} - set(parsed.failures)


@pytest.mark.parametrize("name", ["number", "currency", "created", "merchant.id"])
def test_every_odd_value_around_the_parts(name):
    """Each odd value outside of the array gets one verdict from both paths."""
    bodies = [
        message(entry(), entry(at=None, currency=None), report={**REPORT, name: value})
        for value in ODD_VALUES
    ]
    bodies += [message(entry(), parties=value) for value in [*ODD_VALUES, *ODD_ARRAYS]]

    assert_agree(SCHEMA, bodies, [HEADERS] * len(bodies))


@pytest.mark.parametrize("value", [*ODD_ARRAYS, *ODD_VALUES[::5]])
def test_every_odd_value_in_the_place_of_the_array(value):
    """Whatever stands where the parts should be gets one verdict from both paths."""
    body = to_json({"report": to_json({**REPORT, "entries": value})}).encode()
    twice = to_json({"report": to_json({**REPORT, "entries": value, "entries ": "[]"})}).encode()

    assert_agree(SCHEMA, [body, message(entry()), twice], [HEADERS] * 3)


def test_odd_headers():
    """Headers that are broken, repeated or of another type get one verdict from both paths."""
    bodies = [message(entry(), entry(ref='"u"'))] * len(ODD_HEADERS)

    parsed = assert_agree(SCHEMA, bodies, ODD_HEADERS)

    assert not parsed.columns.is_empty()
    assert parsed.failures[ODD_HEADERS.index(b'{"kind":"report","kind":"x"}'), 0]


def test_many_parts_and_levels():
    """Messages with hundreds of parts, and the deepest that may be, are judged alike."""
    deep = '{"a":' * 295 + "1" + "}" * 295
    bodies = [
        message(*[entry()] * 400),
        message(*[entry()] * 1000),
        message(*[entry()] * 1001),
        message(*[entry(more=deep)] * 3),
        message(*[entry(more=f'{{"a":{deep}}}')] * 3),
        message(*["[]"] * 999),
        message(entry(), more=deep.replace("1", "[[[[1]]]]")),
        message(entry(), more=f'{{"a":{{"a":{deep}}}}}'),
    ]

    parsed = assert_agree(SCHEMA, bodies, [HEADERS] * len(bodies))

    assert list(parsed.parts or [])[:3] == [400, 1000, 1]
    assert parsed.failures[2, 0][0].constraint == "too_many_parts"


@pytest.mark.parametrize("json_schema", [True, {"required": ["events"]}])
def test_an_array_and_nothing_around_it(json_schema):
    """Where a schema reads nothing but its array, both paths agree as well."""
    document = {
        "explode": "events[]",
        "columns": {
            "transaction_id": {"path": "events.id"},
            "occurred_at": {"path": "events.at", "format": "epoch_s"},
            "amount": {"path": "events.amount"},
            "currency": {"constant": "EUR"},
            "payment_status": {"constant": "completed"},
        },
        "json_schema": json_schema,
    }
    event = '{"id":"a","at":1767225600,"amount":1}'
    bodies = [f'{{"events":[{event},{event}]}}'.encode(), b'{"events":[]}', b"{}"]
    compiled = compile_schema(document, name="bare")

    parsed = assert_agree(compiled, bodies)
    taken = fast_of(compiled).take(bodies)

    assert parsed.columns.select("row", "part").rows() == [(0, 0), (0, 1)]
    assert (taken.rest, taken.ignored) == ({2: None}, [(1, 0)])


ODD = st.sampled_from([*ODD_VALUES, *ODD_ARRAYS])
ENTRIES = st.one_of(
    st.just(entry()),
    st.builds(lambda name, value: entry(**{name: value}), st.sampled_from(sorted(ENTRY)), ODD),
    st.builds(lambda value: entry()[:-1] + f',"ref":{value}}}', ODD),
    st.builds(lambda value: entry()[:-1] + f',"more":{{"ref":{value}}}}}', ODD),
    st.builds(lambda name: entry(**{name: None}), st.sampled_from(sorted(ENTRY))),
    ODD,
)
MESSAGES = st.builds(
    lambda entries, name, value, spaced: message(
        *entries, report={**REPORT, name: value} if name else None
    ).replace(b":", b" : " if spaced else b":"),
    st.lists(ENTRIES, max_size=6),
    st.sampled_from(["", "", "", "", "number", "currency", "entries", "ref", "merchant.id"]),
    ODD,
    st.sampled_from([False] * 9 + [True]),
)
CHANGES = st.sampled_from(
    [
        {},
        {"checks": []},
        {"json_schema": True},
        {"json_schema": {"additionalProperties": False, "properties": {"report": True}}},
        {"route": {"report.entries.type": {"in": ["AUTH"]}, "otherwise": "failed"}},
        {"route": {"report.currency": {"in": ["USD"]}, "otherwise": "ignored"}},
        {"identity": "position"},
        {"explode": "report.entries[]", "route": None, "nulls": []},
    ]
)


RAW_HEADERS = st.sampled_from([HEADERS] * 9 + ODD_HEADERS)


@given(CHANGES, st.lists(st.tuples(MESSAGES, RAW_HEADERS), min_size=1, max_size=8))
@settings(max_examples=60)
def test_generated_messages(changes, cases):
    """Whatever a message holds, both paths say the same of every part."""
    bodies, headers = [body for body, _ in cases], [raw for _, raw in cases]

    assert_agree(schema(**changes), bodies, headers)


FLAT = {
    "columns": {
        "transaction_id": {"first": ["data.items[0].id", "header:id"]},
        "occurred_at": {"path": "data.items[type=time].at", "format": "epoch_s"},
        "amount": {"path": 'data."a.b".items[0].amounts[type=x].value'},
        "currency": {"path": "header:currency", "default": "EUR"},
        "payment_status": {"expression": "CASE WHEN amount > 5 THEN 'completed' ELSE note END"},
        "error_code": {"path": "data.items[type=time].at"},
    },
    "attributes": {"note": {"path": "note", "type": "string"}},
    "checks": [{"name": "not_huge", "holds": "amount * amount * amount < 1000000000"}],
    "json_schema": {"properties": {"data": {"properties": {"items": {"type": "array"}}}}},
}
ITEMS = st.one_of(
    ODD,
    st.builds(
        lambda at, id_, more: f'[{{"type":"x","id":{id_}}},{more},{{"type":"time","at":{at}}}]',
        st.one_of(st.just("1767225600"), ODD),
        st.one_of(st.just('"t"'), ODD),
        ODD,
    ),
)
AMOUNT = '[{{"amounts":[{{"type":"x","value":{}}}]}},1]'
AMOUNTS = st.one_of(ODD, st.builds(AMOUNT.format, st.one_of(st.just("12"), ODD)))
NOTES = st.sampled_from(['"failed"', '"USD"', "null"])


@given(st.lists(st.tuples(ITEMS, AMOUNTS, NOTES), min_size=1, max_size=8))
@settings(max_examples=60)
def test_arrays_and_expressions_without_parts(cases):
    """Picking from arrays, headers, and expressions agree where a message is one event."""
    bodies = [
        f'{{"data":{{"items":{items},"a.b":{{"items":{amounts}}}}},"note":{note}}}'.encode()
        for items, amounts, note in cases
    ]

    assert_agree(compile_schema(FLAT, name="flat"), bodies, [b'{"id":"h"}'] * len(bodies))


def test_the_plain_flat_event_takes_the_fast_path():
    """Picking and headers alone never need the slow path."""
    items = '[{"type":"x","id":"a"},{"type":"time","at":1767225600}]'
    body = f'{{"data":{{"items":{items},"a.b":{{"items":{AMOUNT.format(7)}}}}}}}'

    taken = fast_of(compile_schema(FLAT, name="flat")).take(
        [body.encode()], [b'{"currency":"USD"}']
    )

    assert taken.rest == {}
    assert taken.mapped.row(0, named=True)["currency"] == "USD"
