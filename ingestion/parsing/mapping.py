"""Reads a schema document: every key checked, every problem at its JSON pointer, all at once."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from ingestion.parsing.convert import LATENCY_UNITS, constant_value
from ingestion.parsing.document import (
    ATTRIBUTE_KINDS,
    COLUMNS,
    DEFAULT_IDENTITY,
    REQUIRED,
    Column,
    Document,
    Identity,
    Kind,
    Path,
    Route,
)
from ingestion.parsing.json_schema import ANYTHING, SchemaNode, read_schema
from ingestion.parsing.problems import Problems
from ingestion.parsing.times import EPOCH_UNITS, TimeFormat, text_format

_KEYS = frozenset(
    {
        "attributes",
        "columns",
        "decoder",
        "description",
        "identity",
        "json_schema",
        "name",
        "nulls",
        "route",
    }
)
_OPTIONS = frozenset(["path", "first", "constant", "default", "map", "upper"])
_ATTRIBUTE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
_RESERVED = frozenset({*COLUMNS, "row", "event_key", "payload_hash", "metadata"})
#: columns that the event itself must fill: a made-up value would be another event
_FROM_EVENT = frozenset({"transaction_id", "occurred_at"})
#: kinds whose constant, default or map would hide what the event says
_WITHOUT_MAP = frozenset({Kind.TIME, Kind.AMOUNT, Kind.LATENCY})
_NO_IDENTITY = frozenset({"correlation_id", "latency_us"})


def read_document(document: Mapping[str, Any], *, name: str) -> Document:
    """The checked document; raises ConfigurationError with every problem."""
    problems = Problems()
    checksum = _checksum(document, problems)
    problems.raise_if_any()
    _check_keys(document, name, problems)
    attributes = _read_attributes(document.get("attributes", {}), problems)
    identity = _read_identity(document, name, attributes, problems)
    result = Document(
        name=name,
        checksum=checksum,
        columns=_read_columns(document.get("columns"), identity, problems),
        attributes=tuple(
            replace(column, required=column.name in identity.fields) for column in attributes
        ),
        nulls=_read_nulls(document.get("nulls", []), problems),
        identity=identity,
        route=_read_route(document.get("route"), problems),
        json_schema=_read_json_schema(document.get("json_schema", True), problems),
    )
    problems.raise_if_any()
    return result


def _checksum(document: Any, problems: Problems) -> str:
    """SHA-256 of the canonical JSON; YAML can hold what JSON cannot (dates, keys like `yes`)."""
    if not isinstance(document, Mapping):
        problems.add("", "must be an object")
        return ""
    _check_json(document, "", problems)
    if problems:
        return ""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _check_json(value: Any, pointer: str, problems: Problems) -> None:
    if isinstance(value, Mapping):
        for name, item in value.items():
            place = problems.below(pointer, name)
            if isinstance(name, str):
                _check_json(item, place, problems)
            else:
                problems.add(place, f"keys are text: write it in quotes ({str(name).lower()!r})")
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            _check_json(item, f"{pointer}/{position}", problems)
    else:
        _check_scalar(value, pointer, problems)


def _check_scalar(value: Any, pointer: str, problems: Problems) -> None:
    if not (value is None or isinstance(value, str | bool | int | float | Decimal)):
        problems.add(pointer, "must be a JSON value: write dates in quotes")
    elif isinstance(value, float | Decimal) and not math.isfinite(value):
        problems.add(pointer, "must be a finite number")


def _check_keys(document: Mapping[str, Any], name: str, problems: Problems) -> None:
    for key in document.keys() - _KEYS:
        problems.add(problems.below("", key), f"the key {key!r} is not supported")
    if document.get("name", name) != name:
        problems.add("/name", f"must be {name!r}, the name of the schema")
    if not isinstance(document.get("description", ""), str):
        problems.add("/description", "must be text")
    if document.get("decoder", "json") != "json":
        problems.add("/decoder", "must be json")


def _read_nulls(value: Any, problems: Problems) -> frozenset[str]:
    if not isinstance(value, list) or any(not isinstance(word, str) for word in value):
        problems.add("/nulls", "must be a list of texts that stand for null")
        return frozenset()
    return frozenset(value)


def _read_json_schema(value: Any, problems: Problems) -> SchemaNode:
    node = read_schema(value, "/json_schema", problems)
    if node.never:
        problems.add("/json_schema", "no message could pass")
        return ANYTHING
    if not node.allows_type("object"):
        problems.add("/json_schema/type", "must be object: every event is one")
    return node


def _read_route(value: Any, problems: Problems) -> Route | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or not value.keys() - {"otherwise"}:
        problems.add("/route", "must name fields: {field: {in: [value, ...]}, otherwise: ignored}")
        return None
    otherwise = value.get("otherwise", "failed")
    if otherwise not in {"ignored", "failed"}:
        problems.add("/route/otherwise", "must be ignored or failed")
    fields: dict[Path, frozenset[str]] = {}
    for text, test in value.items():
        if text == "otherwise":
            continue
        place = problems.below("/route", text)
        words = test.get("in") if isinstance(test, Mapping) and set(test) == {"in"} else None
        if not isinstance(words, list) or any(not isinstance(word, str) for word in words):
            problems.add(place, "must be {in: [text, ...]}")
        elif path := _read_path(text, place, problems):
            fields[path] = frozenset(words)
    return Route(fields=fields, ignores_others=otherwise == "ignored")


def _read_identity(
    document: Mapping[str, Any],
    name: str,
    attributes: tuple[Column, ...],
    problems: Problems,
) -> Identity:
    value = document.get("identity", list(DEFAULT_IDENTITY))
    scope: Any = name
    if isinstance(value, Mapping):
        for key in value.keys() - {"scope", "fields"}:
            problems.add(problems.below("/identity", key), f"the key {key!r} is not supported")
        scope = value.get("scope", name)
        value = value.get("fields", list(DEFAULT_IDENTITY))
    if not isinstance(scope, str) or not scope or "\0" in scope:
        problems.add("/identity/scope", "must be a text")
        scope = name
    if value == "position":
        return Identity(scope=scope, fields=())
    if not isinstance(value, list) or not value or any(not isinstance(f, str) for f in value):
        problems.add("/identity", "must be position or a list of columns and attributes")
        return Identity(scope=scope, fields=())
    order = [*COLUMNS, *(column.name for column in attributes)]
    inexact = {column.name for column in attributes if column.kind is Kind.NUMBER}
    for field in value:
        if field not in order:
            problems.add("/identity", f"{field!r} is no column and no attribute")
        elif field in _NO_IDENTITY or field in inexact:
            problems.add("/identity", f"{field!r} cannot tell events apart")
    return Identity(scope=scope, fields=tuple(field for field in order if field in value))


def _read_columns(value: Any, identity: Identity, problems: Problems) -> tuple[Column, ...]:
    if not isinstance(value, Mapping):
        problems.add("/columns", "must be an object: column -> {path: ...}")
        return ()
    for name in value.keys() - COLUMNS.keys():
        problems.add(problems.below("/columns", name), f"known columns are {', '.join(COLUMNS)}")
    required = [n for n in REQUIRED if n != "transaction_id" or not identity.is_position]
    for name in required:
        if name not in value:
            problems.add("/columns", f"{name} is missing: every event has one")
    return tuple(
        _read_column(
            Column(name=name, kind=kind, required=name in required),
            value[name],
            f"/columns/{name}",
            problems,
        )
        for name, kind in COLUMNS.items()
        if name in value
    )


def _read_attributes(value: Any, problems: Problems) -> tuple[Column, ...]:
    if not isinstance(value, Mapping):
        problems.add("/attributes", "must be an object: attribute -> {path: ..., type: ...}")
        return ()
    attributes = []
    for name, spec in value.items():
        place = problems.below("/attributes", name)
        if not _ATTRIBUTE_NAME.match(name) or name in _RESERVED:
            problems.add(place, "must be a new name of lower-case letters, digits and _")
        kind = spec.get("type") if isinstance(spec, Mapping) else None
        if kind not in ATTRIBUTE_KINDS:
            problems.add(f"{place}/type", f"must be one of {', '.join(ATTRIBUTE_KINDS)}")
            kind = "string"
        column = Column(name=name, kind=ATTRIBUTE_KINDS[kind])
        attributes.append(_read_column(column, spec, place, problems))
    return tuple(attributes)


def _read_column(column: Column, spec: Any, place: str, problems: Problems) -> Column:
    if not isinstance(spec, Mapping):
        problems.add(place, "must be an object with path, first or constant")
        return column
    options = _OPTIONS | _EXTRA_OPTIONS.get(column.kind, frozenset())
    for key in spec.keys() - options:
        problems.add(problems.below(place, key), f"{key!r} is not supported for {column.name}")
    if len(spec.keys() & {"path", "first", "constant"}) != 1:
        problems.add(place, "needs exactly one of path, first and constant")
        return column
    column = replace(
        column,
        paths=_read_paths(spec, place, problems),
        upper=_read_upper(column, spec, place, problems),
        unit=_read_unit(column, spec, place, problems),
        time=_read_time(spec, place, problems) if column.kind is Kind.TIME else None,
    )
    column = replace(column, map=_read_map(column, spec, place, problems))
    return replace(
        column,
        constant=_read_value("constant", column, spec, place, problems),
        default=_read_value("default", column, spec, place, problems),
    )


def _read_paths(spec: Mapping[str, Any], place: str, problems: Problems) -> tuple[Path, ...]:
    if "constant" in spec:
        for key in spec.keys() & {"default", "map", "upper"}:
            problems.add(f"{place}/{key}", "has no meaning beside a constant")
        return ()
    if "path" in spec:
        path = _read_path(spec["path"], f"{place}/path", problems)
        return (path,) if path else ()
    texts = spec["first"]
    if not isinstance(texts, list) or not texts:
        problems.add(f"{place}/first", "must be a list of paths")
        return ()
    paths = [
        _read_path(text, f"{place}/first/{position}", problems)
        for position, text in enumerate(texts)
    ]
    return tuple(path for path in paths if path)


def _read_path(text: Any, place: str, problems: Problems) -> Path | None:
    """The names of a dotted path."""
    if not isinstance(text, str) or not all(text.split(".")):
        problems.add(place, "must be a dotted path: names joined by '.'")
    elif text.startswith("header:"):
        problems.add(place, "header values are not supported")
    elif "[" in text or "]" in text or '"' in text:
        problems.add(place, "array elements and quoted names are not supported in paths")
    else:
        return tuple(text.split("."))
    return None


def _read_upper(column: Column, spec: Mapping[str, Any], place: str, problems: Problems) -> bool:
    value = spec.get("upper", False)
    if not isinstance(value, bool):
        problems.add(f"{place}/upper", "must be true or false")
    elif value and column.kind not in {Kind.TEXT, Kind.STRING}:
        problems.add(f"{place}/upper", "only text has upper case")
    return value is True


def _read_unit(column: Column, spec: Mapping[str, Any], place: str, problems: Problems) -> str:
    known = _UNITS.get(column.kind)
    if known is None:
        return ""
    unit = spec.get("unit", known[0])
    if unit not in known:
        problems.add(f"{place}/unit", f"must be one of {', '.join(known)}")
    return str(unit)


def _read_time(spec: Mapping[str, Any], place: str, problems: Problems) -> TimeFormat:
    name, pattern, zone = spec.get("format"), spec.get("pattern"), spec.get("zone", "")
    if pattern is None and isinstance(name, str) and name in EPOCH_UNITS and not zone:
        return TimeFormat(name=name)
    if pattern is None and (name != "rfc3339" or zone):
        known = ", ".join(["rfc3339", *EPOCH_UNITS])
        problems.add(f"{place}/format", f"must be one of {known}, or pattern and zone instead")
    elif pattern is not None and (
        name is not None or not isinstance(pattern, str) or not isinstance(zone, str)
    ):
        problems.add(f"{place}/pattern", "must be text like %Y-%m-%d %H:%M:%S, without format")
    else:
        try:
            return text_format(name or "pattern", pattern=pattern or "", zone=zone)
        except ValueError as exc:
            problems.add(f"{place}/pattern", str(exc))
    return text_format("rfc3339")


def _read_map(
    column: Column, spec: Mapping[str, Any], place: str, problems: Problems
) -> dict[str, Any] | None:
    entries = spec.get("map")
    if "map" not in spec:
        return None
    if column.kind in _WITHOUT_MAP:
        problems.add(f"{place}/map", f"has no meaning for {column.name}")
    elif not isinstance(entries, Mapping) or not entries:
        problems.add(f"{place}/map", "must be an object: the event's word -> value")
    else:
        return {
            word: _constant(column, value, problems.below(f"{place}/map", word), problems)
            for word, value in entries.items()
        }
    return None


def _read_value(
    key: str, column: Column, spec: Mapping[str, Any], place: str, problems: Problems
) -> Any:
    if key not in spec:
        return None
    if column.name in _FROM_EVENT:
        problems.add(f"{place}/{key}", f"{column.name} comes from the event itself")
        return None
    return _constant(column, spec[key], f"{place}/{key}", problems)


def _constant(column: Column, value: Any, place: str, problems: Problems) -> Any:
    try:
        return constant_value(column, value)
    except ValueError as exc:
        problems.add(place, str(exc))
        return None


_UNITS = {Kind.AMOUNT: ("major", "minor"), Kind.LATENCY: tuple(LATENCY_UNITS)}
_EXTRA_OPTIONS = {
    Kind.AMOUNT: frozenset({"unit"}),
    Kind.LATENCY: frozenset({"unit"}),
    Kind.TIME: frozenset({"format", "pattern", "zone"}),
    **{kind: frozenset({"type"}) for kind in ATTRIBUTE_KINDS.values()},
}
