"""One failing rule is isolated and counted, never its batch.

Expressions are evaluated all at once. Only when that fails, each is tried apart, and then on
halves of the rows, down to the rows that fail by themselves: these have no value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
from polars.exceptions import PanicException, PolarsError

#: what evaluating an expression can raise for a value: polars, and the Python in an extractor;
#: anything else (no memory, an interrupt) is not the rule's fault
FAILURES: Final = (
    PolarsError,
    PanicException,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFailure:
    """Transactions for which a rule or an extractor gave an error in place of a value."""

    count: int
    #: class of the error on the first of them; its message may quote the payload
    error_class: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A value, and the condition under which a transaction has it; null otherwise."""

    value: pl.Expr
    dtype: pl.DataType
    where: pl.Expr | None = None

    @property
    def expression(self) -> pl.Expr:
        return self.value if self.where is None else pl.when(self.where).then(self.value)

    def reads(self, columns: pl.DataFrame) -> set[str]:
        """Columns that it needs, and one more in case that it is a constant."""
        return {*self.expression.meta.root_names(), columns.columns[0]}


def evaluate_apart(
    columns: pl.DataFrame, groups: Mapping[str, Sequence[Guarded]]
) -> tuple[dict[str, list[pl.Series]], dict[str, RuleFailure]]:
    """The values of each group by itself; a row on which one member fails has none of them."""
    found: dict[str, list[pl.Series]] = {}
    errors: dict[str, RuleFailure] = {}
    for owner, members in groups.items():
        found[owner], failed = _evaluate_group(columns, members)
        if failed:
            errors[owner] = RuleFailure(count=len(failed), error_class=failed[min(failed)])
    return found, errors


def merge_failures(*found: Mapping[str, RuleFailure]) -> dict[str, RuleFailure]:
    """Failures by rule; of a rule that failed in several ways, the most frequent."""
    merged: dict[str, RuleFailure] = {}
    for failures in found:
        for name, failure in failures.items():
            if name not in merged or failure.count > merged[name].count:
                merged[name] = failure
    return merged


def _evaluate_group(
    columns: pl.DataFrame, members: Sequence[Guarded]
) -> tuple[list[pl.Series], dict[int, str]]:
    """The values of one group, and row -> error class where any of its members failed."""
    try:
        return [_evaluate(columns, member.expression) for member in members], {}
    except FAILURES:
        failed: dict[int, str] = {}
        lists = [_evaluate_member(columns, member, failed) for member in members]
        for row in failed:
            for values in lists:
                values[row] = None
        return [
            pl.Series(values, dtype=member.dtype)
            for values, member in zip(lists, members, strict=True)
        ], failed


def _evaluate(columns: pl.DataFrame, expression: pl.Expr) -> pl.Series:
    """One value per row. polars refuses some that are the same on every row: `2 = NULLIF(a, a)`."""
    values = columns.select(value=expression)["value"]
    return values if len(values) == columns.height else values.new_from_index(0, columns.height)


def _evaluate_member(columns: pl.DataFrame, member: Guarded, failed: dict[int, str]) -> list[Any]:
    """The values of one member; only rows that its condition takes can fail."""
    rows = list(range(columns.height))
    columns = columns.select(member.reads(columns))
    if member.where is not None:
        taken = _by_halves(columns, rows, member.where, failed)
        rows = [row for row in rows if taken[row]]
    found = _by_halves(columns[rows], rows, member.value, failed)
    values: list[Any] = [None] * columns.height
    for row, value in zip(rows, found, strict=True):
        values[row] = value
    return values


def _by_halves(
    columns: pl.DataFrame, rows: Sequence[int], expression: pl.Expr, failed: dict[int, str]
) -> list[Any]:
    """Evaluate on all rows, else on each half, down to the rows that fail by themselves."""
    if not rows:
        return []
    try:
        return _evaluate(columns, expression).to_list()
    except FAILURES as exc:
        if len(rows) == 1:
            failed.setdefault(rows[0], type(exc).__name__)
            return [None]
    middle = len(rows) // 2
    return [
        *_by_halves(columns[:middle], rows[:middle], expression, failed),
        *_by_halves(columns[middle:], rows[middle:], expression, failed),
    ]
