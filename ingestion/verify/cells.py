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
from zlib import crc32

import polars as pl

from ingestion.verify.cell_tables import CELL_TABLES, CellTable
from ingestion.verify.compare import unequal
from ingestion.verify.report import Difference, Kind, Report
from metrics.compliance import violation_windows
from metrics.rollups import roll_up, roll_up_cells
from metrics.sketches import distinct_cells, merge_cells
from metrics.windows import WindowEngine, merge_buckets, merge_windows

#: frames of cells that are kept apart before they are merged
_APART: Final = 64


@dataclass(slots=True)
class Tally:
    """Cells so far; as many rows as there are cells, whatever the number of events."""

    rollups: list[pl.DataFrame] = field(default_factory=list)
    windows: list[pl.DataFrame] = field(default_factory=list)
    buckets: list[pl.DataFrame] = field(default_factory=list)
    planes: list[pl.DataFrame] = field(default_factory=list)

    def add(self, kept: pl.DataFrame, found: pl.DataFrame, engine: WindowEngine) -> None:
        """Add the events that are stored and the findings in them."""
        cells = engine.cells(kept)
        self.rollups.append(roll_up(kept, window_s=300))
        self.windows += [cells.windows, violation_windows(found)]
        self.buckets.append(cells.buckets)
        self.planes.append(distinct_cells(kept))
        if len(self.rollups) > _APART:
            self.rollups = [roll_up_cells(pl.concat(self.rollups), window_s=300)]
            self.windows = [merge_windows(self.windows)]
            self.buckets = [merge_buckets(self.buckets)]
            self.planes = [merge_cells(self.planes)]

    def merged(self) -> dict[str, pl.DataFrame]:
        """The cells of each table by its name."""
        rollups = self.rollups or [pl.DataFrame(schema=dict(CELL_TABLES[0].schema))]
        cells = roll_up_cells(pl.concat(rollups), window_s=300)
        return {
            "payment_metrics_5m": cells,
            "payment_metrics_1h": roll_up_cells(cells, window_s=3600),
            "metric_windows": merge_windows(self.windows),
            "aggregate_histograms": merge_buckets(self.buckets),
            "distinct_counts": merge_cells(self.planes),
        }


def compare_cells(
    tally: Tally,
    stored: Mapping[str, pl.DataFrame],
    *,
    left_out: list[tuple[datetime, datetime]],
    report: Report,
) -> None:
    """Compare every table where its windows are known in full.

    `left_out` are half-open ranges of event time that batches not recomputed have events in.
    """
    ranges, expected = _merge(left_out), tally.merged()
    for table in CELL_TABLES:
        ours, skipped = _known(stored[table.name], ranges, table)
        theirs, _ = _known(expected[table.name], ranges, table)
        report.compared[table.name] += ours.height
        if skipped:
            report.notes.append(
                f"{skipped:,} cells of {table.name} were not compared: not every batch of their "
                f"windows was recomputed"
            )
        for it in unequal(ours, theirs, key=list(table.key)):
            named = dict(zip(table.key, it.key, strict=True))
            start = named.pop("window_start")
            cell = "/".join(map(repr, named.values()))
            report.add(
                Difference(
                    kind=Kind.CELL,
                    row=f"{table.name} {start:%Y-%m-%d %H:%M} {cell}",
                    column=it.column,
                    stored=_told(it.column, it.stored),
                    recomputed=_told(it.column, it.recomputed),
                )
            )


def _told(column: str, value: object) -> str:
    """A value as a person reads it: of 4,096 bits how many are set, and their checksum."""
    if column != "bits":
        return str(value)
    bits = bytes.fromhex(str(value))
    return f"{int.from_bytes(bits).bit_count()} bits set, checksum {crc32(bits):08x}"


def _known(
    cells: pl.DataFrame, ranges: list[tuple[datetime, datetime]], table: CellTable
) -> tuple[pl.DataFrame, int]:
    """The cells whose windows meet none of the ranges, sorted; and how many others there are."""
    length = pl.col("window_s") if table.window_s is None else pl.lit(table.window_s)
    exact = table.exact(cells).with_columns(length=length)
    windows = exact.select("window_start", "length").unique()
    known = [
        not _meets(start, start + timedelta(seconds=seconds), ranges)
        for start, seconds in windows.iter_rows()
    ]
    kept = exact.join(
        windows.filter(pl.Series(known, dtype=pl.Boolean)), on=windows.columns, how="semi"
    )
    kept = kept.drop("length").sort(table.key)
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
