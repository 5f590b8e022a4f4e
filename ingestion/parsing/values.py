"""The values of one event by path; what several columns or parts share is looked up once."""

from __future__ import annotations

from dataclasses import dataclass, field

from ingestion.parsing.convert import Refused, convert
from ingestion.parsing.document import Column, Value
from ingestion.parsing.paths import Header, Path, step_into, walk
from ingestion.parsing.reading import JsonObject, JsonValue

#: the value of a column, or why it has none
Converted = Value | Refused


@dataclass(slots=True)
class Values:
    """A message, or what surrounds its parts."""

    event: JsonValue
    headers: JsonObject
    #: path up to an element of an array -> the element: arrays are searched once
    _picked: dict[Path, JsonValue] = field(default_factory=dict)
    _converted: dict[tuple[str, int], Converted] = field(default_factory=dict)

    def find(self, path: Path) -> JsonValue:
        """The value at a path; null where there is none."""
        value = self.event
        for step in path:
            if not isinstance(step, str):
                return self._find_further(path)
            if not isinstance(value, JsonObject):
                return None
            value = value.get(step)
        return value

    def _find_further(self, path: Path) -> JsonValue:
        """The same for paths to headers and through arrays."""
        first = path[0]
        if isinstance(first, Header):
            return self.headers.get(first.name)
        value = self.event
        for at, step in enumerate(path, start=1):
            if isinstance(step, str):
                value = step_into(value, step)
                continue
            known = path[:at]
            if known not in self._picked:
                self._picked[known] = step_into(value, step)
            value = self._picked[known]
        return value

    def converted(self, column: Column, path: Path, value: JsonValue, digits: int) -> Converted:  # noqa: ARG002
        """What becomes of a value that `find` found at the path; `digits` of minor units."""
        return _convert(column, value, digits)

    def converted_once(self, column: Column, value: JsonValue, digits: int) -> Converted:
        """The same for a value that many parts share."""
        key = (column.name, digits)
        if key not in self._converted:
            self._converted[key] = _convert(column, value, digits)
        return self._converted[key]


@dataclass(slots=True)
class PartValues:
    """One element of the exploded array, in its place within the message."""

    around: Values
    #: where the array is
    place: Path
    element: JsonValue

    def find(self, path: Path) -> JsonValue:
        """The value at a path of the message in which the element stands for the array."""
        if self.has(path):
            return walk(self.element, path[len(self.place) :])
        if path == self.place[: len(path)]:
            return JsonObject([])  # the object around: no value of a column, and not missing
        return self.around.find(path)

    def converted(self, column: Column, path: Path, value: JsonValue, digits: int) -> Converted:
        """What becomes of a value that `find` found at the path; `digits` of minor units."""
        if self.has(path):
            return _convert(column, value, digits)
        return self.around.converted_once(column, value, digits)

    def has(self, path: Path) -> bool:
        """Whether a path leads into the element."""
        return path[: len(self.place)] == self.place


def _convert(column: Column, value: JsonValue, digits: int) -> Converted:
    try:
        return convert(column, value, minor_digits=digits)
    except Refused as exc:
        return exc
