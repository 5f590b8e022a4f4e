"""Whether two mappings give the same columns and attributes for events that pass one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from configuration.compatibility import Effect, Reason
from ingestion.parsing.convert import MAX_TEXT
from ingestion.parsing.document import Column, Document, Kind
from ingestion.parsing.json_schema import ANYTHING, SchemaNode
from ingestion.parsing.paths import Path
from ingestion.parsing.patterns import to_rust
from ingestion.parsing.problems import Problems
from ingestion.parsing.subschema import Loss, losses

#: what a column has where the document does not say it
_DEFAULTS: Final[Mapping[Kind, Mapping[str, Any]]] = {
    Kind.AMOUNT: {"unit": "major"},
    Kind.LATENCY: {"unit": "us"},
}
_BIGINT: Final = Decimal(2**63 - 1)
_FLOAT: Final = Decimal("1e308")
#: neither NUL nor U+FFFD, which stands for half a character where patterns are matched
_STORABLE: Final = "^[^\\0\ufffd]*$"
#: upper case can be three times as long
_MAX_GROWN: Final = MAX_TEXT // 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A schema document as it is written and as it was checked."""

    raw: Mapping[str, Any]
    document: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """One direction: do events that pass `given` pass `wanted`?"""

    given: Version
    wanted: Version
    #: whether the newer version is the given one
    is_forward: bool

    @property
    def older(self) -> Version:
        return self.wanted if self.is_forward else self.given

    @property
    def newer(self) -> Version:
        return self.given if self.is_forward else self.wanted

    @property
    def lost(self) -> str:
        """What happens to events that are lost, as the end of a sentence."""
        if self.is_forward:
            return "would pass now and failed before"
        return "passed before and would fail now"


def column_reasons(sides: Sides) -> Iterator[Reason]:
    """What columns and attributes have against it."""
    for area in ("columns", "attributes"):
        older, newer, given, wanted = (
            _specs(side, area) for side in (sides.older, sides.newer, sides.given, sides.wanted)
        )
        for name in dict.fromkeys((*newer, *older)):
            place = Problems.below(f"/{area}", name)
            if name in older and name in newer:
                known = _Pair(given[name], wanted[name], older[name].spec, newer[name].spec)
                yield from _changed(known, name, place)
            elif area == "attributes" and name in wanted:
                yield from _added(wanted[name].column, sides, place)
            else:
                message = _COME_OR_GONE[area, name in newer]
                yield Reason(pointer=place, field=name, message=message, effect=Effect.BREAKING)


_COME_OR_GONE: Final = {
    ("columns", True): "is new: it was empty in every event before",
    ("columns", False): "is gone: it is empty in every event now",
    ("attributes", True): "is new: the version before did not give it",
    ("attributes", False): "is gone: rules and pages cannot read it any more",
}


@dataclass(frozen=True, slots=True)
class _Mapped:
    """A column, and what is said of it with everything that goes without saying."""

    column: Column
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Pair:
    given: _Mapped
    wanted: _Mapped
    older: Mapping[str, Any]
    newer: Mapping[str, Any]


def _specs(version: Version, area: str) -> dict[str, _Mapped]:
    raw = version.raw.get(area, {})
    columns = version.document.columns if area == "columns" else version.document.attributes
    return {column.name: _Mapped(column, _spec(column, raw[column.name])) for column in columns}


def _spec(column: Column, raw: Mapping[str, Any]) -> dict[str, Any]:
    spec = {**_DEFAULTS.get(column.kind, {}), "upper": False, **raw}
    if "path" in spec:
        spec["first"] = [spec.pop("path")]
    if column.expression is not None:
        # as it was compiled: spaces do not count
        spec["expression"] = column.expression.sql
    return spec


def _changed(pair: _Pair, name: str, place: str) -> Iterator[Reason]:
    for key in dict.fromkeys((*pair.newer, *pair.older)):
        old, new = pair.older.get(key), pair.newer.get(key)
        if _json(old) == _json(new) or _is_wider(pair, key):
            continue
        if key == "map" and isinstance(old, Mapping) and isinstance(new, Mapping):
            messages = list(_changed_words(pair))
        else:
            was, now = _words(key, old), _words(key, new)
            messages = [_SAID.get(key, f"{key} is {{now}} instead of {{was}}")]
            messages = [text.format(was=was, now=now) for text in messages]
        pointer = f"{place}/{key}" if key != "first" else place
        for message in messages:
            yield Reason(pointer=pointer, field=name, message=message, effect=Effect.BREAKING)


_SAID: Final = {
    "first": "is read from {now} instead of {was}",
    "default": "is {now} instead of {was} where the event does not say it",
    "expression": "is computed as {now} instead of {was}",
    "constant": "is {now} instead of {was} in every event",
}


