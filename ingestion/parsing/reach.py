"""What a schema says that can never come about: most likely a slip of its author.

Such a schema works, and one that is live keeps working; a draft is refused with the place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ingestion.parsing.document import Column, Document, Kind
from ingestion.parsing.json_schema import ANYTHING, TYPES, SchemaNode
from ingestion.parsing.paths import Header, Path, Step, label_of
from ingestion.parsing.problems import Problems
from ingestion.parsing.reading import type_name

_NUMBERS: Final = frozenset({"number", "integer", "string"})
#: types that can become a column; texts take integers as they are written
_TAKEN: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.TEXT: _NUMBERS,
    Kind.STRING: _NUMBERS,
    Kind.TIME: _NUMBERS,
    Kind.AMOUNT: _NUMBERS,
    Kind.LATENCY: _NUMBERS,
    Kind.NUMBER: _NUMBERS,
    Kind.INTEGER: _NUMBERS,
    Kind.BOOLEAN: frozenset({"boolean", "string"}),
}


#: a lower bound and an upper one of the same values
_BOUNDS: Final = (
    ("minLength", "maxLength"),
    ("minimum", "maximum"),
    ("minimum", "exclusiveMaximum"),
    ("exclusiveMinimum", "maximum"),
    ("exclusiveMinimum", "exclusiveMaximum"),
)


def check_reach(document: Document, raw: Mapping[str, Any], problems: Problems) -> None:
    """Refuse bounds that nothing is within, and paths at which no value can stand that fits.

    `raw` is the document as it is written.
    """
    _check_bounds(document.json_schema, "/json_schema", problems)
    for area, columns in (("columns", document.columns), ("attributes", document.attributes)):
        for column in columns:
            place = problems.below(f"/{area}", column.name)
            for pointer, path in _paths(column, place, raw.get(area, {}).get(column.name)):
                if message := _out_of_reach(document, column, path):
                    problems.add(pointer, message)


def _check_bounds(node: SchemaNode, pointer: str, problems: Problems) -> None:
    for low, high in _BOUNDS:
        least, most = node.keywords.get(low), node.keywords.get(high)
        if least is None or most is None:
            continue
        if least > most or (least == most and "exclusive" in low + high):
            message = f"{most} is not above {low}, which is {least}: no value could pass"
            problems.add(f"{pointer}/{high}", message)
    for name, child in node.properties.items():
        _check_bounds(child, problems.below(f"{pointer}/properties", name), problems)
    for name in ("items", "additionalProperties"):
        if name in node.keywords:
            _check_bounds(node.keywords[name], f"{pointer}/{name}", problems)


def _paths(column: Column, place: str, spec: Any) -> Iterator[tuple[str, Path]]:
    is_one = isinstance(spec, Mapping) and "path" in spec
    for number, path in enumerate(column.paths):
        yield f"{place}/path" if is_one else f"{place}/first/{number}", path


def _out_of_reach(document: Document, column: Column, path: Path) -> str:
    if isinstance(path[0], Header):
        return ""
    node = document.json_schema
    for depth, step in enumerate(path):
        if path[:depth] == document.explode and "items" in node.keywords:
            node = node.keywords["items"]
        found = _below(node, step)
        if found is None:
            around = label_of(path[:depth]) or "the event"
            return f"{label_of(path)}: by the JSON Schema {around} is never {_holder(step)}"
        node = found
        if node.never:
            return f"{label_of(path)}: the JSON Schema lets no value stand there"
    taken = _TAKEN[column.kind] | ({"boolean", *_NUMBERS} if column.map is not None else set())
    allowed = _allowed(node) - {"null"}
    if not allowed or allowed & taken:
        return ""
    words = " or ".join(name for name in TYPES if name in allowed)
    return f"{label_of(path)}: the JSON Schema lets {words} stand there, no {column.name}"


def _below(node: SchemaNode, step: Step) -> SchemaNode | None:
    """The schema one step further; null where the type forbids the step."""
    if isinstance(step, str):
        if not node.allows_type("object"):
            return None
        further: SchemaNode = node.keywords.get("additionalProperties", ANYTHING)
        return node.properties.get(step, further)
    if not node.allows_type("array"):
        return None
    items: SchemaNode = node.keywords.get("items", ANYTHING)
    return items


def _holder(step: Step) -> str:
    return "an object" if isinstance(step, str) else "an array"


def _allowed(node: SchemaNode) -> frozenset[str]:
    """The types of the values that pass."""
    types = frozenset(node.keywords.get("type", TYPES))
    for keyword in ("enum", "const"):
        if keyword in node.keywords:
            named = frozenset(map(type_name, node.keywords[keyword]))
            types &= named | {"integer"} if "number" in named else named
    return types
