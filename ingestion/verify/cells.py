"""Roll-up cells: added up again from the events that must be stored, compared bit for bit.

A window counts only if every batch with events in it was recomputed: the others are left out, and
the report says so.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from ingestion.verify.compare import unequal
from ingestion.verify.report import Difference, Kind, Report
from ingestion.verify.snapshot import CELL_SCHEMA
from metrics.rollups import KEY, roll_up, roll_up_cells
from metrics.store import CellTable

_WINDOW: Final[Mapping[CellTable, timedelta]] = {
    "payment_metrics_5m": timedelta(minutes=5),
    "payment_metrics_1h": timedelta(hours=1),
}
#: frames of cells that are kept apart before they are merged
_APART: Final = 64


@dataclass(slots=True)
class Tally:
    """Cells of 5 minutes so far; as many rows as there are cells, whatever the number of events."""

    frames: list[pl.DataFrame] = field(default_factory=list)

    def add(self, kept: pl.DataFrame) -> None:
        self.frames.append(roll_up(kept, window_s=300))
        if len(self.frames) > _APART:
            self.frames = [self.merged()]

    def merged(self) -> pl.DataFrame:
        if not self.frames:
            return pl.DataFrame(schema=dict(CELL_SCHEMA))
        return roll_up_cells(pl.concat(self.frames), window_s=300)


def compare_cells(
    tally: Tally,
    stored: Mapping[CellTable, pl.DataFrame],
    *,
    left_out: list[tuple[datetime, datetime]],
    report: Report,
) -> None:
    """Compare both tables where their windows are known in full.

    `left_out` are half-open ranges of event time that batches not recomputed have events in.
    """
    cells = tally.merged()
    ranges = _merge(left_out)
    for table, window in _WINDOW.items():
        expected = roll_up_cells(cells, window_s=int(window.total_seconds()))
        ours, skipped = _known(stored[table], ranges, window)
        theirs, _ = _known(expected, ranges, window)
        report.compared[table] += ours.height
        if skipped:
            report.notes.append(
                f"{skipped:,} cells of {table} were not compared: not every batch of their "
                f"windows was recomputed"
            )
        for it in unequal(ours, theirs, key=list(KEY)):
            start, *dimensions = it.key
            report.add(
                Difference(
                    kind=Kind.CELL,
                    row=f"{table} {start:%Y-%m-%d %H:%M} {'/'.join(map(repr, dimensions))}",
                    column=it.column,
                    stored=str(it.stored),
                    recomputed=str(it.recomputed),
                )
            )


def _known(
    cells: pl.DataFrame, ranges: list[tuple[datetime, datetime]], window: timedelta
) -> tuple[pl.DataFrame, int]:
    """The cells whose windows meet none of the ranges, sorted; and how many others there are."""
    exact = cells.cast(pl.Schema(CELL_SCHEMA)).select(list(CELL_SCHEMA))
    starts = exact["window_start"].unique().to_list()
    known = [start for start in starts if not _meets(start, start + window, ranges)]
    kept = exact.filter(pl.col("window_start").is_in(known)).sort(KEY)
    return kept, cells.height - kept.height


def _meets(start: datetime, end: datetime, ranges: list[tuple[datetime, datetime]]) -> bool:
    """Whether [start, end) overlaps one of these disjoint, sorted, half-open ranges."""
    index = bisect_right(ranges, start, key=lambda r: r[0]) - 1
    return (index >= 0 and ranges[index][1] > start) or (
        index + 1 < len(ranges) and ranges[index + 1][0] < end
    )


def _merge(ranges: list[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    merged: list[tuple[datetime, datetime]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
