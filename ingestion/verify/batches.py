"""Everything that is stored of some batches against everything that their archive objects give."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl
import psycopg

from ingestion.store import metric_rows
from ingestion.verify.compare import unequal
from ingestion.verify.findings import Findings
from ingestion.verify.items import expected_items, unequal_items
from ingestion.verify.outcomes import check_outcomes
from ingestion.verify.report import Kind
from ingestion.verify.snapshot import Manifest
from ingestion.verify.stored import TRANSACTION_SCHEMA, VIOLATION_SCHEMA, Stored
from ingestion.verify.unit import Unit
from payflow.lib.event_id import event_id


def check_batches(
    cursor: psycopg.Cursor[Any], unit: Unit, stored: Stored, findings: Findings
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Compare the batches.

    Returns the events that they must have stored (evaluate()'s columns) and what compliance rules
    found in them.
    """
    archived, judged = unit.judged()
    findings.add_rows(Kind.ARCHIVE, unequal(archived, judged, key=["id"]), unit)

    accepted, outcomes = unit.accepted(), stored.outcomes
    check_outcomes(cursor, unit, accepted, outcomes, findings)
    kept = accepted.filter(~pl.col("id").is_in(outcomes["id"].implode()))
    rows = unequal(
        stored.transactions,
        _expected_transactions(kept),
        key=["id"],
        json_columns=["metadata"],
    )
    findings.add_rows(Kind.TRANSACTION, rows, unit)
    metrics = unequal(
        stored.metrics,
        metric_rows(kept).rename({"event_id": "id"}).select(stored.metrics.columns),
        key=["id", "metric_type"],
        json_columns=["metric_data"],
    )
    findings.add_rows(Kind.METRIC, metrics, unit)
    found = unit.found_in(kept)
    violations = unequal(
        stored.violations,
        _expected_violations(found, kept),
        key=["id", "rule"],
        json_columns=["evidence"],
    )
    findings.add_rows(Kind.VIOLATION, violations, unit)
    items = unequal_items(stored.items, expected_items(unit, accepted, outcomes))
    findings.add_rows(Kind.FAILED_ITEM, items, unit)
    _check_manifests(unit, kept, outcomes, findings)
    return kept, found


def _expected_violations(found: pl.DataFrame, kept: pl.DataFrame) -> pl.DataFrame:
    """The rows that these findings must have, in the types that stored rows are read in."""
    arrived = kept.select("id", found_at="received_at")
    rows = found.rename({"key_hex": "key"}).join(arrived, on="id").sort("id", "rule")
    return rows.select(pl.col(name).cast(dtype) for name, dtype in VIOLATION_SCHEMA.items())


def _expected_transactions(kept: pl.DataFrame) -> pl.DataFrame:
    """The rows that these events must have, in the types that stored rows are read in."""
    keyed = kept.sort("id").with_columns(pl.col("event_key").bin.encode("hex"))
    return keyed.select(pl.col(name).cast(dtype) for name, dtype in TRANSACTION_SCHEMA.items())


def _check_manifests(
    unit: Unit, kept: pl.DataFrame, outcomes: pl.DataFrame, findings: Findings
) -> None:
    """Each batch's own row counts what is there; every part is in exactly one of the counts."""
    events = {
        batch: counts
        for batch, *counts in kept.group_by("batch")
        .agg(
            pl.len(),
            pl.col("late").sum(),
            pl.col("occurred_at").min().alias("first"),
            last=pl.col("occurred_at").max(),
        )
        .iter_rows()
    }
    batches = unit.places["batch"]
    sizes = Counter(batches)
    messages = Counter(batches.filter(unit.archived["part"] == 0))
    failed = Counter(batches[part.ordinal] for part in unit.outcome.failed)
    ignored = Counter(batches[row] for row in unit.outcome.ignored)
    decided = Counter(
        (batches[unit.rows[id_]], outcome == "duplicate")
        for id_, outcome in outcomes.select("id", "outcome").iter_rows()
        if id_ in unit.rows
    )
    failures = {
        name: {"count": failure.count, "error": failure.error_class}
        for name, failure in unit.outcome.rule_failures.items()
    }
    for manifest in unit.manifests:
        batch, parts = manifest.id, sizes[manifest.id]
        accepted, late, first, last = events.get(batch, (0, 0, None, None))
        findings.compare(
            Kind.MANIFEST,
            [
                ("messages", manifest.messages, messages[batch]),
                ("parts", manifest.parts, parts),
                ("accepted", manifest.accepted, accepted),
                ("failed", manifest.failed, failed[batch] + decided[batch, False]),
                ("ignored", manifest.ignored, ignored[batch]),
                ("duplicates", manifest.duplicates, decided[batch, True]),
                ("late", manifest.late, late),
                ("min_occurred_at", manifest.min_occurred_at, first),
                ("max_occurred_at", manifest.max_occurred_at, last),
                ("last_id", manifest.last_id, _last_id(manifest, parts)),
                ("first_row", manifest.first_row, 0),
                ("rule_failures", manifest.rule_failures, failures),
            ],
            batch=batch,
        )


def _last_id(manifest: Manifest, parts: int) -> int:
    return event_id(
        first_tick=manifest.id >> 22, slot=manifest.id >> 12 & 1023, ordinal=max(0, parts - 1)
    )
