"""Regular expressions of `pattern`: one engine for both paths, polars' (Rust's regex).

It searches in linear time, so no pattern that a person writes can stall a worker. JSON Schema
asks for ECMA-262's dialect; `to_rust` rewrites what the two read differently. Look-around and
back-references exist only in backtracking engines and are refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

#: characters; generous for identifiers, too short for a program
MAX_PATTERN = 500

# ECMA-262's classes are ASCII, Rust's are Unicode. Nested classes are legal in Rust, so the
# replacement is right inside brackets as well.
_ESCAPES = {
    "d": "[0-9]",
    "D": "[^0-9]",
    "w": "[A-Za-z0-9_]",
    "W": "[^A-Za-z0-9_]",
    "s": r"[\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]",
    "S": r"[^\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]",
    "b": r"(?-u:\b)",
    "B": r"(?-u:\B)",
    "0": r"\x00",
}
# Only names for single characters and property classes mean the same in both.
_SAME_ESCAPES = frozenset("fnrtvxupPk^$\\.*+?()[]{}|/-")


def to_rust(pattern: str) -> str:
    """The pattern in Rust's dialect; raises ValueError with what a person should change."""
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"a pattern has at most {MAX_PATTERN} characters, not {len(pattern)}")
    rust = "".join(_translate(pattern))
    try:
        pl.Series([""]).str.contains(rust)
    except pl.exceptions.PolarsError as exc:
        raise ValueError(_complaint(str(exc))) from exc
    return rust


def search(rust: str, text: str) -> bool:
    """Whether the translated pattern is found anywhere in the text."""
    return search_all(rust, [text])[0]


def search_all(rust: str, texts: Sequence[str]) -> list[bool]:
    """The same for each of many texts: one call to the engine costs more than most texts."""
    # A lone surrogate has no UTF-8: like any engine on UTF-8 we see U+FFFD in its place.
    whole = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts]
    return pl.Series(whole, dtype=pl.String).str.contains(rust).to_list()


def _translate(pattern: str) -> list[str]:
    parts: list[str] = []
    in_class = False
    position = 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char == "\\":
            length = 2 if pattern.startswith("c", position) else 1
            parts.append(_escape(pattern[position : position + length], in_class=in_class))
            position += length
        elif in_class and char in "[&~":
            parts.append("\\" + char)  # set operators in Rust, plain characters in ECMA-262
        elif char == "." and not in_class:
            parts.append(r"[^\n\r\u2028\u2029]")
        else:
            parts.append(char)
            in_class = char == "[" if not in_class else char != "]"
    return parts


def _escape(letter: str, *, in_class: bool) -> str:
    if letter == "b" and in_class:
        return r"\x08"
    if len(letter) == 2 and letter[1].isascii() and letter[1].isalpha():
        return f"\\x{ord(letter[1]) % 32:02x}"  # \cJ is control-J
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter and letter in _SAME_ESCAPES:
        return "\\" + letter
    what = "back-references are" if letter.isdigit() else "it is"
    raise ValueError(f"\\{letter}: {what} not supported")


def _complaint(error: str) -> str:
    if "look-around" in error:
        return "look-ahead and look-behind are not supported"
    if "backreferences" in error:
        return "back-references are not supported"
    if "size limit" in error:
        return "too large when its repetitions are written out: repeat less"
    return "not a regular expression: " + error.split("\n\nThis error", 1)[0].splitlines()[-1]
