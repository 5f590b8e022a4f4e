"""Lines that are no valid event of the schema `transaction`, of many kinds, made from a seed."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

NAUGHTY: Final[list[str]] = json.loads(
    (Path(__file__).parents[1] / "data/blns/blns.json").read_text(encoding="utf-8")
)
_REQUIRED: Final = (
    "transaction_id", "timestamp", "transaction_type", "channel", "amount", "currency",
    "merchant_id", "customer_id", "status",
)  # fmt: skip
_BAD_TIMES: Final = (
    "2026-02-30T10:00:00Z", "2026-03-02T25:00:00Z", "2026-03-02", "02.03.2026 10:00", "tomorrow",
    "2026-03-02T10:00:00", "1999-12-31T23:59:59Z", "2101-01-01T00:00:00Z", "20260302T100000Z",
    "0000-00-00T00:00:00Z", "2026-03-02T10:00:61Z",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A line and the reasons of which one must come first."""

    kind: str
    body: bytes
    reasons: frozenset[str]


def broken_line(number: int, event: dict[str, Any]) -> Broken:
    """The line of this number: kinds take turns, the number seeds the rest."""
    name = list(KINDS)[number % len(KINDS)]
    make, reasons = KINDS[name]
    body = make(random.Random(number), event)
    assert b"\n" not in body
    assert body.strip(b" \t\r")
    assert not body.endswith(b"\r")
    return Broken(kind=name, body=body, reasons=frozenset(reasons.split()))


