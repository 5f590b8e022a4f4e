"""Writing what a shadow saw: cells and findings of both sides, and how far it has come.

All of one step in one transaction with `last_batch`, so that every batch counts exactly once,
whatever dies and however many workers follow.
"""

from __future__ import annotations

from typing import Any

import polars as pl
from django.db import connection, transaction

from ingestion.shadow.models import Shadow
from ingestion.shadow.sides import Both

# only from where this step began, and only while the shadow is wanted
_MOVE = """
UPDATE shadows SET last_batch = %(to)s, events = events + %(events)s,
    skipped = skipped + %(skipped)s, seen_at = now(), error = ''
WHERE id = %(shadow)s AND last_batch = %(from)s AND state = 'running'
"""
_ADD_CELLS = """
INSERT INTO shadow_cells AS cell (
    shadow_id, is_draft, rule, rule_version, window_start, window_s, group_key, bucket,
    transactions, value_sum, denominator
)
SELECT %(shadow)s, * FROM unnest(
    %(is_draft)s::boolean[], %(rule)s::text[], %(rule_version)s::bigint[],
    %(window_start)s::timestamptz[], %(window_s)s::integer[], %(group_key)s::text[],
    %(bucket)s::integer[], %(transactions)s::bigint[], %(value_sum)s::numeric[],
    %(denominator)s::numeric[]
)
ON CONFLICT (shadow_id, is_draft, rule, rule_version, window_start, window_s, group_key, bucket)
DO UPDATE SET
    transactions = cell.transactions + EXCLUDED.transactions,
    value_sum = cell.value_sum + EXCLUDED.value_sum,
    denominator = cell.denominator + EXCLUDED.denominator
"""
_ADD_FINDINGS = """
INSERT INTO shadow_findings (
    shadow_id, rule, event_id, occurred_at, severity, by_draft, by_live
)
SELECT %(shadow)s, * FROM unnest(
    %(rule)s::text[], %(event_id)s::bigint[], %(occurred_at)s::timestamptz[],
    %(severity)s::text[], %(by_draft)s::boolean[], %(by_live)s::boolean[]
)
"""


def add(shadow: Shadow, both: Both, *, to: int) -> bool:
    """Add what the batches up to `to` gave; False when another worker was there first."""
    with transaction.atomic(), connection.cursor() as cursor:
        if not _move(cursor, shadow, to=to, events=both.events):
            return False
        _insert(cursor, _ADD_CELLS, both.cells, shadow)
        _insert(cursor, _ADD_FINDINGS, both.findings, shadow)
    shadow.last_batch = to
    return True


def skip(shadow: Shadow, *, to: int, events: int) -> bool:
    """Leave out the batches up to `to`; False when another worker was there first."""
    with transaction.atomic(), connection.cursor() as cursor:
        moved = _move(cursor, shadow, to=to, skipped=events)
    if moved:
        shadow.last_batch = to
    return moved


def _move(cursor: Any, shadow: Shadow, *, to: int, events: int = 0, skipped: int = 0) -> bool:
    values = {"shadow": shadow.pk, "from": shadow.last_batch, "to": to}
    cursor.execute(_MOVE, {**values, "events": events, "skipped": skipped})
    return bool(cursor.rowcount == 1)


def _insert(cursor: Any, statement: str, rows: pl.DataFrame, shadow: Shadow) -> None:
    if not rows.is_empty():
        columns = {name: rows[name].to_list() for name in rows.columns}
        cursor.execute(statement, {"shadow": shadow.pk, **columns})
