"""verify(): the database against the archive, step by step.

    1. Snapshot   what commits change is copied out at one moment (snapshot.py); chain, checkpoints,
                  keys and group counts are checked there (structure.py)
    2. Batches    of each batch in it the archive object is read and its bytes evaluated again under
                  the batch's own bundle (recompute.py); every row that is stored of it is compared
                  (batches.py, outcomes.py, items.py)
    3. Strays     rows that no batch wrote (strays.py)
    4. Cells      roll-ups added up again from step 2 against those of the snapshot (cells.py)

Ingestion may run meanwhile. One batch is in memory at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import psycopg

from ingestion.verify.batches import check_batch
from ingestion.verify.bundles import Bundles
from ingestion.verify.cells import Tally, compare_cells
from ingestion.verify.findings import Findings
from ingestion.verify.recompute import read_object, recompute
from ingestion.verify.report import Kind, Report
from ingestion.verify.scope import Scope, open_connection
from ingestion.verify.snapshot import Manifest, Snapshot, take_snapshot
from ingestion.verify.stored import Stored, read_stored
from ingestion.verify.strays import find_strays
from ingestion.verify.structure import check_keys
from payflow.lib.copy import uuid_array


@dataclass(slots=True, kw_only=True)
class _Run:
    """What the steps share."""

    scope: Scope
    report: Report
    snapshot: Snapshot
    bundles: Bundles
    tally: Tally = field(default_factory=Tally)
    #: half-open ranges of event time with events that cannot be added up
    left_out: list[tuple[datetime, datetime]] = field(default_factory=list)

    def leave_out(self, manifest: Manifest) -> None:
        if manifest.min_occurred_at and manifest.max_occurred_at:
            end = manifest.max_occurred_at + timedelta(microseconds=1)
            self.left_out.append((manifest.min_occurred_at, end))


def verify(
    scope: Scope | None = None, *, on_progress: Callable[[int, int], None] | None = None
) -> Report:
    """Compare what is stored with what the archive gives; the report holds what differs.

    `on_progress` is called with the parts done and the parts in all. Raises Permanent for an
    unknown partition; errors of the database pass through.
    """
    scope, report, started = scope or Scope(), Report(), time.monotonic()
    with closing(open_connection()) as conn:
        snapshot = take_snapshot(conn, scope, report)
        run = _Run(scope=scope, report=report, snapshot=snapshot, bundles=Bundles(report))
        run.left_out.extend(snapshot.left_out)
        done = 0
        with conn.cursor() as cursor:
            for manifest in snapshot.batches():
                _check(cursor, manifest, run)
                done += manifest.parts
                if on_progress:
                    on_progress(done, snapshot.parts)
            if snapshot.totals:
                run.left_out.extend(find_strays(cursor, snapshot.totals, report))
    compare_cells(run.tally, snapshot.cells, left_out=run.left_out, report=report)
    report.seconds = time.monotonic() - started
    return report


def _check(cursor: psycopg.Cursor[Any], manifest: Manifest, run: _Run) -> None:
    """Step 2 for one batch."""
    partition = run.snapshot.partitions.get(manifest.partition_id)
    label = partition.label if partition else f"partition {manifest.partition_id}"
    findings = Findings(report=run.report, partition=label, batch=manifest.id)
    stored = read_stored(cursor, manifest)
    _count(manifest, stored, run.report)
    if not run.scope.is_whole:
        keys = uuid_array(stored.transactions["event_key"].to_list())
        run.report.repeats += check_keys(
            cursor, names=run.snapshot.names, report=run.report, keys=keys
        )
    if partition is None:
        findings.add(Kind.CHAIN, "partition", "no row", "a row")
    bundle = run.bundles.get(manifest.bundle_id)
    archived = read_object(
        manifest, bundle_hash=bundle.compiled.hash if bundle else None, findings=findings
    )
    if partition is None or bundle is None or archived is None:
        run.report.compared["batches not recomputed"] += 1
        run.leave_out(manifest)
        return
    again = recompute(manifest, archived, partition=partition, bundle=bundle.compiled)
    if not bundle.is_of_this_engine:
        # what another engine makes of the same bytes is no damage: counted apart, windows unknown
        run.leave_out(manifest)
        findings = replace(findings, report=run.report.of_engine(bundle.engine))
    kept = check_batch(
        cursor,
        again,
        stored,
        archived=archived,
        manifest=manifest,
        partition=partition,
        bundle=bundle.compiled,
        findings=replace(findings, offsets=again.batch.offsets),
    )
    run.tally.add(kept)


def _count(manifest: Manifest, stored: Stored, report: Report) -> None:
    report.compared.update(
        batches=1,
        messages=manifest.messages,
        parts=manifest.parts,
        transactions=stored.transactions.height,
        metrics=stored.metrics.height,
        outcomes=stored.outcomes.height,
        failed_items=len(stored.items),
    )
