"""Events within envelopes: opened exactly, refused by name, and nothing hidden from scrubbing."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.parsing.schema import compile_schema
from ingestion.parsing.wrapping import Wrapping
from ingestion.parsing.xml import MAX_ELEMENTS, XmlRefused, read_xml
from ingestion.scrub import ScrubRules, scrub
from payflow.lib.errors import ConfigurationError

_COLUMNS = {
    "transaction_id": {"path": "payload.id"},
    "occurred_at": {"path": "sent_at", "format": "rfc3339"},
    "amount": {"path": "payload.amount", "unit": "major"},
    "currency": {"constant": "EUR"},
    "payment_status": {"constant": "completed"},
}


def schema(**decoder: str) -> Any:
    document = {"name": "w", "decoder": {"inside": "payload", **decoder}, "columns": _COLUMNS}
    return compile_schema(document, name="w")


def envelope(text: Any) -> bytes:
    return json.dumps({"sent_at": "2026-03-01T10:00:00Z", "payload": text}).encode()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


_INNER = b'{"id": "a", "amount": 12.3400}'
_XML = b"<payload-is-root><id>a</id><amount>12.34</amount></payload-is-root>"


@pytest.mark.parametrize(
    ("decoder", "text"),
    [
        ({}, _INNER.decode()),
        ({"encoding": "base64"}, b64(_INNER)),
        ({"encoding": "base64"}, b64(_INNER).rstrip("=").replace("+", "-").replace("/", "_")),
        ({"encoding": "base64"}, "\n".join(b64(_INNER)[i : i + 8] for i in range(0, 48, 8))),
    ],
)
def test_json_within_a_message_is_part_of_its_event(decoder, text):
    """Paths go on into it, beside those of the envelope; amounts keep their digits."""
    parsed = schema(**decoder).parse([envelope(text)] * 60)

    assert parsed.failures == {}
    row = parsed.columns.row(59, named=True)
    assert (row["transaction_id"], str(row["amount"])) == ("a", "12.3400")
    assert row["occurred_at"].isoformat() == "2026-03-01T10:00:00+00:00"


def test_xml_within_a_message_is_part_of_its_event():
    """The root is a name of the path."""
    document = json.loads(json.dumps(_COLUMNS).replace("payload.", "payload.payload-is-root."))
    decoder = {"inside": "payload", "encoding": "base64", "format": "xml"}
    compiled = compile_schema({"name": "w", "decoder": decoder, "columns": document}, name="w")

    parsed = compiled.parse([envelope(b64(_XML))])

    assert parsed.failures == {}
    assert str(parsed.columns["amount"][0]) == "12.3400"


@pytest.mark.parametrize(
    ("decoder", "text", "reason"),
    [
        ({"encoding": "base64"}, "not base64!", "invalid_encoding"),
        ({"encoding": "base64"}, b64(b"{"), "invalid_json"),
        ({"encoding": "base64"}, b64(b"\xff{}"), "invalid_utf8"),
        ({"encoding": "base64"}, b64(b"[]"), "not_an_object"),
        ({}, '{"id": "a", "id": "b"}', "duplicate_key"),
        ({}, 7, "wrong_type"),
        ({}, '{"a":' * 299 + "[" * 2, "too_deep"),
        ({"encoding": "base64", "format": "xml"}, b64(b"<a>"), "invalid_xml"),
        ({"encoding": "base64", "format": "xml"}, b64(b"<!DOCTYPE a><a/>"), "invalid_xml"),
        ({"encoding": "base64", "format": "xml"}, b64(b"<a>" * 5000), "invalid_xml"),
        (
            {"encoding": "base64", "format": "xml"},
            b64(b"<a>" + b"<b/>" * MAX_ELEMENTS + b"</a>"),
            "invalid_xml",
        ),
        (
            {"encoding": "base64", "format": "xml"},
            b64(b"<a " + b" ".join(b'a%d=""' % n for n in range(MAX_ELEMENTS)) + b"/>"),
            "invalid_xml",
        ),
        *(
            ({"encoding": "base64", "format": "xml"}, b64(declared), "invalid_xml")
            for name in ("no-such", "shift_jis", "idna", "undefined", "rot13", "utf-7")
            for declared in [f'<?xml version="1.0" encoding="{name}"?><a/>'.encode()]
        ),
    ],
)
def test_what_cannot_be_opened_fails_with_its_reason(decoder, text, reason):
    """The message fails alone; the field is the text that carries the event."""
    compiled = schema(**decoder)
    good = envelope(b64(_INNER) if decoder.get("encoding") else _INNER.decode())

    parsed = compiled.parse([envelope(text), good])

    (error,) = parsed.failures[0, 0]
    assert error.constraint == reason
    assert "not base64!" not in error.message
    assert compiled.judge(envelope(text)).errors == (error,)
    assert (1, 0) not in parsed.failures or decoder.get("format") == "xml"


@pytest.mark.parametrize("note", ["\u4e2d" * 250_000, "\ud800", "\u2028\x7f\U0001f600"])
def test_an_event_in_any_script_is_as_large_as_it_came(note):
    """Written anew with escapes it would be twice as large, and fail as too large."""
    text = json.dumps({"id": "a", "amount": 1, "note": note}, ensure_ascii="\ud800" in note)

    parsed = schema(encoding="base64").parse([envelope(b64(text.encode()))])

    assert parsed.failures == {}


def test_an_envelope_without_the_text_is_judged_as_it_is():
    """A route may leave it to others; else what the mapping misses is named."""
    parsed = schema().parse([b'{"sent_at": "2026-03-01T10:00:00Z"}'])

    assert {error.constraint for error in parsed.failures[0, 0]} == {"required"}


def test_nesting_within_nesting_ends_as_a_reason():
    """Both are below the limit of their own, together they are above."""
    inner = '{"a":' * 290 + "1" + "}" * 290
    text = json.dumps(inner)
    body = b'{"sent_at": "x", "deep": ' + b"[" * 290 + b"]" * 290 + b', "payload": ' + text.encode()

    parsed = schema().parse([body + b"}"])

    assert parsed.failures[0, 0][0].constraint in {"too_deep", "required"}


@pytest.mark.parametrize(
    ("decoder", "pointer"),
    [
        ("yaml", "/decoder"),
        ({"encoding": "base64"}, "/decoder/inside"),
        ({"inside": "a..b"}, "/decoder/inside"),
        ({"inside": "a", "encoding": "rot13"}, "/decoder/encoding"),
        ({"inside": "a", "format": "protobuf"}, "/decoder/format"),
        ({"inside": "a", "charset": "latin1"}, "/decoder/charset"),
    ],
)
def test_a_wrong_decoder_is_refused_with_its_place(decoder, pointer):
    """Before anything is live."""
    with pytest.raises(ConfigurationError) as caught:
        compile_schema({"name": "w", "decoder": decoder, "columns": _COLUMNS}, name="w")

    assert [problem.pointer for problem in caught.value.problems] == [pointer]


# --- XML ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<a> x </a>", {"a": "x"}),
        ("<a/>", {"a": ""}),
        ("<a><b>1</b><c>2</c></a>", {"a": {"b": "1", "c": "2"}}),
        ("<a><b>1</b><b>2</b></a>", {"a": {"b": ["1", "2"]}}),
        ('<a type="array"><b>1</b></a>', {"a": ["1"]}),
        ('<a type="array"/>', {"a": []}),
        ('<a nil="true"/>', {"a": None}),
        ('<a type="boolean">false</a>', {"a": False}),
        ('<a type="datetime">2026-03-01</a>', {"a": "2026-03-01"}),
        ('<a type="integer">007</a>', {"a": "007"}),
        ('<a currency="EUR">1.00</a>', {"a": {"@currency": "EUR", "#text": "1.00"}}),
        ('<a xmlns="urn:x"><b>1</b></a>', {"a": {"@xmlns": "urn:x", "b": "1"}}),
        ("<a>x &amp; y &#233;</a>", {"a": "x & y é"}),
        ("<a><![CDATA[<b>]]></a>", {"a": "<b>"}),
    ],
)
def test_xml_becomes_json_in_one_way(text, value):
    """The table of the module, and what XML itself demands."""
    assert read_xml(text.encode()) == value


def test_an_integer_keeps_its_digits():
    """Beyond what a float holds."""
    number = read_xml(b'<a type="integer">12345678901234567890</a>')["a"]

    assert number.literal == "12345678901234567890"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE a [<!ENTITY x "xxxx">]><a>&x;</a>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        "<a>&undefined;</a>",
        "<a></b>",
        "",
        "<a/><b/>",
    ],
)
def test_no_entity_is_ever_expanded(text):
    """Bombs and files are refused with the document type; broken XML with its place."""
    with pytest.raises(XmlRefused) as caught:
        read_xml(text.encode())

    assert "passwd" not in str(caught.value)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=60)
@given(inner=st.dictionaries(st.text(max_size=4), _values, max_size=4), outer=_values)
def test_opening_changes_nothing_but_the_text(inner, outer):
    """Whatever else the envelope holds is there as before."""
    wrapping = Wrapping(path=("in", "side"), encoding="base64", format="json")
    message = {"before": outer, "in": {"side": b64(json.dumps(inner).encode()), "x": outer}}

    opened = json.loads(wrapping.open(json.dumps(message).encode()))

    assert opened == {"before": outer, "in": {"side": inner, "x": outer}}


# --- scrubbing ------------------------------------------------------------------------------------

_PAN = b"4111111111111111"


@pytest.mark.parametrize(
    "carried", [b"<a><card>4111111111111111</card></a>", b'{"card": "4111111111111111"}']
)
def test_an_encoding_hides_no_card_number(carried):
    """What is carried is masked within the message, which stays what it is otherwise."""
    wrapping = Wrapping(path=("payload",), encoding="base64", format="xml")
    body = envelope(b64(carried))

    scrubbed = scrub(
        [body, envelope(b64(b"<a/>"))],
        None,
        None,
        rules=ScrubRules(wrappings=(wrapping,)),
        key=b"k",
    )

    inner = base64.b64decode(json.loads(scrubbed.bodies[0])["payload"])
    assert _PAN not in inner
    assert inner == carried.replace(_PAN, b"411111******1111")
    assert scrubbed.hits[0].kinds == {"pan"}
    assert scrubbed.bodies[1] == envelope(b64(b"<a/>"))
    again = scrub(scrubbed.bodies, None, None, rules=ScrubRules(wrappings=(wrapping,)), key=b"k")
    assert again.bodies == scrubbed.bodies


@pytest.mark.parametrize("encoding", ["none", "base64"])
@pytest.mark.parametrize(
    ("written", "path", "carried"),
    [
        ("json", "payload.id", '{"id": "4111111111111111"}'),
        ("xml", "payload.a.id", "<a><id>4111111111111111</id></a>"),
        ("xml", "payload.a.@id", '<a id="4111111111111111"/>'),
        ("xml", "payload.a.#text", '<a x="1">4111111111111111</a>'),
    ],
)
def test_an_identity_that_is_carried_is_spared(encoding, written, path, carried):
    """A number that only looks like a card number does not make two events one."""
    wrapping = Wrapping(path=("payload",), encoding=encoding, format=written)
    rules = ScrubRules(wrappings=(wrapping,), spared=(path,))
    text = carried if encoding == "none" else b64(carried.encode())
    body = envelope(text)

    assert scrub([body], None, None, rules=rules, key=b"k").bodies == [body]
    assert scrub([body], None, None, rules=ScrubRules(wrappings=(wrapping,)), key=b"k").hits


@pytest.mark.parametrize(
    "carried",
    [
        "<a>" + "".join(f"&#{digit};" for digit in _PAN) + "</a>",
        "<a>" + "".join(f"&#x{digit:x};" for digit in _PAN) + "</a>",
        "<a>4111<!-- -->1111<?x y?>1111<![CDATA[1111]]></a>",
        "<a>41111111<b/>11111111</a>",
        '<a x="4111&#49;11111111111">1</a>',
        "<a><!-- 4111111111111111 -->1</a>",
        "<a><?note 4111111111111111?>1</a>",
        "<card4111111111111111/>",
        "<a><cvv type='integer'>123</cvv></a>",
        "<a><cvv>1&#50;3</cvv></a>",
        '<a cvv="&#49;23"/>',
        '<a><field name="cvv">123</field></a>',
        '<a type="array"><cvv>123</cvv><n>4111111111111111</n></a>',
    ],
)
@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
def test_no_way_to_write_xml_hides_card_data(carried, codec):
    """Neither in what is archived nor in what is evaluated; a second scrub changes nothing."""
    wrapping = Wrapping(path=("payload",), encoding="base64", format="xml")
    rules = ScrubRules(wrappings=(wrapping,))
    body = envelope(b64(carried.encode(codec)))

    scrubbed = scrub([body], None, None, rules=rules, key=b"k")

    inner = base64.b64decode(json.loads(scrubbed.bodies[0])["payload"])
    seen = inner + wrapping.open(scrubbed.bodies[0])
    digits = bytes(byte for byte in seen if byte in b"0123456789*")
    assert _PAN not in digits
    assert b"123" not in digits
    assert scrubbed.hits[0].kinds <= {"pan", "cvv"}
    again = scrub(scrubbed.bodies, None, None, rules=rules, key=b"k")
    assert again.bodies == scrubbed.bodies
    assert not again.hits


@pytest.mark.parametrize("begin", ["<a>", '<a type="array">', "<a> <b/>"])
def test_xml_is_masked_as_deep_as_it_is_read(begin):
    """An exception would stop the partition; a value that is read must have been masked."""
    wrapping = Wrapping(path=("payload",), encoding="base64", format="xml")
    deep = begin * 299 + "<card>4111&#49;11111111111</card>" + "</a>" * 299
    body = envelope(b64(deep.encode()))

    scrubbed = scrub([body], None, None, rules=ScrubRules(wrappings=(wrapping,)), key=b"k")

    assert b"411111******1111" in base64.b64decode(json.loads(scrubbed.bodies[0])["payload"])


def test_card_data_is_found_in_what_will_fail():
    """A name that is there twice, a message that is too large, a text that is not what it says."""
    wrapping = Wrapping(path=("payload",), encoding="base64", format="json")
    card = b64(b'{"card": "4111111111111111"}')
    bodies = [
        f'{{"payload": "{card}", "payload": 1}}'.encode(),
        f'{{"payload": "{card}", "x": "{"y" * 2**20}"}}'.encode(),
        envelope(b64(b"{ 4111111111111111")),
        envelope([card]),
        b'{"payload": "\\ud800 4111111111111111"}',
    ]

    scrubbed = scrub(bodies, None, None, rules=ScrubRules(wrappings=(wrapping,)), key=b"k")

    assert sorted(scrubbed.hits) == [0, 1, 2, 3, 4]
    assert not any(card.encode() in body or _PAN in body for body in scrubbed.bodies)


def test_of_an_envelope_every_other_byte_stays():
    """What carries the event is archived as it came but for what was masked."""
    wrapping = Wrapping(path=("payload",), encoding="none", format="json")
    body = b'{ "n":1.50, "payload" : "{\\"card\\": 4111111111111111}" ,"z":[ ]}'

    scrubbed = scrub([body], None, None, rules=ScrubRules(wrappings=(wrapping,)), key=b"k")

    assert scrubbed.bodies == [body.replace(_PAN, b"4111110000001111")]
