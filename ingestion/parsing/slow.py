"""The slow path: one message at a time, every rule, every reason. It decides.

1. The bytes must be one JSON object without repeated names where the schema looks.
2. The route says whether the schema takes it.
3. The rules of the JSON Schema look at it.
4. The mapping takes the values out of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ingestion.parsing.convert import Refused, convert
from ingestion.parsing.document import COLUMNS, Column, Document, Kind, Path, Value
from ingestion.parsing.json_schema import SchemaNode, rules_of
from ingestion.parsing.reading import (
    JsonObject,
    JsonValue,
    NameTree,
    Rejected,
    has_repeats,
    read_object,
    repeated_names,
)
from ingestion.parsing.reasons import Reason, ValidationError, problem
from payflow.lib.iso import MINOR_DIGITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """By what people look for a refused event; "" where it does not say."""

    transaction_id: str
    correlation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one message: exactly one of the first three is set."""

    values: dict[str, Value | None] | None = None
    errors: tuple[ValidationError, ...] = ()
    ignored: bool = False
    #: what a refused event is called, as far as it could be read
    names: Names | None = None


class SlowPath:
    """Judges single messages by one schema document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._tree = name_tree(document)
        self._rules = rules_of(document.json_schema)
        # The currency comes first: amounts in minor units need its digits.
        self._columns = sorted(
            (*document.columns, *document.attributes), key=lambda column: column.name != "currency"
        )
        self._absent: dict[str, Value | None] = {
            name: "" if kind is Kind.TEXT else None for name, kind in COLUMNS.items()
        }
        self._absent |= dict.fromkeys(column.name for column in document.attributes)

    def judge(self, body: bytes, *, fail_fast: bool = False) -> Verdict:
        """The verdict on a message; `fail_fast` stops at the first error."""
        try:
            event = read_object(body)
        except Rejected as exc:
            return Verdict(errors=(exc.error,))
        if repeated := tuple(repeated_names(event, self._tree)):
            return Verdict(errors=repeated[:1] if fail_fast else repeated)
        if not self._is_routed(event):
            if self._document.route and self._document.route.ignores_others:
                return Verdict(ignored=True)
            return Verdict(errors=(problem("", Reason.UNROUTED, "a routed message", "another"),))
        return self._judge_event(event, fail_fast=fail_fast)

    def has_repeated_names(self, body: bytes) -> bool:
        """Whether a name that the schema looks at occurs twice in a JSON object."""
        return has_repeats(body) and any(
            True for _ in repeated_names(read_object(body), self._tree)
        )

    def _judge_event(self, event: JsonObject, *, fail_fast: bool) -> Verdict:
        if fail_fast and (error := self._rules.first(event, "")):
            return Verdict(errors=(error,))
        errors = list(self._rules.check(event, ""))
        values = dict(self._absent)
        # One cause, one error: what the rules found is not said again by the mapping.
        known = {error.field for error in errors}
        for error in self._map(event, values):
            if error.field not in known:
                errors.append(error)
            if fail_fast:
                break
        if not errors:
            return Verdict(values=values)
        names = Names(
            transaction_id=str(values["transaction_id"]),
            correlation_id=str(values["correlation_id"]),
        )
        return Verdict(errors=tuple(errors), names=names)

    def _map(self, event: JsonObject, values: dict[str, Value | None]) -> Iterator[ValidationError]:
        """Fills `values`; yields what cannot be taken."""
        for column in self._columns:
            if column.constant is not None:
                values[column.name] = column.constant
                continue
            found, field = self._find(event, column)
            if found is None:
                if column.default is not None:
                    values[column.name] = column.default
                elif column.required:
                    yield problem(column.label, Reason.REQUIRED, f"a {column.name}", "nothing")
                continue
            try:
                digits = MINOR_DIGITS.get(str(values["currency"]))
                if column.unit == "minor" and digits is None:
                    continue  # the currency has failed already
                value = convert(column, found, minor_digits=digits or 0)
            except Refused as exc:
                yield problem(field, exc.reason, exc.expected, exc.actual)
                continue
            if value == "" and column.required and column.kind is Kind.TEXT:
                yield problem(field, Reason.REQUIRED, f"a {column.name}", "an empty text")
            values[column.name] = value

    def _find(self, event: JsonObject, column: Column) -> tuple[JsonValue, str]:
        """The first value that is not null, and the dotted path where it is."""
        for path in column.paths:
            value = look_up(event, path)
            if value is not None and not (isinstance(value, str) and value in self._document.nulls):
                return value, ".".join(path)
        return None, column.label

    def _is_routed(self, event: JsonObject) -> bool:
        route = self._document.route
        if route is None:
            return True
        return all(
            isinstance(word := look_up(event, path), str) and word in words
            for path, words in route.fields.items()
        )


def look_up(event: JsonObject, path: Path) -> JsonValue:
    """The value at a path; null when an object on the way is missing or none."""
    value: JsonValue = event
    for name in path:
        if not isinstance(value, JsonObject):
            return None
        value = value.get(name)
    return value


def name_tree(document: Document) -> NameTree:
    """Every name that the schema or the mapping looks at."""
    root = NameTree({})
    _add_properties(root, document.json_schema)
    paths = [path for c in (*document.columns, *document.attributes) for path in c.paths]
    for path in (*paths, *(document.route.fields if document.route else ())):
        node = root
        for name in path:
            node = node.children.setdefault(name, NameTree({}))
    return root


def _add_properties(tree: NameTree, node: SchemaNode) -> None:
    for name in node.keywords.get("required", ()):
        tree.children.setdefault(name, NameTree({}))
    for name, child in node.properties.items():
        _add_properties(tree.children.setdefault(name, NameTree({})), child)
