"""What an expression can be, and the pieces of SQL that the grammar puts together."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import polars as pl


class ExpressionError(ValueError):
    """The expression is not one that payflow runs."""


class Kind(StrEnum):
    """The kind of a value; arithmetic on integers is done in EXACT, so nothing wraps around."""

    TEXT = "text"
    BOOLEAN = "boolean"
    TIME = "time"
    INTEGER = "integer"
    EXACT = "decimal"
    FLOAT = "float"

    @property
    def is_number(self) -> bool:
        return self in _NUMBERS


_NUMBERS = frozenset({Kind.INTEGER, Kind.EXACT, Kind.FLOAT})


def kind_of(dtype: pl.DataType) -> Kind:
    """The kind of a column; TypeError for a type that no expression can read."""
    if dtype == pl.String:
        return Kind.TEXT
    if dtype == pl.Boolean:
        return Kind.BOOLEAN
    if dtype.is_temporal():
        return Kind.TIME
    if dtype.is_integer():
        return Kind.INTEGER
    if dtype.is_decimal():
        return Kind.EXACT
    if dtype.is_float():
        return Kind.FLOAT
    raise TypeError(f"no expression can read {dtype}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One sub-expression, already written."""

    sql: str
    kind: Kind
    #: the value when it is a number written in the text, else None
    literal: str | None = None
    #: True when it is a text written in the text
    is_text_literal: bool = False

    def exact(self) -> str:
        """The SQL as an operand of arithmetic: integers become decimals of 38 digits.

        polars wraps around silently on 64-bit overflow; decimals raise, and the offending row is
        then isolated.
        """
        if self.kind is Kind.INTEGER:
            return f"CAST({self.sql} AS DECIMAL(38,0))"
        return self.sql


def number_kind(*nodes: Node) -> Kind:
    """The kind of arithmetic over these operands."""
    return Kind.FLOAT if any(node.kind is Kind.FLOAT for node in nodes) else Kind.EXACT


def common_kind(nodes: list[Node], *, where: str) -> Kind:
    """The one kind that all alternatives of a value share (numbers mix)."""
    kinds = {node.kind for node in nodes}
    if len(kinds) == 1:
        return kinds.pop()
    if all(kind.is_number for kind in kinds):
        return number_kind(*nodes)
    raise ExpressionError(f"{where} mixes {' and '.join(sorted(kinds))}")
