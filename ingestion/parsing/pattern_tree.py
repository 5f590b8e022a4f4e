"""The patterns of JSON Schema as trees: what `languages` can compare, and nothing else.

The same dialect as in `patterns`: ECMA-262's classes, Rust's engine. What the two might read in
different ways, and whatever takes more than a finite automaton, is `Unsupported`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

LAST_CHAR: Final = 0x10FFFF
#: copies that a repetition may ask for
_MAX_REPEAT: Final = 1_000


class Unsupported(Exception):
    """The pattern cannot be compared."""


class Edge(Enum):
    """Places of a text."""

    START = "^"
    END = "$"


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of these ranges, both ends included."""

    ranges: tuple[tuple[int, int], ...]

    def has(self, char: int) -> bool:
        return any(low <= char <= high for low, high in self.ranges)

    def others(self) -> Chars:
        """Every character that is not among these."""
        found, start = [], 0
        for low, high in sorted(self.ranges):
            if low > start:
                found.append((start, low - 1))
            start = max(start, high + 1)
        if start <= LAST_CHAR:
            found.append((start, LAST_CHAR))
        return Chars(tuple(found))


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    parts: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class Alternatives:
    """One of them."""

    choices: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`least` to `most` times; `most` null: any number."""

    part: Pattern
    least: int
    most: int | None


Pattern = Chars | Edge | Sequence | Alternatives | Repeat


def _chars(*ranges: str) -> Chars:
    """From "az" (a range) and "x" (one character)."""
    return Chars(tuple((ord(text[0]), ord(text[-1])) for text in ranges))


_DIGITS: Final = _chars("09")
_WORD: Final = _chars("AZ", "az", "09", "_")
_SPACE: Final = _chars(
    *("\t\r", " ", "\u00a0", "\u1680", "\u2000\u200a"),
    *("\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff"),
)
_CLASSES: Final = {
    "d": _DIGITS,
    "D": _DIGITS.others(),
    "w": _WORD,
    "W": _WORD.others(),
    "s": _SPACE,
    "S": _SPACE.others(),
}
_ANY: Final = _chars("\n", "\r", "\u2028", "\u2029").others()
_CONTROLS: Final = {"f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}
_SIGNS: Final = frozenset("^$\\.*+?()[]{}|/-")
_SIGNED_COUNTS: Final[dict[str, tuple[int, int | None]]] = {
    "*": (0, None),
    "+": (1, None),
    "?": (0, 1),
}
_COUNT: Final = re.compile(r"\{(\d{1,4})(?:(,)(\d{1,4})?)?\}")


def parse_pattern(text: str) -> Pattern:
    """The tree of a pattern; raises Unsupported."""
    reader = _Reader(text)
    found = reader.alternatives()
    if reader.at < len(text):
        raise Unsupported
    return found


class _Reader:
    """Recursive descent: alternatives of sequences of repeated atoms."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    @property
    def next(self) -> str:
        """The next character; "" at the end."""
        return self.text[self.at : self.at + 1]

    def take(self) -> str:
        char = self.next
        if not char:
            raise Unsupported
        self.at += 1
        return char

    def alternatives(self) -> Pattern:
        choices = [self.sequence()]
        while self.next == "|":
            self.at += 1
            choices.append(self.sequence())
        return choices[0] if len(choices) == 1 else Alternatives(tuple(choices))

    def sequence(self) -> Pattern:
        parts = []
        while self.next and self.next not in "|)":
            parts.append(self.repeated())
        return Sequence(tuple(parts))

    def repeated(self) -> Pattern:
        part = self.atom()
        least: int = 1
        most: int | None = None
        if self.next in set("*+?"):
            least, most = _SIGNED_COUNTS[self.take()]
        elif self.next == "{":
            found = _COUNT.match(self.text, self.at)
            if found is None:
                raise Unsupported
            self.at = found.end()
            least = int(found[1])
            most = least if not found[2] else int(found[3]) if found[3] else None
        else:
            return part
        if self.next == "?":
            self.at += 1  # how eagerly it is matched does not change whether it is
        if self.next in set("*+?{") or max(least, most or 0) > _MAX_REPEAT:
            raise Unsupported
        if most is not None and most < least:
            raise Unsupported
        return Repeat(part, least, most)

    def atom(self) -> Pattern:
        char = self.take()
        if char == "(":
            return self.group()
        if char == "[":
            return self.one_of()
        if char in "^$":
            return Edge(char)
        if char == "\\":
            return self.escape()
        if char in "*+?{}]":
            raise Unsupported
        return _ANY if char == "." else _chars(char)

    def group(self) -> Pattern:
        if self.next == "?":
            if not self.text.startswith("?:", self.at):
                raise Unsupported
            self.at += 2
        found = self.alternatives()
        if self.take() != ")":
            raise Unsupported
        return found

    def escape(self) -> Chars:
        letter = self.take()
        if letter in _CLASSES:
            return _CLASSES[letter]
        if letter in _CONTROLS:
            return _chars(_CONTROLS[letter])
        if letter not in _SIGNS:
            raise Unsupported
        return _chars(letter)

    def one_of(self) -> Chars:
        negated = self.next == "^"
        self.at += negated
        if self.next == "]":
            raise Unsupported  # the dialects differ
        ranges: list[tuple[int, int]] = []
        while self.next != "]":
            low = self.member()
            if self.next == "-" and self.text[self.at + 1 : self.at + 2] != "]":
                self.at += 1
                high = self.member()
                if len(low.ranges) > 1 or len(high.ranges) > 1 or self.next == "-":
                    raise Unsupported
                if low.ranges[0][0] != low.ranges[0][1] or low.ranges > high.ranges:
                    raise Unsupported
                ranges.append((low.ranges[0][0], high.ranges[0][1]))
            else:
                ranges += low.ranges
        self.at += 1
        found = Chars(tuple(ranges))
        return found.others() if negated else found

    def member(self) -> Chars:
        char = self.take()
        if char == "\\":
            if self.next == "b":
                raise Unsupported
            return self.escape()
        # set operators of the engine: `--` is one, the others are escaped before it sees them
        if char == "-" and self.next == "-":
            raise Unsupported
        return _chars(char)
