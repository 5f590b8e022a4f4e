"""Column by column: the value that an event gives it, and where in the event it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from ingestion.parsing.convert import Refused
from ingestion.parsing.document import Column, Document, Kind, Value
from ingestion.parsing.headers import read_headers
from ingestion.parsing.paths import Path, path_text
from ingestion.parsing.reading import JsonValue, Rejected, read_object
from ingestion.parsing.values import PartValues, Values
from ingestion.sources.base import MessageBatch
from payflow.lib.iso import MINOR_DIGITS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One column or attribute of one part."""

    column: str
    #: what it holds; None: nothing, or nothing that it can hold
    value: Any = None
    #: the path where the value was found; "" when it was not in the event
    path: str = ""
    #: where it is from otherwise: "constant", "default", "computed", "coordinates" or "nothing"
    otherwise: str = ""
    #: what is wrong with what was found there
    refused: str = ""


def trace(
    message: MessageBatch, document: Document, *, part: int, values: Mapping[str, Any] | None
) -> list[Trace]:
    """Every column that the mapping fills, in its order.

    `values` are those of an accepted part. Of a refused one as much is shown as can be taken; of
    bytes that are no JSON object, or have no such part, nothing.
    """
    event = _open(message, document, part)
    if event is None:
        return []
    found = [_trace(event, column, document) for column in document.every_column]
    if values is None:
        return found
    return [_filled(one, values[one.column]) for one in found]


def _filled(one: Trace, value: Any) -> Trace:
    """With the value that evaluate() gave; ids that are not in the event have one nevertheless."""
    is_made_up = one.otherwise == "nothing" and value not in (None, "")
    otherwise = "coordinates" if is_made_up else one.otherwise
    return replace(one, value=value, otherwise=otherwise, refused="")


def _open(message: MessageBatch, document: Document, part: int) -> Values | PartValues | None:
    """The values of a part by their paths."""
    try:
        event = read_object(message.bodies[0])
    except Rejected:
        return None
    values = Values(event, read_headers(message.headers[0] if message.headers else None))
    if not document.explode:
        return values
    array = values.find(document.explode)
    if not isinstance(array, list) or part >= len(array):
        return None
    return PartValues(values, document.explode, array[part])


def _trace(event: Values | PartValues, column: Column, document: Document) -> Trace:
    if column.constant is not None:
        return Trace(
            column=column.name, value=_shown(column, column.constant), otherwise="constant"
        )
    if column.expression is not None:
        return Trace(column=column.name, otherwise="computed")
    value, path = _find(event, column, document)
    if value is None and column.default is not None:
        return Trace(column=column.name, value=_shown(column, column.default), otherwise="default")
    if value is None:
        return Trace(column=column.name, otherwise="nothing")
    digits = _minor_digits(event, document) if column.unit == "minor" else 0
    converted = event.converted(column, path, value, digits)
    if isinstance(converted, Refused):
        refused = f"expected {converted.expected}, found {converted.actual}"
        return Trace(column=column.name, path=path_text(path), refused=refused)
    return Trace(column=column.name, value=_shown(column, converted), path=path_text(path))


def _find(event: Values | PartValues, column: Column, document: Document) -> tuple[JsonValue, Path]:
    """The first value that is not null, and where it is."""
    for path in column.paths:
        value = event.find(path)
        if value is not None and not (isinstance(value, str) and value in document.nulls):
            return value, path
    return None, ()


def _minor_digits(event: Values | PartValues, document: Document) -> int:
    """Of the event's currency."""
    currency = next(column for column in document.columns if column.name == "currency")
    return MINOR_DIGITS.get(str(_trace(event, currency, document).value), 0)


def _shown(column: Column, value: Value) -> Any:
    """Times are microseconds within the mapping, amounts decimal text of all their digits."""
    if column.kind is Kind.TIME and isinstance(value, int):
        return _EPOCH + timedelta(microseconds=value)
    if column.kind is Kind.AMOUNT and isinstance(value, str):
        return Decimal(value)
    return value
