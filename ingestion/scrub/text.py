"""Masks card data in text: the inside of a JSON string, a broker key, a body that is no JSON.

All of it works on the escaped bytes and keeps them well formed: a digit becomes `*`, an escaped
digit (`\\u0034`) the escaped asterisk (`\\u002a`), CVV and track data `***`.
"""

from __future__ import annotations

import re

from ingestion.scrub.cards import (
    LONGER_THAN_A_PHONE,
    SHORTEST,
    hidden_digits,
    hidden_in_decimal,
    is_card_number,
)

#: one separator may stand between two digits; NUL is one because UTF-16 has it there
_ASTERISK = ord("*")
_PLAIN_SEPARATOR = rb"[ +\-\x00]"
_SEPARATOR = (
    rb"(?:[ +\-\x00]|%2[0BbDd]|\xc2\xa0|\xe2\x80[\x90-\x95]"
    rb"|\\+u00(?:2[0bBdD]|[aA]0)|\\+u201[0-5])"
)
_DIGIT = rb"(?:[0-9]|\\+u003[0-9])"
_PLAIN_RUN = re.compile(rb"[0-9](?:" + _PLAIN_SEPARATOR + rb"?[0-9]){12,}+")
_RUN = re.compile(_DIGIT + rb"(?:" + _SEPARATOR + rb"?" + _DIGIT + rb"){12,}+")
_UNIT = re.compile(rb"(" + _SEPARATOR + rb")|" + _DIGIT)
_WRITTEN_OTHERWISE = re.compile(rb"\\u|%2|[\x80-\xff]")

_PHONE = re.compile(rb"(?<![0-9A-Za-z])(?:\+|%2[bB]|\\+u002[bB])\Z")
_TWO_ZEROS = re.compile(rb"00[1-9]")
_ZERO_POINT = re.compile(rb"(?<![0-9])0\.\Z")
_ESCAPE = re.compile(rb"(?:\\u([0-9A-Fa-f]{0,3})|%([0-9A-Fa-f]?))\Z")
_LOOK_BACK = 16  # bytes; the three patterns above need fewer but for absurdly escaped pluses

_FLOAT = re.compile(rb"(?<![0-9A-Za-z.])([0-9]++)\.?([0-9]*+)[eE]([+-]?[0-9]{1,3})(?![0-9A-Za-z])")

_PRINTABLE = rb"(?:[ !#->@-\[\]_-~]|\\+(?:/|u[0-9A-Fa-f]{4}))"  # ASCII without ^ ? " and bare \
_TRACK_1 = re.compile(
    rb"%?[Bb](?:[0-9] ?){12,19}\^" + _PRINTABLE + rb"*+\^(?:\^|" + _PRINTABLE + rb")*+"
)
_TRACK_2 = re.compile(rb"(?<![0-9])(;?)([0-9]{12,19})(?:=|[dD]|%3[dD]|\\+u003[dD])[0-9]{7,}+(\??)")
_CVV = re.compile(
    rb"(?i)(?:cv[vcn]2?|(?<![a-z])c(?:sc|vd)|security[ _-]?code|card[ _-]?verification(?:[ _-]?(?:"
    rb"value|code|number))?)(?:[ _-]?(?:code|value|number|num|no))?"
    rb"(?:[\"'\s:=>#]|\\+u(?:003[de]|0022)|\\+|%3[ad]|%22){1,12}([0-9]{3,4})(?![0-9])"
)


def mask_text(text: bytes) -> tuple[bytes, set[str]]:
    """The text without card data and the kinds found; the same object where there is none."""
    kinds: set[str] = set()
    masked = text
    # This order: a track is the widest; a CVV rule before the card rule would take the first four
    # digits of a number that stands behind the word and show the other twelve.
    for kind, rule in (("track", _mask_tracks), ("pan", mask_numbers), ("cvv", _mask_cvv)):
        result = rule(masked)
        if result != masked:
            kinds.add(kind)
            masked = result
    return (masked if kinds else text), kinds


def mask_numbers(text: bytes) -> bytes:
    """Masks card numbers in text, also those written like 4.111111111111111e15."""
    masked = bytearray(text)
    pattern = _RUN if _WRITTEN_OTHERWISE.search(text) else _PLAIN_RUN
    for run in pattern.finditer(text):
        for end, escaped in _hidden_units(text, run.start(), run.end()):
            if escaped:
                masked[end - 2 : end] = b"2a"
            else:
                masked[end - 1] = _ASTERISK
    for number in _FLOAT.finditer(masked):
        integer, fraction, exponent = number.groups()
        for index in hidden_in_decimal(integer + fraction, len(integer) + int(exponent)):
            offset = (
                number.start(1) + index
                if index < len(integer)
                else number.start(2) + index - len(integer)
            )
            masked[offset] = _ASTERISK
    return bytes(masked)


def _hidden_units(text: bytes, begin: int, end: int) -> list[tuple[int, bool]]:
    """(end offset, escaped) of each digit to mask in the run text[begin:end]."""
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
    if b"^" in text:
        text = _TRACK_1.sub(b"***", text)
    return _TRACK_2.sub(_track_2, text)


def _track_2(match: re.Match[bytes]) -> bytes:
    sentinels = match[1] and match[3]
    if sentinels or is_card_number(match[2]):
        return match[1] + b"***" + match[3]
    return match[0]


def _mask_cvv(text: bytes) -> bytes:
    return _CVV.sub(lambda match: match[0][: match.start(1) - match.start()] + b"***", text)
