"""Whether every text that fits one pattern and length fits another: decided, not guessed.

The part of regular expressions that people use for codes and ids (classes, groups, alternatives,
repetition, `^` and `$`) becomes an automaton each; both are walked at once, shortest texts first.

1. Reach a text that the first takes and the second does not: it is the counterexample.
2. Reach the end of everything new: there is none, whatever the texts look like.
3. Meet an expression of another kind, or too many states: not decided.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from ingestion.parsing.pattern_tree import (
    LAST_CHAR,
    Alternatives,
    Chars,
    Edge,
    Pattern,
    Repeat,
    Sequence,
    Unsupported,
    parse_pattern,
)

#: steps of one automaton, and pairs of places that are walked: 0.2 s at most
_MAX_STEPS: Final = 1_500
_MAX_PAIRS: Final = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The texts in which a pattern is found, of a length in characters."""

    pattern: str = ""
    shortest: int = 0
    longest: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the search for a counterexample came to."""

    #: there is none
    is_none: bool = False
    #: one; null when there is none or it is not decided
    text: str | None = None


def counterexample(given: Texts, wanted: Texts) -> Found:
    """A text among `given` that is not among `wanted`."""
    try:
        sides = _Side(given), _Side(wanted)
    except Unsupported:
        return Found()
    letters = _letters(*(side.automaton for side in sides))
    # beyond this length none of the bounds can tell texts apart
    bounds = (given.shortest, given.longest, wanted.shortest, wanted.longest)
    beyond = max(bound for bound in bounds if bound is not None) + 1
    start = tuple(side.automaton.start for side in sides)
    queue = deque([(start, 0, "")])
    seen = {(start, 0)}
    while queue:
        places, length, text = queue.popleft()
        takes = [side.takes(place, length) for side, place in zip(sides, places, strict=True)]
        if takes[0] and not takes[1]:
            return Found(text=text)
        for letter in letters if sides[0].may_go_on(places[0], length) else ():
            after = tuple(
                side.automaton.step(place, letter)
                for side, place in zip(sides, places, strict=True)
            )
            key = (after, min(length + 1, beyond))
            if key not in seen:
                seen.add(key)
                queue.append((after, key[1], text + chr(letter)))
        if len(seen) > _MAX_PAIRS:
            return Found()
    return Found(is_none=True)


class _Side:
    """An automaton with its bounds of length."""

    def __init__(self, texts: Texts) -> None:
        self.texts = texts
        self.automaton = _Automaton(parse_pattern(texts.pattern))

    def takes(self, place: frozenset[int], length: int) -> bool:
        """Whether a text that ends at this place is among the texts."""
        longest = self.texts.longest
        fits = length >= self.texts.shortest and (longest is None or length <= longest)
        return fits and self.automaton.accepts(place, is_start=length == 0)

    def may_go_on(self, place: frozenset[int], length: int) -> bool:
        """Whether a longer text can still be among the texts."""
        return bool(place) and (self.texts.longest is None or length < self.texts.longest)


@dataclass(slots=True)
class _State:
    """What can be done at one step of an automaton."""

    #: (characters, next step)
    moves: list[tuple[Chars, int]] = field(default_factory=list)
    #: (condition or none, next step), without a character
    jumps: list[tuple[Edge | None, int]] = field(default_factory=list)


class _Automaton:
    """Places are sets of steps; the pattern may be found anywhere in a text."""

    def __init__(self, pattern: Pattern) -> None:
        self.states: list[_State] = []
        self._known: dict[tuple[frozenset[int], int], frozenset[int]] = {}
        anything = Chars(((0, LAST_CHAR),))
        first, self._last = self._state(), self._state()
        self.states[first].moves.append((anything, first))
        self.states[self._last].moves.append((anything, self._last))
        self._add(pattern, first, self._last)
        self.start = self._closure({first}, is_start=True)

    def step(self, place: frozenset[int], letter: int) -> frozenset[int]:
        """The place after one more character."""
        key = (place, letter)
        if key not in self._known:
            reached = {
                after
                for number in place
                for chars, after in self.states[number].moves
                if chars.has(letter)
            }
            self._known[key] = self._closure(reached)
        return self._known[key]

    def accepts(self, place: frozenset[int], *, is_start: bool) -> bool:
        """Whether a text that ends at this place has the pattern."""
        return self._last in self._closure(set(place), is_start=is_start, is_end=True)

    @cached_property
    def ranges(self) -> list[tuple[int, int]]:
        """All ranges of characters that it tells apart."""
        return [one for state in self.states for chars, _ in state.moves for one in chars.ranges]

    def _state(self) -> int:
        if len(self.states) >= _MAX_STEPS:
            raise Unsupported
        self.states.append(_State())
        return len(self.states) - 1

    def _closure(
        self, steps: set[int], *, is_start: bool = False, is_end: bool = False
    ) -> frozenset[int]:
        holds = {None: True, Edge.START: is_start, Edge.END: is_end}
        waiting, found = list(steps), set(steps)
        while waiting:
            for condition, after in self.states[waiting.pop()].jumps:
                if holds[condition] and after not in found:
                    found.add(after)
                    waiting.append(after)
        return frozenset(found)

    def _add(self, pattern: Pattern, first: int, last: int) -> None:
        """Steps that lead from `first` to `last` by what the pattern takes."""
        match pattern:
            case Chars():
                self.states[first].moves.append((pattern, last))
            case Edge():
                self.states[first].jumps.append((pattern, last))
            case Sequence(parts):
                for part in parts:
                    after = self._state()
                    self._add(part, first, after)
                    first = after
                self.states[first].jumps.append((None, last))
            case Alternatives(choices):
                for choice in choices:
                    self._add(choice, first, last)
            case Repeat():
                self._repeat(pattern, first, last)

    def _repeat(self, repeat: Repeat, first: int, last: int) -> None:
        for _ in range(repeat.least):
            after = self._state()
            self._add(repeat.part, first, after)
            first = after
        if repeat.most is None:
            loop, after = self._state(), self._state()
            self.states[first].jumps.append((None, loop))
            self._add(repeat.part, loop, after)
            self.states[after].jumps.append((None, loop))
            self.states[loop].jumps.append((None, last))
            return
        for _ in range(repeat.most - repeat.least):
            self.states[first].jumps.append((None, last))
            after = self._state()
            self._add(repeat.part, first, after)
            first = after
        self.states[first].jumps.append((None, last))


def _letters(*automata: _Automaton) -> list[int]:
    """One character for each set that neither automaton tells apart, readable ones first."""
    ranges = {one for automaton in automata for one in automaton.ranges}
    cuts = sorted({low for low, _ in ranges} | {high + 1 for _, high in ranges} | {0xD800, 0xE000})
    pairs = zip(cuts, [*cuts[1:], LAST_CHAR + 1], strict=True)
    letters = [_readable(low, high - 1) for low, high in pairs if low < high and low != 0xD800]
    return sorted(letters, key=lambda letter: (not chr(letter).isalnum(), letter))


def _readable(low: int, high: int) -> int:
    """A character of the range: a digit or a letter where there is one."""
    wanted: Iterator[int] = iter((*range(0x30, 0x3A), *range(0x61, 0x7B), *range(0x41, 0x5B), 0x21))
    return next((char for char in wanted if low <= char <= high), low)
