"""Computed columns and checks: one step over the mapped events of both paths.

Polars computes whole columns. Where one event makes that fail (numbers beyond 38 digits), halves
are tried, down to the events that fail by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from ingestion.parsing.columns import dtype_of
from ingestion.parsing.convert import (
    MAX_DECIMALS,
    MAX_INTEGER_DIGITS,
    MAX_LATENCY_US,
    MAX_TEXT,
    STATUSES,
)
from ingestion.parsing.document import Check, Column, Document, Kind
from ingestion.parsing.reasons import Reason, ValidationError, problem
from ingestion.parsing.slow import Names
from metrics.expressions import Expression
from metrics.expressions import Kind as Result
from metrics.isolation import FAILURES
from payflow.lib.iso import MINOR_DIGITS

Place = tuple[int, int]
#: what is wrong with some rows: where, reason, expected, found
_Doubt = tuple[pl.Series, Reason, str, str]


#: of a column for which no row has a value
_DTYPES: Final[dict[Result, pl.DataType]] = {
    Result.TEXT: pl.String(),
    Result.BOOLEAN: pl.Boolean(),
    Result.TIME: pl.Datetime("us", "UTC"),
    Result.INTEGER: pl.Int64(),
    Result.EXACT: pl.Decimal(38, 0),
    Result.FLOAT: pl.Float64(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """Events after what the schema computes."""

    #: those that stay, in the columns of `mapped_schema`
    mapped: pl.DataFrame
    failures: dict[Place, tuple[ValidationError, ...]] = field(default_factory=dict)
    names: dict[Place, Names] = field(default_factory=dict)


class Computation:
    """The computed columns and checks of one schema."""

    def __init__(self, document: Document) -> None:
        self._columns = [
            (column, column.expression) for column in document.every_column if column.expression
        ]
        self._checks = document.checks

    def apply(self, mapped: pl.DataFrame) -> Computed:
        """Fill the computed columns and judge the checks."""
        if mapped.is_empty() or not (self._columns or self._checks):
            return Computed(mapped=mapped)
        errors: dict[int, list[ValidationError]] = {}
        values = [self._compute(mapped, *each, errors) for each in self._columns]
        mapped = mapped.with_columns(values)
        # A check over a column that has just failed would tell the same again.
        sound = [row for row in range(mapped.height) if row not in errors]
        complete = mapped if len(sound) == mapped.height else mapped[sound]
        for check in self._checks:
            for at in _broken(complete, check, errors, sound):
                error = problem(check.name, Reason.CHECK_FAILED, check.expected, "an event without")
                errors.setdefault(sound[at], []).append(error)
        return _split(mapped, errors) if errors else Computed(mapped=mapped)

    def _compute(
        self,
        mapped: pl.DataFrame,
        column: Column,
        expression: Expression,
        errors: dict[int, list[ValidationError]],
    ) -> pl.Series:
        """The values of a column; what is wrong with them goes to `errors` by row."""
        found, failed = _evaluate(mapped, expression)
        for row in failed:
            errors.setdefault(row, []).append(_not_computed(column.name))
        values, doubts = _fitted(column, found)
        for bad, reason, expected, actual in doubts:
            for row in bad.fill_null(False).arg_true():
                if row not in failed:
                    error = problem(column.name, reason, expected, actual)
                    errors.setdefault(row, []).append(error)
        return values.alias(column.name)


def _broken(
    columns: pl.DataFrame,
    check: Check,
    errors: dict[int, list[ValidationError]],
    sound: list[int],
) -> Iterator[int]:
    """Rows for which a check is false; those for which it cannot be computed go to `errors`."""
    if columns.is_empty():
        return
    holds, failed = _evaluate(columns, check.holds)
    for at in failed:
        errors.setdefault(sound[at], []).append(_not_computed(check.name))
    yield from (~holds).fill_null(False).arg_true()


def _not_computed(name: str) -> ValidationError:
    return problem(name, Reason.NOT_COMPUTED, "a value", "numbers too large to compute with")


def _split(mapped: pl.DataFrame, errors: dict[int, list[ValidationError]]) -> Computed:
    failures: dict[Place, tuple[ValidationError, ...]] = {}
    names: dict[Place, Names] = {}
    for at in sorted(errors):
        row, part, transaction_id, correlation_id = mapped.select(
            "row", "part", "transaction_id", "correlation_id"
        ).row(at)
        failures[row, part] = tuple(errors[at])
        names[row, part] = Names(transaction_id=transaction_id, correlation_id=correlation_id)
    kept = [at not in errors for at in range(mapped.height)]
    return Computed(mapped=mapped.filter(pl.Series(kept)), failures=failures, names=names)


def _evaluate(columns: pl.DataFrame, expression: Expression) -> tuple[pl.Series, set[int]]:
    """One value per row, and the rows that have none because computing them fails."""
    # a column that the expression does not read: constants need rows as well
    columns = columns.select("row", *sorted(expression.columns - {"row"}))
    try:
        return _values(columns, expression), set()
    except FAILURES:
        pieces = list(_by_halves(columns, expression))
    dtype = next((piece.dtype for piece in pieces if piece is not None), _DTYPES[expression.kind])
    empty = pl.Series([None], dtype=dtype)
    series: list[pl.Series] = []
    failed: set[int] = set()
    rows = 0
    for piece in pieces:
        if piece is None:
            failed.add(rows)
        series.append(empty if piece is None else piece.cast(dtype))
        rows += len(series[-1])
    return pl.concat(series), failed


def _by_halves(columns: pl.DataFrame, expression: Expression) -> Iterator[pl.Series | None]:
    """The values in pieces; none for a row that fails by itself."""
    try:
        yield _values(columns, expression)
    except FAILURES:
        if columns.height == 1:
            yield None
            return
        middle = columns.height // 2
        yield from _by_halves(columns[:middle], expression)
        yield from _by_halves(columns[middle:], expression)


def _values(columns: pl.DataFrame, expression: Expression) -> pl.Series:
    values = columns.select(value=expression.polars())["value"]
    # polars gives what is the same on every row once
    return values if len(values) == columns.height else values.new_from_index(0, columns.height)


def _fitted(column: Column, found: pl.Series) -> tuple[pl.Series, list[_Doubt]]:
    """The values as the column holds them, and where they do not fit."""
    dtype = dtype_of(column)
    missing = found.is_null()
    doubts: list[_Doubt] = []
    if column.required:
        doubts.append((missing, Reason.REQUIRED, f"a {column.name}", "nothing"))
    match column.kind:
        case Kind.TEXT | Kind.STRING:
            text = found.cast(pl.String)
            values = text.fill_null("") if column.kind is Kind.TEXT else text
            doubts += _text_doubts(column, text)
        case Kind.AMOUNT:
            values = _exact(found).cast(dtype, strict=False)
            most = f"at most {MAX_INTEGER_DIGITS} digits before the point"
            decimals = f"at most {MAX_DECIMALS} decimals"
            doubts.append((~missing & values.is_null(), Reason.TOO_MANY_DIGITS, most, "more"))
            doubts.append((values != _exact(found), Reason.TOO_MANY_DECIMALS, decimals, "more"))
        case Kind.NUMBER:
            values = found.cast(pl.Float64) + 0.0
            doubts.append((~values.is_finite(), Reason.OUT_OF_RANGE, "a finite number", "another"))
        case Kind.INTEGER | Kind.LATENCY:
            values, more = _whole(column, found)
            doubts += more
        case _:
            values = found.cast(dtype)
    return values.cast(dtype), doubts


def _exact(found: pl.Series) -> pl.Series:
    return found if found.dtype.is_decimal() else found.cast(pl.Decimal(38, 0))


def _whole(column: Column, found: pl.Series) -> tuple[pl.Series, list[_Doubt]]:
    """Integers of 64 bits; of a latency the whole microseconds."""
    exact = _exact(found)
    whole = exact.cast(pl.Int64, strict=False)
    if column.kind is Kind.LATENCY:
        outside = whole.is_null() | (whole < 0) | (whole > MAX_LATENCY_US)
        bad = ~found.is_null() & outside.fill_null(True)
        return whole, [(bad, Reason.OUT_OF_RANGE, "a duration of 0 to 30 days", "a number outside")]
    return whole, [
        (
            ~found.is_null() & whole.is_null(),
            Reason.OUT_OF_RANGE,
            "an integer of 64 bits",
            "a number outside",
        ),
        (
            whole.cast(pl.Decimal(38, 0)) != exact,
            Reason.WRONG_TYPE,
            "an integer",
            "a number with decimals",
        ),
    ]


def _text_doubts(column: Column, text: pl.Series) -> Iterator[_Doubt]:
    if column.required and column.kind is Kind.TEXT:
        yield text == "", Reason.REQUIRED, f"a {column.name}", "an empty text"
    too_long = text.str.len_chars() > MAX_TEXT
    yield too_long, Reason.TEXT_TOO_LONG, f"at most {MAX_TEXT} characters", "more"
    filled = text != ""
    if column.name == "currency":
        unknown = filled & ~text.is_in(list(MINOR_DIGITS))
        yield unknown, Reason.UNKNOWN_CURRENCY, "an ISO 4217 currency code", "another text"
    elif column.name == "payment_status":
        unknown = filled & ~text.is_in(list(STATUSES))
        yield unknown, Reason.UNKNOWN_STATUS, f"one of {', '.join(STATUSES)}", "another text"
    elif column.name == "country":
        wrong = filled & ~text.str.contains("^[A-Z]{2}$")
        yield wrong, Reason.INVALID_COUNTRY, "two letters A-Z", "another text"
