"""A series as CSV: one line per group and step, exact decimals, UTC, safe to open in a sheet."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from metrics.explore_state import State, utc_text
from metrics.series import Cell, Series

_CELL: Final = (
    "transactions",
    "total",
    "denominator",
    "low",
    "high",
    "last",
    "p50",
    "p95",
    "p99",
)
_HEADS: Final = ("transactions", "value", "denominator", "min", "max", "last", "p50", "p95", "p99")
#: a cell that begins so is a formula to a spreadsheet
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


class _Echo:
    """Gives back what csv.writer writes."""

    def write(self, line: str) -> str:
        return line


def csv_lines(state: State, series: Series) -> Iterator[str]:
    """The lines of the file, one by one; steps without windows have none.

    `value` is the sum of a COUNTER and the numerator of a RATE or an average. Dimensions that were
    filtered by are columns too.
    """
    writer: Any = csv.writer(_Echo())
    names = [*series.group_by, *(n for n in state.filters if n not in series.group_by)]
    yield writer.writerow(
        ["metric", "rule_version", "step_start_utc", "step_end_utc", "group", *names, *_HEADS]
    )
    for group in (*series.groups, *series.others):
        is_rest = group.members > 1
        name = f"other ({group.members})" if is_rest else ""
        values = [_safe(group.key.get(n, state.filters.get(n, ""))) for n in names]
        for start in series.starts:
            cell = group.cells.get(start)
            if cell is not None:
                yield writer.writerow([*_head(series, start), name, *values, *_numbers(cell)])


def file_name(state: State) -> str:
    """`payflow-approval_rate-20260302T1200Z.csv`."""
    return f"payflow-{state.metric.name}-{state.since:%Y%m%dT%H%MZ}.csv"


def _head(series: Series, start: datetime) -> list[str]:
    end = start + timedelta(seconds=series.step_s)
    return [series.metric.name, _versions(series, start, end), utc_text(start), utc_text(end)]


def _versions(series: Series, start: datetime, end: datetime) -> str:
    """The versions that wrote windows around this step, first ones first."""
    return " ".join(
        version_text(version.version)
        for version in series.versions
        if version.first < end and version.last >= start
    )


def version_text(version: int) -> str:
    """A rule's version as 16 hexadecimal digits: a sheet rounds large numbers."""
    return f"v:{version & (2**64 - 1):016x}"


def _numbers(cell: Cell) -> list[str]:
    return [_exact(getattr(cell, name)) for name in _CELL]


def _exact(value: Decimal | int | None) -> str:
    """All digits, no exponent, no trailing zeros after the point."""
    if value is None:
        return ""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _safe(text: str) -> str:
    """The text, with an apostrophe before what a spreadsheet would compute."""
    return f"'{text}" if text.startswith(_FORMULA) else text
