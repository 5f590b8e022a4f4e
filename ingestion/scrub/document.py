"""Masks card data in one JSON document, knowing the path of every value.

The document is read token by token from its bytes, without recursion (nesting of 100,000 levels is
a message like any other), and changed in place: all bytes that are not card data stay.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ingestion.scrub.cards import hidden_in_decimal
from ingestion.scrub.names import looks_secret, secret_kind
from ingestion.scrub.text import mask_text

_TOKEN = re.compile(
    rb"[ \t\n\r]*+(?:"
    rb'(?P<string>"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*+)*+")'
    rb"|(?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)"
    rb"|(?P<word>true|false|null)|(?P<mark>[{}\[\],:]))"
)
_NUMBER = re.compile(rb"-?([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
_BLANK = re.compile(rb"[ \t\n\r]*+")


class NotJsonError(ValueError):
    """The bytes are not one JSON text (RFC 8259)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scalar:
    """A key, string or number; a string without its quotes."""

    kind: str  #: key | string | number
    start: int
    end: int
    path: list[bytes]  #: the keys above, outermost first; valid until the next scalar is read


def mask_document(body: bytes, spared: frozenset[bytes]) -> tuple[bytes, set[str]]:
    """The document without card data and the kinds found; the same object where there is none.

    `spared` are dotted paths whose values stay; arrays do not count in a path. Raises NotJsonError.
    """
    deepest = max((path.count(b".") + 1 for path in spared), default=0)
    pieces: list[bytes] = []
    kinds: set[str] = set()
    done = 0
    for scalar in _scalars(body):
        path = scalar.path
        if scalar.kind != "key" and len(path) <= deepest and b".".join(path) in spared:
            continue
        original = body[scalar.start : scalar.end]
        masked, found = _mask_scalar(scalar, original)
        if masked != original:
            pieces += body[done : scalar.start], masked
            done = scalar.end
            kinds |= found
    if not pieces:
        return body, kinds
    return b"".join((*pieces, body[done:])), kinds


def _mask_scalar(scalar: _Scalar, value: bytes) -> tuple[bytes, set[str]]:
    if scalar.kind == "key":
        return mask_text(value)
    if value and (kind := _secret(scalar.path, value)):
        return (b"***" if scalar.kind == "string" else b"0"), {kind}
    if scalar.kind == "string":
        return mask_text(value)
    return _mask_number(value), {"pan"}


def _secret(path: list[bytes], value: bytes) -> str:
    """`cvv` or `track` when the value's own field, or the field around it, says so."""
    if not path:
        return ""
    kind = secret_kind(path[-1])
    if kind in {"cvv", "track"}:
        return kind
    if not kind and len(path) > 1 and secret_kind(path[-2]) == "cvv":
        kind = "maybe_cvv"  # {"cvv": {"value": "123"}}
    return kind.removeprefix("maybe_") if kind and looks_secret(kind, value) else ""


def _mask_number(token: bytes) -> bytes:
    match = _NUMBER.fullmatch(token)
    if match is None or len(token) < 7 or len(match[3] or b"") > 4:
        return token
    whole, fraction = match[1], match[2] or b""
    masked = bytearray(token)
    for index in hidden_in_decimal(whole + fraction, len(whole) + int(match[3] or 0)):
        masked[match.start(1) + index + (index >= len(whole))] = ord("0")
    return bytes(masked)


def _scalars(body: bytes) -> Iterator[_Scalar]:
    """Every key, string and number in order; raises NotJsonError at the first thing out of place."""
    path: list[bytes] = []
    closers: list[bytes] = []
    allowed = "value"
    position, end = 0, len(body)
    while True:
        token = _TOKEN.match(body, position)
        if token is None:
            break
        position = token.end()
        kind = token.lastgroup
        if kind == "mark":
            allowed = _after_mark(token["mark"], allowed, path, closers)
        elif kind == "string" and allowed in {"key", "key or }"}:
            start = token.start("string") + 1
            path[-1] = _decoded(body[start : position - 1])
            yield _Scalar(kind="key", start=start, end=position - 1, path=path)
            allowed = "colon"
        elif allowed in {"value", "value or ]"}:
            if kind == "string":
                start = token.start("string") + 1
                yield _Scalar(kind="string", start=start, end=position - 1, path=path)
            elif kind == "number":
                yield _Scalar(kind="number", start=token.start("number"), end=position, path=path)
            allowed = "comma" if closers else "end"
        else:
            raise NotJsonError
    blank = _BLANK.match(body, position)
    if allowed != "end" or blank is None or blank.end() != end:
        raise NotJsonError


def _after_mark(mark: bytes, allowed: str, path: list[bytes], closers: list[bytes]) -> str:
    """Opens, closes or goes on in a container; returns what may come next."""
    if mark in b"{[" and allowed in {"value", "value or ]"}:
        closers.append(b"}" if mark == b"{" else b"]")
        if mark == b"{":
            path.append(b"")
        return "key or }" if mark == b"{" else "value or ]"
    if mark in b"}]" and closers and closers[-1] == mark:
        if allowed not in {"comma", "key or }" if mark == b"}" else "value or ]"}:
            raise NotJsonError
        closers.pop()
        if mark == b"}":
            path.pop()
        return "comma" if closers else "end"
    if mark == b"," and allowed == "comma":
        return "key" if closers[-1] == b"}" else "value"
    if mark == b":" and allowed == "colon":
        return "value"
    raise NotJsonError


def _decoded(key: bytes) -> bytes:
    """The key as UTF-8; escapes (also of lone surrogates) resolved."""
    if b"\\" not in key:
        return key
    text: str = json.loads(b'"' + key + b'"')
    return text.encode("utf-8", "surrogatepass")