def _text(event: dict[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode()


def _with(event: dict[str, Any], field: str, json_text: str) -> bytes:
    """The event with this JSON text as a field's value, whatever it is."""
    return _text(event | {field: "@@"}).replace(b'"@@"', json_text.encode())


def _one_line(text: str) -> bool:
    return bool(text.strip()) and not re.search(r"[\n\r]", text)


def _is_amount(text: str) -> bool:
    """Whether a text may be a decimal number; those are left out."""
    try:
        Decimal(text)
    except InvalidOperation:
        return False
    return True


_RAW_NAUGHTY: Final = [text for text in NAUGHTY if _one_line(text)]
_NO_AMOUNTS: Final = [text for text in NAUGHTY if not _is_amount(text)]


def _truncated(rng: random.Random, event: dict[str, Any]) -> bytes:
    body = _text(event | {"note": "x"})  # ASCII only: a cut leaves valid UTF-8
    return body[: rng.randrange(1, len(body))].rstrip() or b"{"


def _wrong_type(rng: random.Random, event: dict[str, Any]) -> bytes:
    wrong = rng.choice(["true", "[]", "{}", "[1]", '{"a": 1}', "null", '["EUR"]'])
    return _with(event, rng.choice(_REQUIRED), wrong)


def _not_utf8(rng: random.Random, event: dict[str, Any]) -> bytes:
    bad = rng.choice(
        [b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\xaf", b"\x80"]
    )
    field = rng.choice(["customer_id", "note"])  # mapped or not
    return _text(event | {field: "a@@z"}).replace(b"@@", bad)


def _non_finite(rng: random.Random, event: dict[str, Any]) -> bytes:
    word = rng.choice(["NaN", "Infinity", "-Infinity"])
    return _with(event, rng.choice(["amount", "note", "metadata"]), word)


def _too_large_a_number(rng: random.Random, event: dict[str, Any]) -> bytes:
    digits = "".join(rng.choices("123456789", k=rng.randrange(16, 5000)))
    return _with(
        event,
        "amount",
        rng.choice(["1e400", "1E+99999", "9e15", digits, f"{digits}.5", f'"{digits}"']),
    )


def _duplicate_key(rng: random.Random, event: dict[str, Any]) -> bytes:
    field = rng.choice(_REQUIRED)
    again = json.dumps({field: event[field] if rng.random() < 0.5 else "other"})[1:]
    body = _text(event)[:-1] + b", " + again.encode()
    return body.replace(b"amount", b"\\u0061mount", 1) if rng.random() < 0.2 else body


def _too_deep(rng: random.Random, event: dict[str, Any]) -> bytes:
    depth = 100_000 if rng.random() < 0.02 else rng.randrange(400, 3000)
    left, right = rng.choice([("[", "]"), ('{"a":', "}")])
    if rng.random() < 0.3:
        return (left * depth).encode()
    return _with(event, "note", left * depth + "1" + right * depth)


def _nul(rng: random.Random, event: dict[str, Any]) -> bytes:
    field = rng.choice(["transaction_id", "merchant_id", "customer_id", "channel"])
    if rng.random() < 0.5:
        return _text(event | {field: "a@@z"}).replace(b"@@", b"\x00")
    return _text(event | {field: "a\x00z"})


def _lone_surrogate(rng: random.Random, event: dict[str, Any]) -> bytes:
    escape = rng.choice(["\\ud800", "\\udfff", "\\udc00\\ud800", "a\\udbffz"])
    return _with(event, rng.choice(["transaction_id", "merchant_id", "customer_id"]), f'"{escape}"')


def _not_an_object(rng: random.Random, event: dict[str, Any]) -> bytes:
    body = _text(event).decode()
    return rng.choice(
        ["[]", f"[{body}]", '"text"', "17", "-0.5", "true", "null", json.dumps(body), "[[], {}]"]
    ).encode()


def _missing(rng: random.Random, event: dict[str, Any]) -> bytes:
    if rng.random() < 0.2:
        return rng.choice([b"{}", b"{ }", b'{"a": {}}'])
    gone = rng.sample(_REQUIRED, rng.randrange(1, 4))
    return _text({name: value for name, value in event.items() if name not in gone})


def _too_many_decimals(rng: random.Random, event: dict[str, Any]) -> bytes:
    digits = f"1.{rng.randrange(10**6)}{rng.randrange(1, 10)}1"
    return _with(event, "amount", rng.choice([digits, f'"{digits}"', "1e-5", "0.00001"]))


def _not_positive(rng: random.Random, event: dict[str, Any]) -> bytes:
    return _with(event, "amount", rng.choice(["0", "-1", "-0.01", '"0.00"', "0e5", '"-5"']))


def _naughty_amount(rng: random.Random, event: dict[str, Any]) -> bytes:
    return _text(event | {"amount": rng.choice(_NO_AMOUNTS)})


def _naughty_word(rng: random.Random, event: dict[str, Any]) -> bytes:
    field = rng.choice(["currency", "status", "timestamp"])
    return _text(event | {field: rng.choice(NAUGHTY)})


def _bad_time(rng: random.Random, event: dict[str, Any]) -> bytes:
    return _text(event | {"timestamp": rng.choice(_BAD_TIMES)})


def _too_long(rng: random.Random, event: dict[str, Any]) -> bytes:
    field = rng.choice(["transaction_id", "merchant_id", "customer_id", "channel"])
    return _text(event | {field: rng.choice("xé💶") * rng.randrange(257, 2000)})


def _garbage(rng: random.Random, event: dict[str, Any]) -> bytes:
    body = _text(event)
    return rng.choice(
        [
            body + b"}", body + body, body.replace(b'"', b"'"), body[:-1] + b",}", b"// " + body,
            b"<xml/>", b"a,b,c", b"--", body.replace(b":", b"=", 1), b"{" + body, b"\x1b[31m",
        ]
    )  # fmt: skip


def _raw_naughty(rng: random.Random, event: dict[str, Any]) -> bytes:
    return rng.choice(_RAW_NAUGHTY).encode()


#: kind -> how to make one, reasons of which one must come first
KINDS: Final[dict[str, tuple[Callable[[random.Random, dict[str, Any]], bytes], str]]] = {
    "truncated": (_truncated, "invalid_json"),
    "wrong type": (_wrong_type, "wrong_type required"),
    "invalid UTF-8": (_not_utf8, "invalid_utf8"),
    "byte order mark": (lambda _rng, event: b"\xef\xbb\xbf" + _text(event), "bom"),
    "not finite": (_non_finite, "non_finite"),
    "too large a number": (_too_large_a_number, "too_many_digits"),
    "duplicate key": (_duplicate_key, "duplicate_key"),
    "too deep": (_too_deep, "too_deep"),
    "NUL": (_nul, "invalid_json nul_character"),
    "lone surrogate": (_lone_surrogate, "lone_surrogate"),
    "no object": (_not_an_object, "not_an_object"),
    "missing": (_missing, "required"),
    "too many decimals": (_too_many_decimals, "too_many_decimals"),
    "not positive": (_not_positive, "out_of_range pattern_mismatch"),
    "naughty amount": (_naughty_amount, "pattern_mismatch invalid_number required"),
    "naughty word": (
        _naughty_word,
        "wrong_length unknown_currency not_allowed invalid_time required pattern_mismatch",
    ),
    "bad time": (_bad_time, "invalid_time time_out_of_range"),
    "too long": (_too_long, "text_too_long"),
    "garbage": (_garbage, "invalid_json"),
    "naughty string": (_raw_naughty, "invalid_json not_an_object non_finite"),
}
