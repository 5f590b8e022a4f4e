"""Masks card data in one JSON document, knowing the path of every value.

The document is read token by token from its bytes, without recursion (nesting of 100,000 levels is
a message like any other), and changed in place: all bytes that are not card data stay.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from ingestion.scrub.cards import hidden_in_decimal
from ingestion.scrub.names import looks_secret, secret_kind
from ingestion.scrub.text import mask_text

_KEY, _STRING, _NUMERAL, _WORD, _OPEN, _CLOSE = 3, 2, 4, 5, 6, 7
#: One token with the comma before it; a string with a colon behind it is a key.
_TOKEN = re.compile(
    rb"[ \t\n\r]*+(,?+)[ \t\n\r]*+(?:"
    rb'"([^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*+)*+)"'
    rb"([ \t\n\r]*+:)?+"
    rb"|(-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+)"
    rb"|(true|false|null)|([{\[])|([}\]]))"
)
_NUMBER = re.compile(rb"-?([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")


class NotJsonError(ValueError):
    """The bytes are not one JSON text (RFC 8259)."""


def mask_document(body: bytes, spared: frozenset[bytes]) -> tuple[bytes, set[str]]:
    """The document without card data and the kinds found; the same object where there is none.

    `spared` are dotted paths whose values stay; arrays do not count in a path. Raises NotJsonError.
    """
    deepest = max((path.count(b".") + 1 for path in spared), default=0)
    pieces: list[bytes] = []
    kinds: set[str] = set()
    done = 0
    for kind, start, end, path in _scalars(body):
        if kind != _KEY and len(path) <= deepest and b".".join(path) in spared:
            continue
        original = body[start:end]
        masked, found = _mask_scalar(kind, original, path)
        if found and kind == _KEY:
            path[-1] = _decoded(masked)  # judged by the name that a second scrub would see
        if found:
            pieces += body[done:start], masked
            done = end
            kinds |= found
    if not pieces:
        return body, kinds
    return b"".join((*pieces, body[done:])), kinds


def mask_named(value: bytes, names: list[bytes]) -> tuple[bytes, set[str]]:
    """A text without card data and the kinds found, by the names of its field and those around."""
    return _mask_scalar(_STRING, value, names)


def strings_at(body: bytes, place: tuple[bytes, ...]) -> list[tuple[int, int] | None]:
    """Start and end of every string at a path, without quotes; None for every number there.

    Raises NotJsonError.
    """
    return [
        (start, end) if kind == _STRING else None
        for kind, start, end, path in _scalars(body)
        if kind != _KEY and tuple(path) == place
    ]


def _mask_scalar(kind: int, value: bytes, path: list[bytes]) -> tuple[bytes, set[str]]:
    if kind != _KEY and path and (secret := _secret(path, value)):
        blank = b"***" if kind == _STRING else b"0"
        return (blank, {secret}) if value not in {blank, b""} else (value, set())
    if kind != _NUMERAL:
        return mask_text(value)
    masked = _mask_number(value)
    return masked, ({"pan"} if masked != value else set())


def _secret(path: list[bytes], value: bytes) -> str:
    """`cvv` or `track` when the value's own field, or the field around it, says so."""
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


def _scalars(body: bytes) -> Iterator[tuple[int, int, int, list[bytes]]]:
    """Kind, start, end and path of every key, string (without quotes) and number, in order.

    The path is the keys above, outermost first, and valid until the next step. NotJsonError at the
    first thing out of place.
    """
    path: list[bytes] = []
    open_marks: list[bytes] = []
    position = 0
    follows_value = follows_key = False
    for token in _TOKEN.finditer(body):
        kind, comma = token.lastindex or 0, token[1] != b""
        if token.start() != position:
            break
        position = token.end()
        if kind == _CLOSE:
            if comma or follows_key:
                raise NotJsonError
            _close(token[_CLOSE], open_marks, path)
            follows_value = True
            continue
        if follows_key:
            fits = not comma and kind != _KEY
        elif open_marks:
            fits = comma == follows_value and (open_marks[-1] == b"{") == (kind == _KEY)
        else:
            fits = not comma and not follows_value and kind != _KEY
        if not fits:
            raise NotJsonError
        follows_key, follows_value = kind == _KEY, kind not in {_KEY, _OPEN}
        if kind == _OPEN:
            open_marks.append(token[_OPEN])
            path += [b""] if token[_OPEN] == b"{" else []
        elif kind != _WORD:
            start, end = token.span(_STRING if kind == _KEY else kind)
            if kind == _KEY:
                path[-1] = _decoded(body[start:end])
            yield kind, start, end, path
    if open_marks or follows_key or not follows_value or body[position:].strip(b" \t\n\r"):
        raise NotJsonError


def _close(mark: bytes, open_marks: list[bytes], path: list[bytes]) -> None:
    if not open_marks or open_marks.pop() != (b"{" if mark == b"}" else b"["):
        raise NotJsonError
    if mark == b"}":
        path.pop()


def _decoded(key: bytes) -> bytes:
    """The key as UTF-8; escapes (also of lone surrogates) resolved."""
    if b"\\" not in key:
        return key
    text: str = json.loads(b'"' + key + b'"')
    return text.encode("utf-8", "surrogatepass")
