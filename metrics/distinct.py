"""How many different customers and merchants there were: per hour, or any hours together.

The sketches of metrics/sketches.py are stored plane by plane in `distinct_counts`. A commit writes
only the planes that gain a bit; PostgreSQL merges the planes of a range and counts their bits.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl
from django.db import connection

from metrics.sketches import COUNTED, STANDARD_ERROR, WINDOW_S, estimate
from metrics.store import Cursor

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR: Final = timedelta(seconds=WINDOW_S)

#: A plane that has all the bits already is neither locked nor written: bits are never taken away,
#: so what this statement sees of another commit is enough to know. That is nearly every plane of an
#: hour that is some minutes old. Two commits that bring new bits lock the rows in the same order.
_ADD_PLANES = """
INSERT INTO distinct_counts AS cell (counted, window_start, plane, bits)
SELECT new.counted, new.window_start, new.plane, new.bits
FROM unnest(
    %(counted)s::text[], %(window_start)s::timestamptz[], %(plane)s::smallint[], %(bits)s::varbit[]
) AS new (counted, window_start, plane, bits)
LEFT JOIN distinct_counts AS old USING (counted, window_start, plane)
WHERE old.bits IS NULL OR old.bits | new.bits::bit(4096) <> old.bits
ORDER BY new.counted COLLATE "C", new.window_start, new.plane
ON CONFLICT (counted, window_start, plane) DO UPDATE SET bits = cell.bits | EXCLUDED.bits
"""
_BITS_SET = """
SELECT date_bin(%(step)s::interval, window_start, %(first)s), plane, bit_count(bit_or(bits))
FROM distinct_counts
WHERE counted = %(counted)s AND window_start >= %(first)s AND window_start < %(until)s
GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distinct:
    """An estimated number and how far the exact one may be from it."""

    estimate: int
    #: two standard errors: in 95 of 100 cases the exact number is within estimate +/- error
    error: int


def write_distinct(cursor: Cursor, cells: pl.DataFrame) -> None:
    """Add cells (of `distinct_cells`: one per key, sorted by key) to distinct_counts.

    The rows are locked in the order of their keys, so two batches never wait for each other in a
    circle. psycopg's errors pass through.
    """
    if cells.is_empty():
        return
    row = cells.select(
        pl.col("counted", "window_start", "plane").cast(pl.String).str.join(","),
        # x and hexadecimal digits is how PostgreSQL reads bits
        bits=(pl.lit("x") + pl.col("bits")).str.join(","),
    ).row(0, named=True)
    cursor.execute(_ADD_PLANES, {name: f"{{{text}}}" for name, text in row.items()})


def read_distinct(counted: str, *, since: datetime, until: datetime) -> Distinct:
    """How many "customers" or "merchants" there were, each counted once.

    In all hours that [since, until) touches. Raises ValueError for any other word.
    """
    step_s = math.ceil((until - since + _HOUR).total_seconds() / WINDOW_S) * WINDOW_S
    found = read_distinct_steps(counted, since=since, until=until, step_s=step_s)
    return next(iter(found.values()), Distinct(estimate=0, error=0))


def read_distinct_steps(
    counted: str, *, since: datetime, until: datetime, step_s: int
) -> dict[datetime, Distinct]:
    """The same by the start of each step of `step_s` seconds; steps without any are left out.

    The first step starts with the hour of `since`. Steps do not add up: who pays in two hours is
    one customer of the day. Raises ValueError when a step is no multiple of an hour.
    """
    if counted not in COUNTED:
        raise ValueError(f"only {' and '.join(COUNTED)} are counted")
    if step_s % WINDOW_S:
        raise ValueError(f"customers and merchants are counted by the hour, not by {step_s} s")
    first = since - (since - _EPOCH) % _HOUR
    found: dict[datetime, dict[int, int]] = defaultdict(dict)
    with connection.cursor() as cursor:
        cursor.execute(
            _BITS_SET,
            {"counted": counted, "first": first, "until": until, "step": f"{step_s} seconds"},
        )
        for start, plane, bits_set in cursor.fetchall():
            found[start][plane] = bits_set
    return {start: _distinct(bits_set) for start, bits_set in sorted(found.items())}


def _distinct(bits_set: Mapping[int, int]) -> Distinct:
    number = estimate(bits_set)
    return Distinct(estimate=round(number), error=round(2 * STANDARD_ERROR * number))
