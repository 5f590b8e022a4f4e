"""Column by column: the value that an event gives it, and where in the event it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ingestion.bundles import CompiledBundle
from ingestion.parsing.convert import Refused, convert
from ingestion.parsing.document import Column, Document, Kind, Value
from ingestion.parsing.mapping import read_document
from ingestion.parsing.reading import JsonObject, JsonValue, Rejected, read_object
from ingestion.parsing.slow import look_up
from ingestion.sources.base import MessageBatch
from payflow.lib.iso import MINOR_DIGITS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One column or attribute of one part."""

    column: str
    #: what it holds; None: nothing, or nothing that it can hold
    value: Any
    #: the path where the value was found; "" when it was not in the event
    path: str
    #: where it is from otherwise: "constant", "default", "coordinates" or "nothing"
    otherwise: str = ""
    #: what is wrong with what was found there
    refused: str = ""


def trace(
    message: MessageBatch, bundle: CompiledBundle, *, values: Mapping[str, Any] | None
) -> list[Trace]:
    """Every column that the mapping fills, in the order of the mapping.

    `values` are those of an accepted part. Of a refused one as much is shown as can be taken; of
    bytes that are no JSON object nothing.
    """
    document = _document(bundle)
    try:
        event = read_object(message.bodies[0])
    except Rejected:
        return []
    found = list(_found(event, document))
    if values is None:
        return found
    return [
        Trace(
            column=one.column,
            value=values[one.column],
            path=one.path,
            otherwise="coordinates" if _is_made_up(one, values) else one.otherwise,
        )
        for one in found
    ]


def _is_made_up(one: Trace, values: Mapping[str, Any]) -> bool:
    """Ids that the event does not say are made of where the broker holds it."""
    return one.otherwise == "nothing" and values[one.column] not in (None, "")


def _document(bundle: CompiledBundle) -> Document:
    part = bundle.content["routes"][0]["schema"]
    return read_document(part["document"], name=part["name"])


def _found(event: JsonObject, document: Document) -> Iterator[Trace]:
    currency = _currency(event, document)
    for column in (*document.columns, *document.attributes):
        if column.constant is not None:
            yield Trace(
                column=column.name,
                value=_shown(column, column.constant),
                path="",
                otherwise="constant",
            )
            continue
        value, path = _look(event, column, document)
        if value is None:
            otherwise = "nothing" if column.default is None else "default"
            default = None if column.default is None else _shown(column, column.default)
            yield Trace(column=column.name, value=default, path="", otherwise=otherwise)
            continue
        try:
            digits = MINOR_DIGITS.get(currency, 0)
            converted = convert(column, value, minor_digits=digits)
        except Refused as exc:
            refused = f"expected {exc.expected}, found {exc.actual}"
            yield Trace(column=column.name, value=None, path=path, refused=refused)
        else:
            yield Trace(column=column.name, value=_shown(column, converted), path=path)


def _look(event: JsonObject, column: Column, document: Document) -> tuple[JsonValue, str]:
    """The first value that is not null, and where it is."""
    for path in column.paths:
        value = look_up(event, path)
        if value is not None and not (isinstance(value, str) and value in document.nulls):
            return value, ".".join(path)
    return None, ""


def _currency(event: JsonObject, document: Document) -> str:
    """Amounts in minor units need its digits."""
    column = next(column for column in document.columns if column.name == "currency")
    if column.constant is not None:
        return str(column.constant)
    value, _ = _look(event, column, document)
    try:
        return str(convert(column, value)) if value is not None else str(column.default)
    except Refused:
        return ""


def _shown(column: Column, value: Value) -> Any:
    """Times are microseconds within the mapping."""
    if column.kind is Kind.TIME and isinstance(value, int):
        return _EPOCH + timedelta(microseconds=value)
    return value
