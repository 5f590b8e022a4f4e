"""Bytes to wire columns: a msgspec decoder compiled from the tree, one list per field.

Text that is absent is NUL (no JSON text that gets here can hold it), raw JSON that is absent is
empty, and an object that is absent is one instance whose fields are all absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any, Literal, Optional

import msgspec
import polars as pl

from ingestion.parsing.explode import MAX_PARTS
from ingestion.parsing.json_schema import rules_of
from ingestion.parsing.paths import Path
from ingestion.parsing.tree import Node, Wire

ABSENT = "\0"
_ABSENT_RAW = msgspec.Raw(b"")
# messages decoded before their fields are taken: their objects still lie in the CPU's cache
_SLICE = 2048
_ROWS = "_rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level:
    """One object of the event as a Struct: attribute -> node of each field."""

    node: Node
    struct: type[msgspec.Struct]
    absent: msgspec.Struct
    fields: dict[str, Node]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A batch, one row per message (or element)."""

    wires: pl.DataFrame
    #: indexes of those that are not as expected; their fields are absent
    refused: list[int]
    #: the elements of each message's exploded array; empty where the schema has none
    arrays: list[list[msgspec.Raw]]


class Decoder:
    """Decodes messages of one schema, or elements of their array, into wire columns."""

    def __init__(self, root: Node, *, prefix: str = "wire") -> None:
        #: column of each leaf, and of each object's presence, by path
        self.wires: dict[Path, str] = {
            node.path: f"{prefix}_{at}" for at, node in enumerate(root.walk())
        }
        levels: dict[Path, _Level] = {}
        for node in reversed(root.walk()):  # a Struct needs those of its fields first
            if node.wire is Wire.OBJECT:
                levels[node.path] = _compile(node, levels)
        self._levels = {path: levels[path] for path in reversed(levels)}
        self._root = root.path
        self._absent = levels[root.path].absent
        self._decode = msgspec.json.Decoder(levels[root.path].struct).decode

    def decode(self, bodies: Sequence[bytes | msgspec.Raw]) -> Decoded:
        """Decode a batch."""
        slices = [
            self._decode_slice(bodies[start : start + _SLICE])
            for start in range(0, max(len(bodies), 1), _SLICE)
        ]
        if len(slices) == 1:
            return slices[0]
        return Decoded(
            wires=pl.concat([part.wires for part in slices], rechunk=True),
            refused=[
                number * _SLICE + at for number, part in enumerate(slices) for at in part.refused
            ],
            arrays=[array for part in slices for array in part.arrays],
        )

    def _decode_slice(self, bodies: Sequence[bytes | msgspec.Raw]) -> Decoded:
        records, refused = self._records(bodies)
        instances: dict[Path, list[Any]] = {self._root: records}
        arrays: list[list[msgspec.Raw]] = []
        series: list[pl.Series] = []
        for path, level in self._levels.items():
            for attribute, node in level.fields.items():
                values = list(map(attrgetter(attribute), instances[path]))
                wire = self.wires[node.path]
                if node.wire is Wire.PARTS:
                    arrays = values
                    continue
                if node.wire is not Wire.OBJECT:
                    series.append(_leaf(wire, values, node))
                    continue
                absent = self._levels[node.path].absent
                if not node.required or node.nullable:
                    series.append(pl.Series(wire, [value is not absent for value in values]))
                if node.nullable:
                    values = [absent if value is None else value for value in values]
                instances[node.path] = values
        # Where nothing but the parts is read, the frame would not know how many rows it has.
        series = series or [pl.Series(_ROWS, [None] * len(records), dtype=pl.Null)]
        return Decoded(wires=pl.DataFrame(series), refused=refused, arrays=arrays)

    def _records(self, bodies: Sequence[bytes | msgspec.Raw]) -> tuple[list[Any], list[int]]:
        records: list[Any] = []
        refused = []
        rest = iter(bodies)
        while True:
            try:
                # extend() keeps what it has got when the iterator raises, so that a clean
                # batch runs without a Python frame per message and a bad message costs little.
                records.extend(map(self._decode, rest))
            except (msgspec.MsgspecError, RecursionError):
                refused.append(len(records))
                records.append(self._absent)
            else:
                return records, refused


def _compile(node: Node, levels: dict[Path, _Level]) -> _Level:
    names = {f"f{position}": name for position, name in enumerate(node.children)}
    fields = {attribute: node.children[name] for attribute, name in names.items()}
    required: list[tuple[str, Any]] = []
    optional: list[tuple[str, Any, Any]] = []
    absent = {}
    for attribute, child in fields.items():
        kind, absent[attribute] = _field_type(child, levels)
        if child.required:
            required.append((attribute, kind))
        else:
            optional.append((attribute, kind, absent[attribute]))
    struct = msgspec.defstruct(
        "Level",
        [*required, *optional],
        rename=names,
        frozen=True,
        eq=False,
        gc=False,
        forbid_unknown_fields=node.closed,
    )
    return _Level(node=node, struct=struct, absent=struct(**absent), fields=fields)


def _field_type(node: Node, levels: dict[Path, _Level]) -> tuple[Any, Any]:
    """The type of a field and what stands for its absence."""
    if node.wire in {Wire.RAW, Wire.ANY}:
        return msgspec.Raw, _ABSENT_RAW
    if node.wire is Wire.PARTS:
        return Annotated[list[msgspec.Raw], msgspec.Meta(max_length=MAX_PARTS)], []
    kind: Any = levels[node.path].struct if node.wire is Wire.OBJECT else _text_type(node)
    absent = levels[node.path].absent if node.wire is Wire.OBJECT else ABSENT
    return (Optional[kind] if node.nullable else kind), absent  # noqa: UP045  types are values here


def _text_type(node: Node) -> Any:
    """The text type of a field: allowed words, or lengths."""
    keywords = node.schema.keywords
    allowed = keywords.get("enum", keywords.get("const"))
    if allowed is not None:
        rules = rules_of(node.schema)
        words = [word for word in allowed if isinstance(word, str) and not rules.first(word, "")]
        # No text is two NULs: where no word is left, every message gets a second look.
        return Literal[tuple(words or [ABSENT * 2])]
    if not keywords.keys() & {"minLength", "maxLength"}:
        return str
    bounds = msgspec.Meta(
        min_length=keywords.get("minLength"), max_length=keywords.get("maxLength")
    )
    return Annotated[str, bounds]


def _leaf(name: str, values: list[Any], node: Node) -> pl.Series:
    if node.wire is Wire.TEXT:
        return pl.Series(name, values, dtype=pl.String)
    if node.wire is Wire.ANY:
        return pl.Series(name, [value is not _ABSENT_RAW for value in values], dtype=pl.Boolean)
    return pl.Series(name, list(map(bytes, values)), dtype=pl.Binary).cast(pl.String)
