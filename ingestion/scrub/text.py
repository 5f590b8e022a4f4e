"""Masks card data in text: the inside of a JSON string, a broker key, a body that is no JSON.

All of it works on the escaped bytes and keeps them well formed: a digit becomes `*`, an escaped
digit (`\\u0034`) the escaped asterisk (`\\u002a`), CVV and track data `***`.
"""

from __future__ import annotations

import re

from ingestion.scrub.cards import (
    LONGER_THAN_A_PHONE,
    SHORTEST,
    SHOWN_FIRST,
    begins_like_card,
    hidden_digits,
    hidden_in_decimal,
    is_card_number,
)

_FEWEST_DIGITS, _FEWEST_IN_TRACK = 3, 12
_ASTERISK = ord("*")
#: one separator may stand between two digits; NUL is one because UTF-16 has it there
_PLAIN_SEPARATOR = rb"[ +\-\x00]"
_SEPARATOR = (
    rb"(?:[ +\-\x00]|%2[0BbDd]|\xc2\xa0|\xe2\x80[\x90-\x95]"
    rb"|(?<!\\)\\++u(?:00(?:2[0bBdD]|[aA]0)|201[0-5]))"
)
_DIGIT = rb"(?:[0-9]|(?<!\\)\\++u003[0-9])"
_PLAIN_RUN = re.compile(rb"[0-9](?:" + _PLAIN_SEPARATOR + rb"?[0-9]){12,}+")
_RUN = re.compile(_DIGIT + rb"(?:" + _SEPARATOR + rb"?" + _DIGIT + rb"){12,}+")
_UNIT = re.compile(rb"(" + _SEPARATOR + rb")|" + _DIGIT)

_PHONE = re.compile(rb"(?<![0-9A-Za-z])(?:\+|%2[bB]|\\+u002[bB])\Z")
_TWO_ZEROS = re.compile(rb"00[1-9]")
_ZERO_POINT = re.compile(rb"(?<![0-9])0\.\Z")
_ESCAPE = re.compile(rb"(?:\\u([0-9A-Fa-f]{0,3})|%([0-9A-Fa-f]?))\Z")
_LOOK_BACK = 16  # bytes; the three patterns above need fewer but for absurdly escaped pluses

_FLOAT = re.compile(rb"(?<![0-9A-Za-z.])([0-9]++)\.?([0-9]*+)[eE]([+-]?[0-9]{1,3})(?![0-9A-Za-z])")

_PRINTABLE = rb"(?:[ !#->@-\[\]_-~]|\\++(?:/|u[0-9A-Fa-f]{4}))"  # ASCII without ^ ? " and bare \
_TRACK_1 = re.compile(
    rb"%?[Bb](?:[0-9] ?){12,19}\^" + _PRINTABLE + rb"*+\^(?:\^|" + _PRINTABLE + rb")*+"
)
_TRACK_2 = re.compile(rb"(?<![0-9])([0-9]{12,19}+)(?:=|[dD]|%3[dD]|\\++u003[dD])[0-9]{7,}+")
_CVV_STEMS = (b"cvv", b"cvc", b"cvn", b"csc", b"cvd", b"security", b"verification")
_CVV = re.compile(
    rb"(?i)(?:cv[vcn]2?|(?<![a-z])c(?:sc|vd)|security[ _-]?code|card[ _-]?verification(?:[ _-]?(?:"
    rb"value|code|number))?)(?:[ _-]?(?:code|value|number|num|no))?"
    rb"(?:[\"'\s:=>#]|\\++(?:u(?:003[de]|0022))?+|%3[ad]|%22){1,12}+([0-9]{3,4})(?![0-9])"
)


def mask_text(text: bytes, *, numbers: bool = True) -> tuple[bytes, set[str]]:
    """The text without card data and the kinds found; the same object where there is none.

    Without `numbers`, card numbers that stand by themselves are left.
    """
    kinds: set[str] = set()
    if _count_digits(text) < _FEWEST_DIGITS:
        return text, kinds
    masked = text
    # This order: a track is the widest; a CVV rule before the card rule would take the first four
    # digits of a number that stands behind the word and show the other twelve.
    for kind, rule in (("track", _mask_tracks), ("pan", _mask_numbers), ("cvv", _mask_cvv)):
        result = rule(masked) if numbers or kind != "pan" else masked
        if result != masked:
            kinds.add(kind)
            masked = result
    return (masked if kinds else text), kinds


