"""Where in the text of an event the value of a field stands, so that an error can be marked there.

The text may be broken anywhere: what lies before the break has its places still.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ingestion.parsing import Reason, ValidationError

#: errors that are marked at most
MOST_MARKS: Final = 100
#: characters of a path that is looked for: all paths of a long one's parts take too long to write
LONGEST_PATH: Final = 2_000
_TOKEN: Final = re.compile(r'(?P<text>"(?:[^"\\]|\\.)*+")|(?P<sign>[\[\]{},:])|[^\s\[\]{},:"]+')


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A stretch of the text, in UTF-16 units as a browser counts."""

    start: int
    end: int
    #: whose value it is; "" where the text stops being JSON
    field: str


@dataclass(slots=True)
class _Level:
    """An object or array that is open."""

    path: str
    start: int
    is_array: bool
    #: of the member or element that comes next
    name: str = ""
    number: int = 0
    wants_name: bool = True

    def member(self) -> str:
        """The path of what comes next; what is too long goes no further."""
        if len(self.path) > LONGEST_PATH:
            return self.path
        if self.is_array:
            return f"{self.path}[{self.number}]"
        return f"{self.path}.{self.name}" if self.path else self.name


def marks(text: str, errors: Iterable[tuple[str, ValidationError]]) -> list[Mark]:
    """A mark for each field with an error that is in the text, given with its errors."""
    found: dict[tuple[int, int], str] = {}
    wanted = set()
    for field, error in errors:
        if error.constraint == Reason.INVALID_JSON:
            found.setdefault(_break(text), "")
        elif 0 < len(field) <= LONGEST_PATH:
            wanted.add(field)
    if wanted:
        found |= {(start, end): path for path, start, end in spans(text) if path in wanted}
    return list(_in_units(text, sorted(found.items())[:MOST_MARKS]))


def spans(text: str) -> Iterator[tuple[str, int, int]]:
    """Path, start and end of every value below the outermost, inner ones first.

    Paths are as errors write them: `report.entries[3].amount`; one that is longer than LONGEST_PATH
    is that of what is around it.
    """
    levels: list[_Level] = []
    for token in _TOKEN.finditer(text):
        sign = token["sign"]
        level = levels[-1] if levels else None
        if sign in ("{", "["):
            path = level.member() if level else ""
            levels.append(_Level(path, token.start(), is_array=sign == "["))
        elif sign in ("}", "]"):
            if level is None:
                return
            levels.pop()
            if levels:
                yield level.path, level.start, token.end()
        elif sign == ",":
            if level is not None:
                level.number += 1
                level.wants_name = True
        elif sign == ":":
            if level is not None:
                level.wants_name = False
        elif level is not None and not level.is_array and level.wants_name and token["text"]:
            level.name = _unquoted(token["text"])
        elif level is not None:
            yield level.member(), token.start(), token.end()


def _unquoted(literal: str) -> str:
    try:
        name: str = json.loads(literal)
    except ValueError:
        return literal[1:-1]
    return name


def _break(text: str) -> tuple[int, int]:
    """The token at which the text stops being JSON, and its last character where it just ends."""
    try:
        json.loads(text)
    except json.JSONDecodeError as exc:
        at = exc.pos
    except RecursionError:
        at = 0
    else:
        at = 0
    if at >= len(text.rstrip()):
        at = max(0, len(text.rstrip()) - 1)
    token = _TOKEN.match(text, at)
    return at, max(at + 1, token.end() if token else 0)


def _in_units(text: str, found: Iterable[tuple[tuple[int, int], str]]) -> Iterator[Mark]:
    """Characters beyond the basic plane are two units in a browser."""
    is_ascii = text.isascii()
    at = units = 0
    for (start, end), field in found:
        if is_ascii:
            yield Mark(start=start, end=end, field=field)
            continue
        units += _units(text[at:start])
        at = start
        yield Mark(start=units, end=units + _units(text[start:end]), field=field)


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
