"""The slow path: one message at a time, every rule, every reason. It decides.

1. The bytes must be one JSON object without repeated names where the schema looks.
2. The array that the schema explodes gives the parts; without one the message is the only part.
3. The route says whether the schema takes a part.
4. The rules of the JSON Schema look at it.
5. The mapping takes the values out of it.

Computed columns and checks follow for all events of a batch at once (computing.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from ingestion.parsing.convert import Refused
from ingestion.parsing.document import COLUMNS, Column, Document, Kind, Value
from ingestion.parsing.explode import MAX_PARTS, split_schema
from ingestion.parsing.headers import read_headers
from ingestion.parsing.json_schema import rules_of
from ingestion.parsing.names import element_tree, name_tree
from ingestion.parsing.paths import Header, Path, is_header, label_of
from ingestion.parsing.reading import (
    JsonObject,
    JsonValue,
    Rejected,
    has_repeats,
    read_object,
    repeated_names,
    type_name,
)
from ingestion.parsing.reasons import Reason, ValidationError, problem
from ingestion.parsing.values import PartValues, Values
from payflow.lib.iso import MINOR_DIGITS

#: what is wrong with one event, as far as it is told: a long array may be wrong in every element
MAX_ERRORS: Final = 100
_UNROUTED = problem("", Reason.UNROUTED, "a routed message", "another")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What became of the parts of one message."""

    #: how many it has; 1 for one that fails or is ignored whole
    parts: int
    #: part -> verdict, of the parts that were asked for
    verdicts: dict[int, Verdict]