def mask_runs(text: bytes) -> bytes:
    """Masks the card numbers written as a run of digits; the same object where there is none."""
    if _count_digits(text) < SHORTEST:
        return text
    masked: bytearray | None = None
    plain = b"\\" not in text and b"%" not in text and text.isascii()
    for run in (_PLAIN_RUN if plain else _RUN).finditer(text):
        if plain and run[0].isdigit() and not begins_like_card(run[0]):
            continue  # a time or an id: most runs
        for end, escaped in _hidden_units(text, run.start(), run.end()):
            masked = masked or bytearray(text)
            if escaped:
                masked[end - 2 : end] = b"2a"
            else:
                masked[end - 1] = _ASTERISK
    return bytes(masked) if masked else text


def _mask_floats(text: bytes) -> bytes:
    """Masks the card numbers written like 4.111111111111111e15."""
    if _count_digits(text) <= SHOWN_FIRST:
        return text
    masked = bytearray(text)
    for number in _FLOAT.finditer(text):
        whole, fraction, exponent = number.groups()
        for index in hidden_in_decimal(whole + fraction, len(whole) + int(exponent)):
            masked[number.start() + index + (index >= len(whole))] = _ASTERISK
    return bytes(masked)


def _mask_numbers(text: bytes) -> bytes:
    return _mask_floats(mask_runs(text))


def _hidden_units(text: bytes, begin: int, end: int) -> list[tuple[int, bool]]:
    """(end offset, escaped) of each digit to mask in the run text[begin:end]."""
    if text[begin:end].isdigit():
        starts = _first_starts(text, begin)
        hidden = hidden_digits(text[begin:end], starts, {end - begin})
        return [(begin + index + 1, False) for index in hidden]
    digits = bytearray()
    units: list[tuple[int, bool]] = []
    starts, stops = _first_starts(text, begin), set()
    for unit in _UNIT.finditer(text, begin, end):
        if unit[1]:
            stops.add(len(digits))
            starts[len(digits)] = SHORTEST
        else:
            digits.append(text[unit.end() - 1])
            units.append((unit.end(), len(unit[0]) > 1))
    stops.add(len(digits))
    return [units[index] for index in hidden_digits(bytes(digits), starts, stops)]


def _first_starts(text: bytes, begin: int) -> dict[int, int]:
    """Where a number may begin in the first group of a run, and the fewest digits it has there."""
    look = max(0, begin - _LOOK_BACK)
    starts = {0: SHORTEST}
    if _ZERO_POINT.search(text, look, begin):
        starts = {}  # 0.4532015112830366 is a ratio
    elif _PHONE.search(text, look, begin) or _TWO_ZEROS.match(text, begin):
        starts = {0: LONGER_THAN_A_PHONE}
    if escape := _ESCAPE.search(text, look, begin):
        # The first digits may belong to \u00e9 or %20 in front of the number.
        shown = escape[1] if escape[1] is not None else escape[2]
        starts[(4 if escape[1] is not None else 2) - len(shown)] = SHORTEST
    return starts


def _mask_tracks(text: bytes) -> bytes:
    if _count_digits(text) < _FEWEST_IN_TRACK:
        return text
    if b"^" in text:
        text = _TRACK_1.sub(b"***", text)
    return _TRACK_2.sub(_track_2, text)


def _track_2(match: re.Match[bytes]) -> bytes:
    text, (start, end) = match.string, match.span()
    framed = text[start - 1 : start] == b";" and text[end : end + 1] == b"?"
    return b"***" if framed or is_card_number(match[1]) else match[0]


def _mask_cvv(text: bytes) -> bytes:
    lower = text.lower()
    if not any(stem in lower for stem in _CVV_STEMS):
        return text
    return _CVV.sub(lambda match: match[0][: match.start(1) - match.start()] + b"***", text)


def _count_digits(text: bytes) -> int:
    return len(text) - len(text.translate(None, b"0123456789"))
