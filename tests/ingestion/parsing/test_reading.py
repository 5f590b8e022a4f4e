from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ingestion.parsing import MAX_MESSAGE, Reason, compile_schema
from tests.ingestion.parsing.agreement import EVENT, assert_agree, everything, to_json

SCHEMA = everything()
BLNS = Path(__file__).parents[2] / "data/blns/blns.json"


def _with(name: str, text: str) -> bytes:
    return to_json({**EVENT, name: text}).encode()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.EMPTY),
        (b" \r\n\t", Reason.EMPTY),
        (b"\xef\xbb\xbf" + to_json(EVENT).encode(), Reason.BOM),
        (to_json(EVENT).encode("utf-16"), Reason.INVALID_UTF8),
        (_with("id", '"\u00e9"').replace(b"\xc3", b""), Reason.INVALID_UTF8),
        (_with("id", '"x"').replace(b'"x"', b'"\xed\xa0\x80"'), Reason.INVALID_UTF8),
        (b"hello", Reason.INVALID_JSON),
        (to_json(EVENT).encode()[:-1], Reason.INVALID_JSON),
        (to_json(EVENT).encode() * 2, Reason.INVALID_JSON),
        (to_json(EVENT).encode() + b"\0", Reason.INVALID_JSON),
        (_with("extra", "01"), Reason.INVALID_JSON),
        (_with("extra", '"\t"'), Reason.INVALID_JSON),
        (_with("extra", "NaN"), Reason.NON_FINITE),
        (_with("extra", "[-Infinity]"), Reason.NON_FINITE),
        (_with("share", "Infinity"), Reason.NON_FINITE),
        (b"[]", Reason.NOT_AN_OBJECT),
        (b'"text"', Reason.NOT_AN_OBJECT),
        (b"null", Reason.NOT_AN_OBJECT),
        (b"12", Reason.NOT_AN_OBJECT),
        (b"[" * 100_000, Reason.TOO_DEEP),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, Reason.TOO_DEEP),
        (_with("extra", "[" * 300 + "]" * 300), Reason.TOO_DEEP),
        (_with("extra", '"' + "x" * MAX_MESSAGE + '"'), Reason.TOO_LARGE),
        (_with("at", '"2026-01-31T12:00:00Z","at":1'), Reason.DUPLICATE_KEY),
        (_with("at", '"2026-01-31T12:00:00Z","\\u0061t":1'), Reason.DUPLICATE_KEY),
        (_with("money", '{"value":1,"currency":"EUR","value":2}'), Reason.DUPLICATE_KEY),
        (_with("money", '{"value":1,"currency":"EUR"},"money":null'), Reason.DUPLICATE_KEY),
        (_with("id", r'"a\u0000b"'), Reason.NUL_CHARACTER),
        (_with("id", r'"\ud800"'), Reason.LONE_SURROGATE),
        (_with("id", r'"\udc00\ud800"'), Reason.LONE_SURROGATE),
        (_with("id", f'"{"x" * 257}"'), Reason.TEXT_TOO_LONG),
    ],
)
def test_bytes_that_cannot_be_an_event_fail_with_their_reason(body, reason):
    """Each kind of broken message has one reason, beside good messages that stay accepted."""
    good = to_json(EVENT).encode()

    parsed = assert_agree(SCHEMA, [good, body, good])

    assert [error.constraint for error in parsed.failures[1, 0]] == [reason]
    assert parsed.columns["row"].to_list() == [0, 2]


@pytest.mark.parametrize(
    "text",
    [
        '[{"at":1,"at":2}]',
        '{"deep":' * 298 + "1" + "}" * 298,
        r'"\ud800"',
        r'"\u0000"',
        "1e400",
        "9" * 5000,
        '"' + "x" * (MAX_MESSAGE - 2000) + '"',
    ],
    ids=["repeated", "deep", "surrogate", "nul", "exponent", "digits", "large"],
)
def test_oddities_in_fields_that_nothing_reads_do_no_harm(text):
    """What the schema does not look at may be any JSON."""
    parsed = assert_agree(SCHEMA, [_with("extra", text)])

    assert len(parsed.columns) == 1


@pytest.mark.parametrize("space", [" ", "\t", "\r", "\n", " \n "])
def test_a_repeated_name_does_not_hide_behind_white_space(space):
    """A name is found twice also when white space stands before one of its colons."""
    document = {
        "columns": {
            "transaction_id": {"path": "id"},
            "occurred_at": {"path": "at", "format": "rfc3339"},
            "amount": {"path": "amount"},
            "currency": {"constant": "EUR"},
            "payment_status": {"constant": "completed"},
        }
    }
    text = '{"id":"a","id":"b","at":"2026-01-31T12:00:00Z","amount":1}'.replace(":", space + ":", 1)

    parsed = assert_agree(compile_schema(document, name="t"), [text.encode()])

    assert [e.constraint for e in parsed.failures[0, 0]] == [Reason.DUPLICATE_KEY]


def test_a_huge_event_of_repeated_names_is_judged_in_time():
    """A megabyte of the same name takes no quadratic time."""
    body = b"{" + b",".join([b'"at":1'] * 100_000) + b"}"

    parsed = assert_agree(SCHEMA, [body])

    assert [e.constraint for e in parsed.failures[0, 0]] == [Reason.DUPLICATE_KEY]


@pytest.mark.parametrize("digits", ["1" + "0" * 500_000, "0." + "0" * 500_000 + "1", "9" * 500_000])
def test_huge_numbers_are_judged_in_time(digits):
    """Half a million digits fail as what they are wherever numbers are read."""
    bodies = [_with(name, digits) for name in ("seq", "share", "fraud")]
    bodies.append(_with("money", f'{{"value":{digits},"currency":"EUR"}}'))

    parsed = assert_agree(SCHEMA, bodies)

    assert sorted(parsed.failures) == [(at, 0) for at in range(4)]


def test_naughty_strings_never_crash():
    """All 515 naughty strings, as ids, amounts, times and names, get a verdict."""
    strings = json.loads(BLNS.read_text())
    assert len(strings) == 515
    bodies = []
    for text in strings:
        for ascii_only in (True, False):
            raw = json.dumps(text, ensure_ascii=ascii_only)
            bodies += [_with(name, raw) for name in ("id", "at", "shop", "ok", "email")]
            bodies.append(to_json({**EVENT, "money": {"value": raw, "currency": '"EUR"'}}).encode())
            bodies.append(_with("extra", f"{{{raw}:{raw}}}"))

    parsed = assert_agree(SCHEMA, bodies)

    ids = parsed.columns.filter(parsed.columns["row"] % 7 == 0)["transaction_id"].to_list()
    assert set(ids) >= {text for text in strings if 0 < len(text) < 257 and "\0" not in text} - {
        "NONE"
    }


def test_errors_never_hold_payload_text():
    """No text and no digits of a payload are in any error."""
    secret = "4111111111111111"
    bodies = [_with(name, json.dumps(secret + "!" * 300)) for name in EVENT]
    bodies += [_with(name, secret * 3) for name in EVENT]
    bodies.append(_with(secret, '1,"money":1'))

    parsed = assert_agree(SCHEMA, bodies)

    texts = [str(error) for errors in parsed.failures.values() for error in errors]
    assert texts
    assert not [text for text in texts if re.search("4111|!!", text)]
