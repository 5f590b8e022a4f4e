"""SQL expressions over the columns of one transaction: a small grammar in front of polars.

`compile_expression` reads the text with its own grammar, which knows no aggregates, windows,
clocks or subqueries, checks kinds, and writes canonical SQL for `polars.sql_expr`. What polars
sees is only ever what this package wrote.
"""

from __future__ import annotations

from metrics.expressions.grammar import Expression, compile_expression
from metrics.expressions.kinds import ExpressionError, Kind, kind_of

__all__ = ["Expression", "ExpressionError", "Kind", "compile_expression", "kind_of"]