def _is_wider(pair: _Pair, key: str) -> bool:
    """Whether events that have a value keep it: the change only helps those that failed."""
    given, wanted = pair.given.spec.get(key), pair.wanted.spec.get(key)
    must_have = pair.given.column.required and "default" not in pair.given.spec
    if key == "default":
        return must_have and given is None
    if key == "first":
        both = isinstance(given, list) and isinstance(wanted, list)
        return both and must_have and list(wanted or [])[: len(given or [])] == given
    if key == "map" and isinstance(given, Mapping) and isinstance(wanted, Mapping):
        return all(word in wanted and _json(wanted[word]) == _json(given[word]) for word in given)
    return False


def _changed_words(pair: _Pair) -> Iterator[str]:
    old, new = pair.older["map"], pair.newer["map"]
    for word, value in pair.given.spec["map"].items():
        if word in pair.wanted.spec["map"]:
            if _json(old[word]) != _json(new[word]):
                yield (
                    f"the word {json.dumps(word)} gives {_json(new[word])} instead of "
                    f"{_json(old[word])}"
                )
        elif word in old:
            yield f"the word {json.dumps(word)}, which gave {_json(value)}, is not known any more"
        else:
            yield f"the word {json.dumps(word)}, which gives {_json(value)}, was not known before"


def _added(column: Column, sides: Sides, place: str) -> Iterator[Reason]:
    """An attribute more takes nothing away, unless its value cannot be taken from an event."""
    nulls = sides.wanted.document.nulls
    for path in column.paths:
        node, asked = (
            _node_at(side.document.json_schema, path) for side in (sides.given, sides.wanted)
        )
        if node is None or asked is None:
            message = f"whether {column.label} always fits it does not follow from the JSON Schema"
            yield Reason(pointer=place, field=column.name, message=message, effect=Effect.UNKNOWN)
            continue
        if not any(_unfit(column, asked, nulls)):
            continue  # what does not fit fails by the JSON Schema, which is a reason of its own
        for loss in _unfit(column, node, nulls):
            yield Reason(
                pointer=place,
                field=column.name,
                message=f"{loss.values} at {column.label} {sides.lost}",
                effect=loss.effect,
            )
    if column.expression is not None:
        message = "whether its expression fits every event does not follow from the documents"
        yield Reason(pointer=place, field=column.name, message=message, effect=Effect.UNKNOWN)


def _node_at(node: SchemaNode, path: Path) -> SchemaNode | None:
    """What the schema asks of the value at a path; null where it cannot be followed."""
    for step in path:
        if not isinstance(step, str):
            return None
        node = node.properties.get(step, node.keywords.get("additionalProperties", ANYTHING))
    return node


def _unfit(column: Column, node: SchemaNode, nulls: frozenset[str]) -> Iterator[Loss]:
    """Values that pass the node and cannot become the attribute."""
    if column.map is not None:
        yield from _unfit_for_map(column, node, nulls)
        return
    for loss in losses(node, _TAKEN[column.kind], pointer=""):
        yield loss
    if column.kind is Kind.STRING:
        longest = _MAX_GROWN if column.upper else MAX_TEXT
        yield from losses(node, SchemaNode({"maxLength": longest}), pointer="")
        storable = SchemaNode({"pattern": (_STORABLE, to_rust(_STORABLE))})
        for loss in losses(node, storable, pointer=""):
            yield replace(loss, values="texts with NUL or half a character")


def _unfit_for_map(column: Column, node: SchemaNode, nulls: frozenset[str]) -> Iterator[Loss]:
    words = column.map or {}
    if column.upper:
        yield Loss(pointer="", field="", values="texts", effect=Effect.UNKNOWN)
        return
    values: list[Any] = [None, *sorted(nulls), *words]
    values += [value for value in (True, False) if str(value).lower() in words]
    for loss in losses(node, SchemaNode({"enum": values}), pointer=""):
        yield replace(loss, values=f"values that are none of its {len(words)} words")


#: values that can always become an attribute of a kind; others may as well
_TAKEN: Final[Mapping[Kind, SchemaNode]] = {
    Kind.STRING: SchemaNode({"type": ("string", "null")}),
    Kind.BOOLEAN: SchemaNode({"type": ("boolean", "null")}),
    Kind.INTEGER: SchemaNode(
        {"type": ("integer", "null"), "minimum": -_BIGINT, "maximum": _BIGINT}
    ),
    Kind.NUMBER: SchemaNode({"type": ("number", "null"), "minimum": -_FLOAT, "maximum": _FLOAT}),
}


def _words(key: str, value: Any) -> str:
    if value is None:
        return "nothing"
    if key == "first" and isinstance(value, list):
        return " or ".join(map(str, value))
    return str(value) if key == "expression" else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