class SlowPath:
    """Judges single messages by one schema document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._explode: Path = document.explode or ()
        self._tree = name_tree(document)
        self._element_tree = element_tree(self._tree, self._explode)
        around, element = split_schema(document.json_schema, self._explode)
        self._rules = rules_of(around if self._explode else element)
        self._element_rules = rules_of(element)
        # The currency comes first: amounts in minor units need its digits.
        self._columns = sorted(
            (column for column in document.every_column if column.expression is None),
            key=lambda column: column.name != "currency",
        )
        self._absent: dict[str, Value | None] = {
            name: "" if kind is Kind.TEXT else None for name, kind in COLUMNS.items()
        }
        self._absent |= dict.fromkeys(column.name for column in document.attributes)
        self._header_names = header_names(document)

    def judge(
        self, body: bytes, headers: bytes | None = None, *, fail_fast: bool = False
    ) -> Verdict:
        """The verdict on a message that is one event; `fail_fast` stops at the first error."""
        values = self._open(body, headers)
        if isinstance(values, Verdict):
            return _cut(values) if fail_fast else values
        if not self._is_routed(values):
            return self._elsewhere()
        if fail_fast and (error := self._rules.first(values.event, "")):
            return Verdict(errors=(error,))
        errors = _some(self._rules.check(values.event, ""))
        return self._map_all(values, errors, fail_fast=fail_fast)

    def judge_parts(
        self, body: bytes, headers: bytes | None = None, *, only: Sequence[int] | None = None
    ) -> Judged:
        """The verdicts on the parts of a message, or on some of them.

        What is wrong outside of the exploded array fails the message whole, once.
        """
        if not self._explode:
            return _whole(self.judge(body, headers))
        values = self._open(body, headers)
        if isinstance(values, Verdict):
            return _whole(values)
        array = values.find(self._explode)
        if refused := self._refuse_array(array, values):
            return _whole(refused)
        assert isinstance(array, list)  # noqa: S101  else it was refused
        parts = range(len(array)) if only is None else only
        routed = {
            at: part
            for at in parts
            if self._is_routed(part := PartValues(values, self._explode, array[at]))
        }
        if routed and (errors := tuple(_some(self._rules.check(values.event, "")))):
            return _whole(Verdict(errors=errors))
        elsewhere = self._elsewhere()
        return Judged(
            parts=len(array),
            verdicts={
                at: self._judge_part(routed[at]) if at in routed else elsewhere for at in parts
            },
        )

    def has_repeated_names(self, body: bytes) -> bool:
        """Whether a name that the schema looks at occurs twice in a JSON object."""
        if not has_repeats(body):
            return False
        event = read_object(body)
        if any(True for _ in repeated_names(event, self._tree)):
            return True
        array = Values(event, JsonObject([])).find(self._explode) if self._explode else None
        return isinstance(array, list) and any(map(self._repeats_in, array))

    def _open(self, body: bytes, headers: bytes | None) -> Values | Verdict:
        """The values of a message, or why it cannot be read."""
        try:
            event = read_object(body)
        except Rejected as exc:
            return Verdict(errors=(exc.error,))
        found = read_headers(headers) if self._header_names else JsonObject([])
        repeated = [
            problem(str(Header(name)), Reason.DUPLICATE_KEY, "one value", "several values")
            for name in self._header_names
            if name in found.repeated
        ]
        if errors := (*_some(repeated_names(event, self._tree)), *repeated):
            return Verdict(errors=errors)
        return Values(event, found)

    def _refuse_array(self, array: JsonValue, values: Values) -> Verdict | None:
        """What becomes of a message whose array gives no parts."""
        label = label_of(self._explode)
        if isinstance(array, list) and not array:
            return Verdict(ignored=True)
        if isinstance(array, list) and len(array) > MAX_PARTS:
            most = f"at most {MAX_PARTS} elements"
            return Verdict(errors=(problem(label, Reason.TOO_MANY_PARTS, most, f"{len(array)}"),))
        if isinstance(array, list):
            return None
        if not self._is_routed(values):
            return self._elsewhere()
        if array is None:
            return Verdict(errors=(problem(label, Reason.REQUIRED, "an array", "nothing"),))
        return Verdict(errors=(problem(label, Reason.WRONG_TYPE, "an array", type_name(array)),))

    def _judge_part(self, part: PartValues) -> Verdict:
        label = label_of(self._explode)
        if isinstance(part.element, JsonObject):
            repeated = _some(repeated_names(part.element, self._element_tree, label))
            if repeated:
                return Verdict(errors=tuple(repeated))
        return self._map_all(part, _some(self._element_rules.check(part.element, label)))

    def _repeats_in(self, element: JsonValue) -> bool:
        return isinstance(element, JsonObject) and any(
            True for _ in repeated_names(element, self._element_tree)
        )

    def _elsewhere(self) -> Verdict:
        """The verdict on what the route does not take."""
        if self._document.route and self._document.route.ignores_others:
            return Verdict(ignored=True)
        return Verdict(errors=(_UNROUTED,))

    def _map_all(
        self,
        values: Values | PartValues,
        errors: list[ValidationError],
        *,
        fail_fast: bool = False,
    ) -> Verdict:
        """The verdict, given what the JSON Schema's rules found."""
        columns = dict(self._absent)
        # One cause, one error: what the rules found is not said again by the mapping.
        known = {error.field for error in errors}
        for error in self._map(values, columns):
            if error.field not in known:
                errors.append(error)
            if fail_fast:
                break
        if not errors:
            return Verdict(values=columns)
        names = Names(
            transaction_id=str(columns["transaction_id"]),
            correlation_id=str(columns["correlation_id"]),
        )
        return Verdict(errors=tuple(errors), names=names)

    def _map(
        self, values: Values | PartValues, columns: dict[str, Value | None]
    ) -> Iterator[ValidationError]:
        """Fills `columns`; yields what cannot be taken."""
        for column in self._columns:
            if column.constant is not None:
                columns[column.name] = column.constant
                continue
            found, path = self._find(values, column)
            if found is None:
                if column.default is not None:
                    columns[column.name] = column.default
                elif column.required:
                    yield problem(column.label, Reason.REQUIRED, f"a {column.name}", "nothing")
                continue
            digits = MINOR_DIGITS.get(str(columns["currency"]))
            if column.unit == "minor" and digits is None:
                continue  # the currency has failed already
            value = values.converted(column, path, found, digits or 0)
            if isinstance(value, Refused):
                yield problem(label_of(path), value.reason, value.expected, value.actual)
                continue
            if value == "" and column.required and column.kind is Kind.TEXT:
                yield problem(label_of(path), Reason.REQUIRED, f"a {column.name}", "an empty text")
            columns[column.name] = value

    def _find(self, values: Values | PartValues, column: Column) -> tuple[JsonValue, Path]:
        """The first value that is not null, and the path where it is."""
        for path in column.paths:
            value = values.find(path)
            if value is not None and not (isinstance(value, str) and value in self._document.nulls):
                return value, path
        return None, ()

    def _is_routed(self, values: Values | PartValues) -> bool:
        route = self._document.route
        if route is None:
            return True
        return all(
            isinstance(word := values.find(path), str) and word in words
            for path, words in route.fields.items()
        )


def header_names(document: Document) -> tuple[str, ...]:
    """The headers that a schema looks at."""
    route = document.route.fields if document.route else ()
    paths = [path for column in document.every_column for path in column.paths]
    steps = [path[0] for path in (*paths, *route) if is_header(path)]
    return tuple(dict.fromkeys(step.name for step in steps if isinstance(step, Header)))


def _some(errors: Iterator[ValidationError]) -> list[ValidationError]:
    return list(islice(errors, MAX_ERRORS))


def _whole(verdict: Verdict) -> Judged:
    return Judged(parts=1, verdicts={0: verdict})


def _cut(verdict: Verdict) -> Verdict:
    return Verdict(errors=verdict.errors[:1], ignored=verdict.ignored)
