"""Leaves of the partitioned tables: made ahead, entered one at a time under WRITE_LEAF.

All commits write to one leaf, the row of `write_leaf`. They hold the advisory lock WRITE_LEAF
shared; only roll_over() takes it exclusively. So no commit in one leaf can overlap a commit in the
next, and the look-up of keys in a new leaf sees everything that the old one holds.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import connection, transaction
from psycopg import sql

from payflow.lib.errors import LeafMissing
from payflow.lib.event_id import EPOCH, first_id_at

logger = logging.getLogger(__name__)

#: advisory lock key of this database: shared by commits, exclusive for a roll-over
WRITE_LEAF: Final = 7_315_001
#: advisory lock key that keeps two makers of leaves apart
_MAKE_LEAVES: Final = 7_315_002
LEAVES_AHEAD: Final = 2
PARTITIONED_TABLES: Final = (
    "normalized_transactions",
    "dynamic_metrics",
    "batches",
    "batch_outcomes",
)

_LEAVES = """
SELECT p.relname, c.relname, pg_get_expr(c.relpartbound, c.oid), c.reltuples::bigint,
    pg_total_relation_size(c.oid)
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_class p ON p.oid = i.inhparent
WHERE p.relname = ANY(%(tables)s)
ORDER BY p.relname, c.relname
"""
_CREATE_LEAF = (
    "CREATE TABLE IF NOT EXISTS {leaf} PARTITION OF {table} FOR VALUES FROM ({lower}) TO ({upper})"
)
# statistics and BRIN summaries must follow the appends: the default waits for a fifth of the table
_TUNE_LEAF = """
ALTER TABLE {leaf} SET (autovacuum_vacuum_insert_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.02)
"""
# one event counts once within a leaf; across leaves the look-up and WRITE_LEAF hold it
_UNIQUE_KEY = "CREATE UNIQUE INDEX IF NOT EXISTS {index} ON {leaf} (event_key)"
_ENTER_LEAF = """
INSERT INTO write_leaf (id, lower_id, upper_id) VALUES (1, %(lower)s, %(upper)s)
ON CONFLICT (id) DO UPDATE SET lower_id = EXCLUDED.lower_id, upper_id = EXCLUDED.upper_id
WHERE write_leaf.upper_id <= EXCLUDED.lower_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """The bounds of one leaf: arrival times, lower included."""

    lower: datetime
    upper: datetime

    @property
    def suffix(self) -> str:
        return f"p{self.lower:%Y%m%d}"

    @property
    def lower_id(self) -> int:
        return first_id_at(self.lower)

    @property
    def upper_id(self) -> int:
        return first_id_at(self.upper)


def leaf_at(moment: datetime) -> Leaf:
    """The leaf that an arrival at `moment` belongs to: PARTITION_DAYS long, counted from 2020."""
    length = timedelta(days=settings.PAYFLOW["PARTITION_DAYS"])
    lower = EPOCH + (moment - EPOCH) // length * length
    return Leaf(lower=lower, upper=lower + length)


def ensure_leaves() -> list[Leaf]:
    """Make the current leaf and those ahead, and enter the current one on a new database."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_MAKE_LEAVES])
        leaves = [leaf_at(_database_now(cursor))]
        for _ in range(LEAVES_AHEAD):
            leaves.append(leaf_at(leaves[-1].upper))
        known = {leaf for _, leaf, *_ in _rows(cursor)}
        for leaf in leaves:
            if f"batch_outcomes_{leaf.suffix}" not in known:
                _make_leaf(cursor, leaf)
        cursor.execute("SELECT count(*) FROM write_leaf")
        if cursor.fetchone()[0] == 0:
            cursor.execute(_ENTER_LEAF, {"lower": leaves[0].lower_id, "upper": leaves[0].upper_id})
    return leaves


def roll_over() -> None:
    """Enter the leaf of the current time, once nobody writes to the old one any more.

    Raises LeafMissing when that leaf was not made yet.
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [WRITE_LEAF])
        # a drainer may run a little ahead of the clock: it waits for the boundary, not in a loop
        leaf = leaf_at(_database_now(cursor))
        cursor.execute("SELECT lower_id, upper_id FROM write_leaf")
        row = cursor.fetchone()
        if row and row[0] >= leaf.lower_id:
            return
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [f"batch_outcomes_{leaf.suffix}"])
        if not cursor.fetchone()[0]:
            raise LeafMissing(f"no leaf {leaf.suffix}: run `manage.py partitions ensure`")
        cursor.execute(_ENTER_LEAF, {"lower": leaf.lower_id, "upper": leaf.upper_id})
    logger.info("entered leaf", extra={"action": "leaf_entered", "leaf": leaf.suffix})


def leaf_status() -> list[dict[str, Any]]:
    """One row a leaf: table, leaf, bounds, estimated rows, bytes."""
    with connection.cursor() as cursor:
        return [
            dict(zip(("table", "leaf", "bounds", "rows", "bytes"), row, strict=True))
            for row in _rows(cursor)
        ]


def _make_leaf(cursor: Any, leaf: Leaf) -> None:
    for table in PARTITIONED_TABLES:
        names = {
            "table": sql.Identifier(table),
            "leaf": sql.Identifier(f"{table}_{leaf.suffix}"),
            "index": sql.Identifier(f"{table}_{leaf.suffix}_event_key"),
            "lower": sql.Literal(leaf.lower_id),
            "upper": sql.Literal(leaf.upper_id),
        }
        cursor.execute(sql.SQL(_CREATE_LEAF).format(**names))
        cursor.execute(sql.SQL(_TUNE_LEAF).format(**names))
        if table == "normalized_transactions":
            cursor.execute(sql.SQL(_UNIQUE_KEY).format(**names))
    logger.info("made leaf", extra={"action": "leaf_made", "leaf": leaf.suffix})


def _rows(cursor: Any) -> list[tuple[Any, ...]]:
    cursor.execute(_LEAVES, {"tables": list(PARTITIONED_TABLES)})
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _database_now(cursor: Any) -> datetime:
    cursor.execute("SELECT clock_timestamp()")
    moment: datetime = cursor.fetchone()[0]
    return moment
