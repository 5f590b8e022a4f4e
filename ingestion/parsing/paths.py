"""Paths of a mapping: how a schema names a value of an event, or a header of its message.

money.value                names joined by dots
data."order.id"            a name in quotes may hold dots and brackets; "" is one quote
items[type=fee].amount     of an array, the first object whose `type` says fee
charges[0].id              of an array, the element with this number, from 0
header:event-type          a header of the message; all that follows is its name
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ingestion.parsing.reading import JsonNumber, JsonObject, JsonValue

#: characters
MAX_PATH: Final = 500
_HEADER: Final = "header:"
_QUOTED = r'"(?:[^"]|"")+"'
_NAME = re.compile(rf'(?P<quoted>{_QUOTED})|(?P<name>[^.\[\]"]+)')
_PICK = re.compile(
    rf"\[(?:(?P<number>[0-9]{{1,6}})"
    rf'|(?P<key>{_QUOTED}|[^=\[\]"]+)=(?P<value>{_QUOTED}|[^\[\]"]+))\]'
)
_PLAIN = re.compile(r'[^.\[\]"]+\Z')


@dataclass(frozen=True, slots=True)
class Header:
    """The first step of a path to a header of the message."""

    name: str

    def __str__(self) -> str:
        return _HEADER + self.name


@dataclass(frozen=True, slots=True)
class Numbered:
    """One element of an array by its number, from 0."""

    number: int

    def of(self, array: Sequence[JsonValue]) -> JsonValue:
        """The element; null when the array is shorter."""
        return array[self.number] if self.number < len(array) else None

    def __str__(self) -> str:
        return f"[{self.number}]"


@dataclass(frozen=True, slots=True)
class Keyed:
    """The first object of an array whose member `key` is a word."""

    key: str
    word: str

    def of(self, array: Sequence[JsonValue]) -> JsonValue:
        """The object; null when there is none."""
        for element in array:
            if isinstance(element, JsonObject) and word_of(element.get(self.key)) == self.word:
                return element
        return None

    def __str__(self) -> str:
        return f"[{_quoted(self.key)}={_quoted(self.word)}]"


#: what takes one element out of an array
Pick = Numbered | Keyed
Step = str | Pick | Header
Path = tuple[Step, ...]


def parse_path(text: str) -> Path:
    """The steps of a path; raises ValueError with what a person should change."""
    if len(text) > MAX_PATH:
        raise ValueError(f"a path has at most {MAX_PATH} characters, not {len(text)}")
    if text.startswith(_HEADER):
        if len(text) == len(_HEADER):
            raise ValueError("must name a header: header:event-type")
        return (Header(text.removeprefix(_HEADER)),)
    steps: list[Step] = []
    at = 0
    while True:
        found = _NAME.match(text, at)
        if found is None:
            raise ValueError(
                f"must be a dotted path: names joined by '.', not {text[at : at + 20]!r} at "
                f"character {at + 1}"
            )
        steps.append(_unquoted(found["quoted"]) if found["quoted"] else found["name"])
        at = found.end()
        while pick := _PICK.match(text, at):
            steps.append(_pick(pick))
            at = pick.end()
        if at == len(text):
            return tuple(steps)
        if text[at] != ".":
            raise ValueError(
                f"cannot read {text[at : at + 20]!r} at character {at + 1}: an element of an array "
                "is [key=word] or [0], and other names with brackets or quotes stand in quotes"
            )
        at += 1


def path_text(path: Path) -> str:
    """The path as a document says it: `parse_path` reads it back."""
    return _joined(_quoted(step) if isinstance(step, str) else step for step in path)


def label_of(path: Path) -> str:
    """What errors call the place, in the way that JSON Schema's rules do: without quotes."""
    return _joined(path)


def plain_names(path: Path) -> tuple[str, ...]:
    """The names on the way alone."""
    return tuple(step for step in path if isinstance(step, str))


def is_header(path: Path) -> bool:
    """Whether the path names a header."""
    return isinstance(path[0], Header)


def word_of(value: JsonValue) -> str | None:
    """A text, an integer as it is written, true or false; null for everything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, JsonNumber):
        return value.literal if value.is_integer_literal else None
    return value if isinstance(value, str) else None


def step_into(value: JsonValue, step: Step) -> JsonValue:
    """The value one step further; null where there is no such place."""
    if isinstance(step, str):
        return value.get(step) if isinstance(value, JsonObject) else None
    if isinstance(step, Header) or not isinstance(value, list):
        return None
    return step.of(value)


def walk(value: JsonValue, path: Path) -> JsonValue:
    """The value at a path; null when something on the way is missing."""
    for step in path:
        value = step_into(value, step)
        if value is None:
            break
    return value


def _pick(found: re.Match[str]) -> Pick:
    if found["number"]:
        return Numbered(int(found["number"]))
    return Keyed(_unquoted(found["key"]), _unquoted(found["value"]))


def _joined(steps: Sequence[Step] | Iterator[Step]) -> str:
    text = ""
    for step in steps:
        text += f".{step}" if text and isinstance(step, str) else str(step)
    return text


def _quoted(name: str) -> str:
    plain = _PLAIN.match(name) and "=" not in name and not name.startswith(_HEADER)
    return name if plain else '"' + name.replace('"', '""') + '"'


def _unquoted(text: str) -> str:
    return text[1:-1].replace('""', '"') if text.startswith('"') else text
