"""Reads the columns and attributes of a schema document: where each value comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ingestion.parsing.convert import LATENCY_UNITS, MAX_DECIMALS, constant_value
from ingestion.parsing.document import ATTRIBUTE_KINDS, COLUMNS, REQUIRED, Column, Kind
from ingestion.parsing.paths import Path, parse_path
from ingestion.parsing.problems import Problems
from ingestion.parsing.times import EPOCH_UNITS, TimeFormat, text_format
from payflow.lib.spelling import did_you_mean

#: each is a column of every batch
MAX_ATTRIBUTES = 300
_OPTIONS = frozenset(["path", "first", "constant", "expression", "default", "map", "upper"])
#: exactly one of them says where the value comes from
_ORIGINS = frozenset(["path", "first", "constant", "expression"])
_ATTRIBUTE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
_RESERVED = frozenset({*COLUMNS, "row", "part", "event_key", "payload_hash", "metadata"})
#: columns that the event itself must fill: a made-up value would be another event
_FROM_EVENT = frozenset({"transaction_id", "occurred_at"})
#: kinds that a map of words cannot make
_WITHOUT_MAP = frozenset({Kind.TIME, Kind.AMOUNT, Kind.LATENCY})


def read_columns(value: Any, *, needs_id: bool, problems: Problems) -> tuple[Column, ...]:
    if not isinstance(value, Mapping):
        problems.add("/columns", "must be an object: column -> {path: ...}")
        return ()
    for name in value.keys() - COLUMNS.keys():
        hint = did_you_mean(name, COLUMNS)
        message = f"there is no column {name!r}; known are {', '.join(COLUMNS)}{hint}"
        problems.add(problems.below("/columns", name), message)
    required = [name for name in REQUIRED if needs_id or name != "transaction_id"]
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


def read_attributes(value: Any, problems: Problems) -> tuple[Column, ...]:
    if not isinstance(value, Mapping):
        problems.add("/attributes", "must be an object: attribute -> {path: ..., type: ...}")
        return ()
    if len(value) > MAX_ATTRIBUTES:
        message = f"has {len(value):,} attributes, at most {MAX_ATTRIBUTES} are allowed"
        problems.add("/attributes", message)
        return ()
    attributes = []
    for name, spec in value.items():
        place = problems.below("/attributes", name)
        if not _ATTRIBUTE_NAME.match(name) or name in _RESERVED:
            problems.add(place, "must be a new name of lower-case letters, digits and _")
        kind = spec.get("type") if isinstance(spec, Mapping) else None
        if not isinstance(kind, str) or kind not in ATTRIBUTE_KINDS:
            problems.add(f"{place}/type", f"must be one of {', '.join(ATTRIBUTE_KINDS)}")
            kind = "string"
        column = Column(name=name, kind=ATTRIBUTE_KINDS[kind])
        attributes.append(_read_column(column, spec, place, problems))
    return tuple(attributes)


def _read_column(column: Column, spec: Any, place: str, problems: Problems) -> Column:
    if not isinstance(spec, Mapping):
        problems.add(place, "must be an object with path, first, constant or expression")
        return column
    options = _OPTIONS | _EXTRA_OPTIONS.get(column.kind, frozenset())
    for key in spec.keys() - options:
        hint = did_you_mean(key, options)
        message = f"{key!r} is not supported for {column.name}{hint}"
        problems.add(problems.below(place, key), message)
    if len(spec.keys() & _ORIGINS) != 1:
        problems.add(place, "needs exactly one of path, first, constant and expression")
        return column
    if "expression" in spec:
        # Its text is compiled when all columns are known (computed_spec.py).
        for key in spec.keys() - {"expression", "type"}:
            problems.add(problems.below(place, key), "has no meaning beside an expression")
        if column.name in _FROM_EVENT:
            problems.add(f"{place}/expression", f"{column.name} comes from the event itself")
        return column
    column = replace(
        column,
        paths=_read_paths(spec, place, problems),
        upper=_read_upper(column, spec, place, problems),
        unit=_read_unit(column, spec, place, problems),
        time=_read_time(column, spec, place, problems),
        round=_read_round(spec, place, problems) if column.kind is Kind.AMOUNT else None,
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
        path = read_path(spec["path"], f"{place}/path", problems)
        return (path,) if path else ()
    texts = spec["first"]
    if not isinstance(texts, list) or not texts:
        problems.add(f"{place}/first", "must be a list of paths")
        return ()
    paths = [
        read_path(text, f"{place}/first/{position}", problems)
        for position, text in enumerate(texts)
    ]
    return tuple(path for path in paths if path)


def read_path(text: Any, place: str, problems: Problems) -> Path | None:
    """The steps of a path."""
    if not isinstance(text, str):
        problems.add(place, "must be a dotted path: names joined by '.'")
        return None
    try:
        return parse_path(text)
    except ValueError as exc:
        problems.add(place, str(exc))
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


def _read_round(spec: Mapping[str, Any], place: str, problems: Problems) -> int | None:
    """For producers whose amounts went through binary floats: 85.64999999999999."""
    value = spec.get("round")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_DECIMALS:
        problems.add(f"{place}/round", f"must be a number of decimals, 0 to {MAX_DECIMALS}")
        return None
    return value


def _read_time(
    column: Column, spec: Mapping[str, Any], place: str, problems: Problems
) -> TimeFormat | None:
    if column.kind is not Kind.TIME or "constant" in spec:
        return None
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
        problems.add(place, f"{json.dumps(value, ensure_ascii=False, default=str)[:80]}: {exc}")
        return None


_UNITS = {Kind.AMOUNT: ("major", "minor"), Kind.LATENCY: tuple(LATENCY_UNITS)}
_EXTRA_OPTIONS = {
    Kind.AMOUNT: frozenset({"unit", "round"}),
    Kind.LATENCY: frozenset({"unit"}),
    Kind.TIME: frozenset({"format", "pattern", "zone"}),
    **{kind: frozenset({"type"}) for kind in ATTRIBUTE_KINDS.values()},
}
