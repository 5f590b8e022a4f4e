"""Reads what a schema document computes: columns by expression, and checks across fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from ingestion.parsing.columns import dtype_of
from ingestion.parsing.document import Check, Column, Kind
from ingestion.parsing.problems import Problems
from metrics.expressions import Expression, ExpressionError, compile_expression, kind_of
from metrics.expressions import Kind as Result

MAX_CHECKS: Final = 50
MAX_EXPECTED: Final = 200
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
_KEYS: Final = frozenset({"name", "holds", "expected"})
_EXACT: Final = frozenset({Result.INTEGER, Result.EXACT})
#: what an expression may give for a column
_RESULTS: Final[Mapping[Kind, frozenset[Result]]] = {
    Kind.TEXT: frozenset({Result.TEXT}),
    Kind.STRING: frozenset({Result.TEXT}),
    Kind.AMOUNT: _EXACT,
    Kind.LATENCY: _EXACT,
    Kind.INTEGER: _EXACT,
    Kind.NUMBER: _EXACT | {Result.FLOAT},
    Kind.BOOLEAN: frozenset({Result.BOOLEAN}),
}


def read_computed(
    columns: tuple[Column, ...],
    every: tuple[Column, ...],
    area: Any,
    place: str,
    problems: Problems,
) -> tuple[Column, ...]:
    """The columns of one area of the document, their expressions compiled.

    An expression may name what is read from the event (`every` are the columns and attributes of
    the document), and nothing that is computed itself.
    """
    specs = area if isinstance(area, Mapping) else {}
    texts = {
        column.name: spec["expression"]
        for column in columns
        if isinstance(spec := specs.get(column.name), Mapping) and "expression" in spec
    }
    known = {c.name: kind_of(dtype_of(c)) for c in every if c.paths or c.constant is not None}
    return tuple(
        _computed(column, texts[column.name], known, f"{place}/{column.name}/expression", problems)
        if column.name in texts
        else column
        for column in columns
    )


def read_checks(value: Any, every: tuple[Column, ...], problems: Problems) -> tuple[Check, ...]:
    """`checks`: expressions over all columns that must not be false."""
    if not isinstance(value, list) or len(value) > MAX_CHECKS:
        problems.add("/checks", f"must be a list of at most {MAX_CHECKS} checks")
        return ()
    known = {column.name: kind_of(dtype_of(column)) for column in every}
    checks: list[Check] = []
    for position, entry in enumerate(value):
        place = f"/checks/{position}"
        check = _read_check(entry, known, place, problems)
        if check and any(check.name == other.name for other in checks):
            problems.add(f"{place}/name", f"the name {check.name!r} stands here twice")
        elif check:
            checks.append(check)
    return tuple(checks)


def _computed(
    column: Column, text: Any, known: Mapping[str, Result], place: str, problems: Problems
) -> Column:
    expression = _compile(text, known, place, problems)
    if expression is None:
        return column
    allowed = _RESULTS.get(column.kind, frozenset())
    if expression.kind not in allowed:
        hint = "; write CAST(.. AS DECIMAL)" if expression.kind is Result.FLOAT else ""
        kinds = " or ".join(sorted(allowed))
        problems.add(place, f"gives {expression.kind}, {column.name} takes {kinds}{hint}")
        return column
    return replace(column, expression=expression)


def _read_check(
    entry: Any, known: Mapping[str, Result], place: str, problems: Problems
) -> Check | None:
    if not isinstance(entry, Mapping):
        problems.add(place, "must be an object: {name: .., holds: expression}")
        return None
    for key in entry.keys() - _KEYS:
        problems.add(problems.below(place, key), f"the key {key!r} is not supported")
    name, text = entry.get("name"), entry.get("holds")
    expected = entry.get("expected", "")
    if not isinstance(name, str) or not _NAME.match(name):
        problems.add(f"{place}/name", "must be a name of lower-case letters, digits and _")
        return None
    if not isinstance(expected, str) or len(expected) > MAX_EXPECTED:
        problems.add(f"{place}/expected", f"must be text of at most {MAX_EXPECTED} characters")
        return None
    holds = _compile(text, known, f"{place}/holds", problems)
    if holds is None:
        return None
    if holds.kind is not Result.BOOLEAN:
        problems.add(f"{place}/holds", f"must be true or false, it gives {holds.kind}")
        return None
    shown = " ".join(str(text).split())[:MAX_EXPECTED]
    return Check(name=name, holds=holds, expected=expected or shown)


def _compile(
    text: Any, known: Mapping[str, Result], place: str, problems: Problems
) -> Expression | None:
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        problems.add(place, "must be an expression as text")
        return None
    try:
        return compile_expression(text, known)
    except ExpressionError as exc:
        problems.add(place, str(exc))
        return None
