"""A row that PostgreSQL refuses for its own content is a bad message, not a bad world.

evaluate() is meant to accept only what COPY accepts (a property test holds it). Should a row slip
through, its batch must not stop the partition: the row named in COPY's error context is failed and
the same transaction runs again without it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import polars as pl
import psycopg
from django.db import DatabaseError

from ingestion.evaluate import FailedPart, Outcome
from ingestion.parsing import Reason
from ingestion.parsing.reasons import problem
from payflow.lib.copy import copy_data
from payflow.lib.errors import Retryable

_COPY_LINE: Final = re.compile(r"COPY \w+, line (\d+)")
#: 22 data exception, 54 program limit exceeded
_CLASSES: Final = ("22", "54")
#: not null and check constraints: on a row in COPY they concern its own columns
_STATES: Final = ("23502", "23514")


class RowRefused(Retryable):
    """PostgreSQL refused one accepted row for its content."""

    def __init__(self, *, row: dict[str, Any], column: str, state: str, constraint: str) -> None:
        super().__init__(f"SQLSTATE {state} {constraint}".strip())
        self.row = row
        self.column = column


def copy_events(
    cursor: Any, table: str, columns: Sequence[str], data: bytes, *, kept: pl.DataFrame
) -> None:
    """COPY lines that belong to accepted events; the first column is the event's id.

    Raises RowRefused with the event (a row of `kept`) when the database refuses one of its lines.
    """
    try:
        copy_data(cursor, table, columns, data)
    except DatabaseError as exc:
        cause = exc.__cause__
        if not isinstance(cause, psycopg.Error) or (line := _refused_line(cause)) is None:
            raise
        # a newline within a value is escaped: lines are rows
        event = int(data.split(b"\n", line)[line - 1].split(b"\t", 1)[0])
        raise RowRefused(
            row=kept.row(by_predicate=pl.col("id") == event, named=True),
            column=cause.diag.column_name or "",
            state=cause.sqlstate or "",
            constraint=cause.diag.constraint_name or "",
        ) from exc


def _refused_line(cause: psycopg.Error) -> int | None:
    """The line of COPY, from 1, whose own content is refused; None when no line is to blame."""
    state = cause.sqlstate or ""
    if not (state.startswith(_CLASSES) or state in _STATES):
        return None
    place = _COPY_LINE.search(cause.diag.context or "")
    return int(place[1]) if place else None


def without_row(outcome: Outcome, refused: RowRefused) -> Outcome:
    """The outcome with that row failed instead of accepted."""
    row = refused.row
    error = problem(
        refused.column,
        Reason.REFUSED_BY_DATABASE,
        "a row that the database takes",
        str(refused),
    )
    part = FailedPart(
        ordinal=row["ordinal"],
        row=row["row"],
        part=row["part"],
        route=row["route"],
        stage="store",
        errors=(error,),
        transaction_id=row["transaction_id"],
        correlation_id=row["correlation_id"],
    )
    return replace(
        outcome,
        accepted=outcome.accepted.filter(pl.col("ordinal") != row["ordinal"]),
        failed=sorted([*outcome.failed, part], key=lambda failed: failed.ordinal),
    )
