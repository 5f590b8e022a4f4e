"""Values picked out of arrays on the fast path: the slow path's own reading, for the array only."""

from __future__ import annotations

import json

import polars as pl

from ingestion.parsing.json_schema import rules_of
from ingestion.parsing.names import add_path
from ingestion.parsing.paths import walk
from ingestion.parsing.reading import (
    JsonNumber,
    JsonValue,
    NameTree,
    Rejected,
    read_value,
    repeated_in_elements,
)
from ingestion.parsing.tree import Node


class Picker:
    """Takes what columns read out of one array."""

    def __init__(self, node: Node, wire: str, names: list[str]) -> None:
        #: column with the array's JSON
        self.wire = wire
        self._rules = rules_of(node.schema)
        self._tails = [path[len(node.path) :] for path in node.picked]
        self._names = names
        self._tree = NameTree({})
        for tail in self._tails:
            add_path(self._tree, tail)

    def pick(self, arrays: pl.Series) -> tuple[list[pl.Series], pl.Series]:
        """A column of JSON per value, and whether each array is surely right."""
        columns: list[list[str]] = [[] for _ in self._tails]
        sound: list[bool] = []
        for text in arrays:
            found = self._values(text) if text else [None] * len(self._tails)
            sound.append(found is not None)
            for column, value in zip(columns, found or [None] * len(self._tails), strict=True):
                column.append(_json(value))
        series = [
            pl.Series(name, column, dtype=pl.String)
            for name, column in zip(self._names, columns, strict=True)
        ]
        return series, pl.Series(sound, dtype=pl.Boolean)

    def _values(self, text: str) -> list[JsonValue] | None:
        """What the paths lead to; None when anything is wrong with the array."""
        try:
            array = read_value(text)
        except Rejected:
            return None
        if self._rules.first(array, "") is not None:
            return None
        if (
            isinstance(array, list)
            and self._tree.elements
            and any(True for _ in repeated_in_elements(array, self._tree.elements, ""))
        ):
            return None
        return [walk(array, tail) for tail in self._tails]


def _json(value: JsonValue) -> str:
    """JSON of a scalar; of anything else a text that becomes no value, nothing for null."""
    match value:
        case None:
            return ""
        case JsonNumber():
            return value.literal
        case list() | dict():
            return "{"
        case str() if any("\ud800" <= char <= "\udfff" for char in value):
            return "{"
        case _:
            return json.dumps(value, ensure_ascii=False)
