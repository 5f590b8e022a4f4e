"""A draft of a transaction schema, checked in full before it is kept as right.

1. It is read: every key, keyword, path and expression, with every problem at once.
2. What can never come about is refused: a slip of its author.
3. Its expressions are tried apart from this process: a slow one would slow every worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ingestion.parsing import compile_schema
from ingestion.parsing.columns import dtype_of
from ingestion.parsing.mapping import read_document
from ingestion.parsing.problems import Problems
from ingestion.parsing.reach import check_reach
from metrics.trial import Trial, try_expressions


def check_schema(document: Mapping[str, Any], name: str) -> None:
    """Raises ConfigurationError with what is wrong with a schema document, and where."""
    checked = read_document(document, name=name)
    problems = Problems()
    check_reach(checked, document, problems)
    problems.raise_if_any()
    columns = {column.name: dtype_of(column) for column in checked.every_column}
    try_expressions(list(_expressions(document)), columns=columns)
    compile_schema(document, name=name)


def _expressions(document: Mapping[str, Any]) -> Iterator[Trial]:
    for area in ("columns", "attributes"):
        for name, spec in document.get(area, {}).items():
            if "expression" in spec:
                pointer = f"{Problems.below(f'/{area}', name)}/expression"
                yield Trial(pointer=pointer, text=str(spec["expression"]))
    for number, check in enumerate(document.get("checks", [])):
        yield Trial(pointer=f"/checks/{number}/holds", text=str(check["holds"]))
