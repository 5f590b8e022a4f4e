"""Reads a schema document: every key checked, every problem at its JSON pointer, all at once."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from ingestion.parsing.column_spec import read_attributes, read_columns, read_path
from ingestion.parsing.computed_spec import read_checks, read_computed
from ingestion.parsing.document import (
    COLUMNS,
    DEFAULT_IDENTITY,
    Column,
    Document,
    Identity,
    Kind,
    Route,
)
from ingestion.parsing.explode import read_explode
from ingestion.parsing.json_schema import ANYTHING, SchemaNode, read_schema
from ingestion.parsing.paths import Path
from ingestion.parsing.problems import Problems
from ingestion.parsing.wrapping import read_decoder
from payflow.lib.spelling import did_you_mean

_KEYS = frozenset(
    {
        "attributes",
        "checks",
        "columns",
        "decoder",
        "description",
        "explode",
        "identity",
        "json_schema",
        "name",
        "nulls",
        "route",
    }
)
_NO_IDENTITY = frozenset({"correlation_id", "latency_us"})


def read_document(document: Mapping[str, Any], *, name: str) -> Document:
    """The checked document; raises ConfigurationError with every problem."""
    problems = Problems()
    checksum = _checksum(document, problems)
    problems.raise_if_any()
    _check_keys(document, name, problems)
    attributes = read_attributes(document.get("attributes", {}), problems)
    identity = _read_identity(document, name, attributes, problems)
    columns = read_columns(
        document.get("columns"), needs_id=not identity.is_position, problems=problems
    )
    every = (*columns, *attributes)
    columns = read_computed(columns, every, document.get("columns"), "/columns", problems)
    attributes = read_computed(
        attributes, every, document.get("attributes"), "/attributes", problems
    )
    _check_minor_units(columns, problems)
    json_schema = _read_json_schema(document.get("json_schema", True), problems)
    result = Document(
        name=name,
        checksum=checksum,
        columns=columns,
        attributes=tuple(
            replace(column, required=column.name in identity.fields) for column in attributes
        ),
        nulls=_read_nulls(document.get("nulls", []), problems),
        identity=identity,
        route=_read_route(document.get("route"), problems),
        json_schema=json_schema,
        wrapping=read_decoder(document.get("decoder", "json"), problems),
        explode=read_explode(document.get("explode"), json_schema, problems),
        checks=read_checks(document.get("checks", []), every, problems),
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
        hint = did_you_mean(key, _KEYS)
        problems.add(problems.below("", key), f"the key {key!r} is not supported{hint}")
    if document.get("name", name) != name:
        problems.add("/name", f"must be {name!r}, the name of the schema")
    if not isinstance(document.get("description", ""), str):
        problems.add("/description", "must be text")


def _check_minor_units(columns: tuple[Column, ...], problems: Problems) -> None:
    """Minor units need the currency's digits before anything is computed."""
    computed = any(column.name == "currency" and column.expression for column in columns)
    if computed and any(column.unit == "minor" for column in columns):
        problems.add("/columns/amount/unit", "minor needs a currency that is not computed")


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
    if otherwise not in ("ignored", "failed"):
        problems.add("/route/otherwise", "must be ignored or failed")
    fields: dict[Path, frozenset[str]] = {}
    for text, test in value.items():
        if text == "otherwise":
            continue
        place = problems.below("/route", text)
        words = test.get("in") if isinstance(test, Mapping) and set(test) == {"in"} else None
        if not isinstance(words, list) or any(not isinstance(word, str) for word in words):
            problems.add(place, "must be {in: [text, ...]}")
        elif not words:
            problems.add(f"{place}/in", "names no text: no message would be taken")
        elif path := read_path(text, place, problems):
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
            hint = did_you_mean(field, order)
            problems.add("/identity", f"{field!r} is no column and no attribute{hint}")
        elif value.count(field) > 1:
            problems.add("/identity", f"{field!r} is named twice")
        elif field in _NO_IDENTITY or field in inexact:
            problems.add("/identity", f"{field!r} cannot tell events apart")
    return Identity(scope=scope, fields=tuple(field for field in order if field in value))
