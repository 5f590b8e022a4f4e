"""One message, several events: the array that a schema explodes.

A part is judged as the message with the array replaced by one of its elements. What lies outside
of the array is looked at once per message and never again per part, so that a large envelope with
many parts costs what both cost, and not their product.
"""

from __future__ import annotations

from typing import Any, Final

from ingestion.parsing.json_schema import ANYTHING, SchemaNode
from ingestion.parsing.paths import Path, label_of, parse_path
from ingestion.parsing.problems import Problems

#: parts of one message; a report that has more is split by its producer
MAX_PARTS: Final = 1_000
_MARK: Final = "[]"


def read_explode(value: Any, node: SchemaNode, problems: Problems) -> Path | None:
    """The path of the array that is exploded, checked against the JSON Schema."""
    if value is None:
        return None
    if not isinstance(value, str) or not value.endswith(_MARK):
        problems.add("/explode", "must be the path of an array and []: report.entries[]")
        return None
    try:
        path = parse_path(value.removesuffix(_MARK))
    except ValueError as exc:
        problems.add("/explode", str(exc))
        return None
    if not all(isinstance(step, str) for step in path):
        problems.add("/explode", "must be names joined by '.': one array, and no array around it")
        return None
    _check_schema(node, path, problems)
    return path


def split_schema(node: SchemaNode, path: Path) -> tuple[SchemaNode, SchemaNode]:
    """The schema of what surrounds the value at a path of names, and the schema of the value."""
    if not path:
        return ANYTHING, node
    name = str(path[0])
    surrounding, value = split_schema(_property(node, name), path[1:])
    properties = {**node.properties, name: surrounding}
    return SchemaNode({**node.keywords, "properties": properties}), value


def _property(node: SchemaNode, name: str) -> SchemaNode:
    if name in node.properties:
        return node.properties[name]
    extra: SchemaNode = node.keywords.get("additionalProperties", ANYTHING)
    return extra


def _check_schema(node: SchemaNode, path: Path, problems: Problems) -> None:
    """Refuse what could not be judged without the whole array, or would refuse every part."""
    for depth in range(len(path) + 1):
        inner = split_schema(node, path[:depth])[1]
        where = label_of(path[:depth]) or "the message"
        if inner.never:
            problems.add("/explode", f"the JSON Schema allows no value for {where}")
            return
        if depth == len(path):
            continue
        if inner.keywords.keys() & {"enum", "const"}:
            problems.add("/explode", f"enum and const cannot stand for {where}: the array is in it")
        if not inner.allows_type("object"):
            problems.add("/explode", f"the JSON Schema must allow an object for {where}")
            return
    if "array" in inner.keywords.get("type", ()) or "items" in inner.keywords:
        problems.add(
            "/explode",
            f"the JSON Schema describes {label_of(path)} as an array; it must describe one element",
        )
