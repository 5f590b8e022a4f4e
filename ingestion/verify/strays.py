"""Rows that no batch wrote: more are stored than the batches account for.

The snapshot counted all rows; the batches gave theirs back one by one. Only when the two numbers
differ are the tables searched.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
from psycopg import sql

from ingestion.verify.report import Difference, Kind, Report
from ingestion.verify.snapshot import Totals

_FIND: Final = sql.SQL("""
SELECT r.batch, count(*), min(r.id) FROM {table} r
WHERE NOT EXISTS (
    SELECT FROM batches b
    WHERE b.id = r.batch AND r.id BETWEEN b.id AND b.last_id
        AND (r.id >> 12) & 1023 = (b.id >> 12) & 1023)
GROUP BY r.batch ORDER BY r.batch
""")
_FIND_METRICS: Final = """
SELECT count(*), min(m.event_id) FROM dynamic_metrics m
WHERE NOT EXISTS (SELECT FROM normalized_transactions t WHERE t.id = m.event_id)
HAVING count(*) > 0
"""
_EVENT_TIMES: Final = """
SELECT min(t.occurred_at), max(t.occurred_at) FROM normalized_transactions t
WHERE NOT EXISTS (SELECT FROM batches b WHERE b.id = t.batch) HAVING count(*) > 0
"""
_TABLES: Final = {
    "transactions": "normalized_transactions",
    "outcomes": "batch_outcomes",
    "failed_items": "failed_items",
}


def find_strays(
    cursor: psycopg.Cursor[Any], totals: Totals, report: Report
) -> list[tuple[datetime, datetime]]:
    """Name the rows that no batch accounts for.

    Returns the event times of those whose batch has no manifest row: such a batch is in the
    roll-ups too, so the windows between them are not known in full.
    """
    for name, table in _TABLES.items():
        if getattr(totals, name) == report.compared[name]:
            continue
        query = _FIND.format(table=sql.Identifier(table))
        for batch, count, first in cursor.execute(query).fetchall():
            _add(report, f"{table} of batch {batch}, first id {first}", count)
    if totals.metrics != report.compared["metrics"]:
        for count, first in cursor.execute(_FIND_METRICS).fetchall():
            _add(report, f"dynamic_metrics of no transaction, first event {first}", count)
    if totals.transactions == report.compared["transactions"]:
        return []
    rows = cursor.execute(_EVENT_TIMES).fetchall()
    return [(first, last + timedelta(microseconds=1)) for first, last in rows]


def _add(report: Report, row: str, count: int) -> None:
    report.add(
        Difference(kind=Kind.STRAY, row=row, stored=f"{count} rows", recomputed="no rows"),
        count=count,
    )
