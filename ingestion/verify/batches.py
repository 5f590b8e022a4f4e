"""One batch: everything that is stored of it against everything that its archive object gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl
import psycopg

from ingestion.bundles import CompiledBundle
from ingestion.store import metric_rows
from ingestion.verify.compare import Unequal, unequal
from ingestion.verify.findings import Findings
from ingestion.verify.items import expected_items, unequal_items
from ingestion.verify.outcomes import check_outcomes
from ingestion.verify.recompute import JUDGED, Recomputed, judged_frame
from ingestion.verify.report import Kind
from ingestion.verify.snapshot import Manifest, PartitionInfo
from ingestion.verify.stored import TRANSACTION_SCHEMA, Stored
from payflow.lib.event_id import ordinal_of


def check_batch(
    cursor: psycopg.Cursor[Any],
    recomputed: Recomputed,
    stored: Stored,
    *,
    archived: pl.DataFrame,
    manifest: Manifest,
    partition: PartitionInfo,
    bundle: CompiledBundle,
    findings: Findings,
) -> pl.DataFrame:
    """Compare a batch; returns the events that it must have stored: evaluate()'s columns, id."""
    judged = archived.select(JUDGED).with_row_index("ordinal")
    found = unequal(judged, judged_frame(recomputed), key=["ordinal"])
    findings.add_rows(Kind.ARCHIVE, ((it.key[0], it) for it in found))

    outcomes = stored.outcomes
    check_outcomes(cursor, recomputed, outcomes, bundle=bundle, findings=findings)
    decided = outcomes["ordinal"].cast(pl.UInt32).implode()
    kept = recomputed.outcome.accepted.filter(~pl.col("ordinal").is_in(decided)).with_columns(
        recomputed.numbering.expression()
    )

    rows = unequal(
        stored.transactions,
        expected_transactions(kept, manifest=manifest),
        key=["id"],
        json_columns=["metadata"],
    )
    findings.add_rows(Kind.TRANSACTION, _with_ordinal(rows, manifest))
    metrics = unequal(
        stored.metrics,
        metric_rows(kept).rename({"event_id": "id"}).select(stored.metrics.columns),
        key=["id", "metric_type"],
        json_columns=["metric_data"],
    )
    findings.add_rows(Kind.METRIC, _with_ordinal(metrics, manifest))
    items = expected_items(
        recomputed, outcomes, manifest=manifest, partition=partition, bundle=bundle
    )
    findings.add_rows(Kind.FAILED_ITEM, unequal_items(stored.items, items))
    _check_manifest(recomputed, kept, outcomes, manifest=manifest, findings=findings)
    return kept


def expected_transactions(kept: pl.DataFrame, *, manifest: Manifest) -> pl.DataFrame:
    """The rows that these events must have, in the types that stored rows are read in."""
    return kept.with_columns(
        event_key=pl.col("event_key").bin.encode("hex"),
        batch=pl.lit(manifest.id),
        received_at=pl.lit(manifest.received_at),
    ).select(pl.col(name).cast(dtype) for name, dtype in TRANSACTION_SCHEMA.items())


def _check_manifest(
    recomputed: Recomputed,
    kept: pl.DataFrame,
    outcomes: pl.DataFrame,
    *,
    manifest: Manifest,
    findings: Findings,
) -> None:
    """The batch's own row counts what is there; every part is in exactly one of the counts."""
    outcome, numbering = recomputed.outcome, recomputed.numbering
    duplicates = outcomes["outcome"].eq("duplicate").sum()
    failures = {
        name: {"count": failure.count, "error": failure.error_class}
        for name, failure in outcome.rule_failures.items()
    }
    findings.compare(
        Kind.MANIFEST,
        [
            ("messages", manifest.messages, len(recomputed.batch)),
            ("parts", manifest.parts, outcome.parts),
            ("accepted", manifest.accepted, kept.height),
            ("failed", manifest.failed, len(outcome.failed) + len(outcomes) - duplicates),
            ("ignored", manifest.ignored, len(outcome.ignored)),
            ("duplicates", manifest.duplicates, duplicates),
            ("late", manifest.late, int(kept["late"].sum())),
            ("min_occurred_at", manifest.min_occurred_at, kept["occurred_at"].min()),
            ("max_occurred_at", manifest.max_occurred_at, kept["occurred_at"].max()),
            ("last_id", manifest.last_id, numbering.id_of(max(0, outcome.parts - 1))),
            ("first_row", manifest.first_row, 0),
            ("rule_failures", manifest.rule_failures, failures),
        ],
    )


def _with_ordinal(found: Iterable[Unequal], manifest: Manifest) -> Iterator[tuple[int, Unequal]]:
    for it in found:
        yield ordinal_of(it.key[0], first_id=manifest.id), it
