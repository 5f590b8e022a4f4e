"""Payloads with card numbers in every place and spelling, made from a seed."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

PAYLOADS = 10_000
#: brand -> (BIN, length)
BRANDS: dict[str, tuple[str, int]] = {
    "visa": ("4", 16),
    "visa_19": ("4", 19),
    "mastercard": ("54", 16),
    "mastercard_2": ("2350", 16),
    "amex": ("37", 15),
    "discover": ("6011", 16),
    "jcb": ("3555", 16),
    "diners": ("36", 14),
    "unionpay": ("62", 18),
    "maestro": ("6759", 16),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A message with one card number in its body, key or headers."""

    number: str
    body: bytes
    is_json: bool
    key: bytes | None = None
    headers: bytes | None = None


def card_number(brand: str, *, seed: int) -> str:
    """A number of the brand that passes Luhn."""
    prefix, length = BRANDS[brand]
    rng = random.Random(seed)
    body = prefix + "".join(rng.choices("0123456789", k=length - len(prefix) - 1))
    total = 0
    for place, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return body + str(-total % 10)


def payload(seed: int) -> Payload:
    """One message; the seed decides brand, spelling and place."""
    rng = random.Random(seed)
    number = card_number(rng.choice(list(BRANDS)), seed=seed)
    event = {
        "transaction_id": f"txn-{seed:08x}",
        "note": rng.choice(["café 日本", 'quote " and \\ slash', "https://x.example/?a=1&b=%20"]),
        "epoch_ms": 1768780800000 + seed,
        "ratio": rng.random(),
        "cvv_provided": True,
        "metadata": {"list": [1, 2.5, None], "risk": rng.random()},
    }
    place = rng.choice(
        (_in_value, _in_number, _nested, _in_url, _in_key_name, _broken, _escaped, _in_json_text)
    )
    if rng.random() < 0.1:
        return _beside(rng, number, json.dumps(event).encode())
    return place(rng, number, event)


def _spelled(rng: random.Random, number: str) -> str:
    separator = rng.choice(["", "", " ", "-", "+", "%20"])
    size = rng.choice([1, 4, 4, 4, 6])
    groups = separator.join(number[i : i + size] for i in range(0, len(number), size))
    before, after = (
        rng.choice(["", "card ", "x", "(", "#", "日", "id:"]),
        rng.choice(["", ".", "x", " ok", "é"]),
    )
    return f"{before}{groups}{after}"


def _in_value(rng: random.Random, number: str, event: dict[str, Any]) -> Payload:
    event["reference"] = _spelled(rng, number)
    text = json.dumps(event, ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 2]))
    return Payload(number=number, body=text.encode(), is_json=True)


def _in_number(rng: random.Random, number: str, event: dict[str, Any]) -> Payload:
    spelled = rng.choice(
        [number, f"{number}.0", f"{number[0]}.{number[1:]}e{len(number) - 1}", f"-{number}"]
    )
    event["reference"] = "@"
    text = json.dumps(event).replace('"@"', spelled)
    return Payload(number=number, body=text.encode(), is_json=True)


def _nested(rng: random.Random, number: str, event: dict[str, Any]) -> Payload:
    inner: Any = _spelled(rng, number)
    for depth in range(rng.randrange(1, 40)):
        inner = [depth, inner] if rng.random() < 0.5 else {"a": depth, "transaction_id": inner}
    event["tree"] = inner
    return Payload(number=number, body=json.dumps(event).encode(), is_json=True)


def _in_url(rng: random.Random, number: str, event: dict[str, Any]) -> Payload:
    event["url"] = (
        f"https://pay.example/{rng.choice(['', 'a/'])}?pan={_spelled(rng, number)}&x=%2F{number}%3D"
    )
    text = json.dumps(event)
    return Payload(number=number, body=text.replace("/", "\\/").encode(), is_json=True)


def _in_key_name(rng: random.Random, number: str, event: dict[str, Any]) -> Payload:
    event[_spelled(rng, number)] = 1
    return Payload(number=number, body=json.dumps(event).encode(), is_json=True)


def _broken(rng: random.Random, number: str, event: dict[str, Any]) -> Payload:
    event["reference"] = _spelled(rng, number)
    body = json.dumps(event).encode()
    spoil: Callable[[bytes], bytes] = rng.choice(
        [
            lambda b: b[:-1],
            lambda b: b + b"\xff\xfe",
            lambda b: b.replace(b'"', b"'"),
            lambda b: b + b"}",
        ]
    )
    return Payload(number=number, body=spoil(body), is_json=False)


def _escaped(rng: random.Random, number: str, event: dict[str, Any]) -> Payload:
    event["reference"] = "@"
    spelled = "".join(
        f"\\u{ord(char):04x}" if rng.random() < 0.4 else char
        for char in rng.choice(["", "é", "1 "]) + number
    )
    text = json.dumps(event).replace("@", spelled)
    return Payload(number=number, body=text.encode(), is_json=True)


def _in_json_text(rng: random.Random, number: str, event: dict[str, Any]) -> Payload:
    inner = json.dumps({"pan": rng.choice([number, int(number)]), "é": "é" + number})
    event["raw"] = json.dumps(inner) if rng.random() < 0.3 else inner
    return Payload(number=number, body=json.dumps(event).encode(), is_json=True)


def _beside(rng: random.Random, number: str, body: bytes) -> Payload:
    headers = json.dumps(
        {"x-card": _spelled(rng, number), "trace": base64.b64encode(body).decode()}
    )
    if rng.random() < 0.5:
        return Payload(number=number, body=body, is_json=True, key=_spelled(rng, number).encode())
    return Payload(number=number, body=body, is_json=True, headers=headers.encode())
