"""verify(): the database against the archive, step by step.

    1. Snapshot   what commits change is copied out at one moment (snapshot.py); chain, checkpoints,
                  keys and group counts are checked there (structure.py)
    2. Batches    each batch's archive object is read (objects.py) and its bytes are evaluated
                  again under its own bundle (unit.py); all that is stored of it is compared
                  (batches.py, outcomes.py, items.py)
    3. Strays     rows that no batch wrote (strays.py)
    4. Cells      roll-ups added up again from step 2 against those of the snapshot (cells.py)

Ingestion may run meanwhile. At most UNIT_PARTS parts, or one batch, are in memory at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl
import psycopg

from ingestion.verify.batches import check_batches
from ingestion.verify.bundles import Bundles
from ingestion.verify.cells import Tally, compare_cells
from ingestion.verify.findings import Findings
from ingestion.verify.objects import read_object
from ingestion.verify.report import Kind, Report
from ingestion.verify.scope import Scope, open_connection
from ingestion.verify.snapshot import Manifest, Snapshot, take_snapshot
from ingestion.verify.stored import Stored, read_stored
from ingestion.verify.strays import find_strays
from ingestion.verify.structure import check_keys
from ingestion.verify.unit import evaluate_again
from payflow.lib.copy import uuid_array

#: what is evaluated in one go: parts, and bytes of their messages, of consecutive small batches
UNIT_PARTS: Final = 10_000
UNIT_BYTES: Final = 8 * 2**20


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

    def leave_out(self, manifests: Iterable[Manifest]) -> None:
        for manifest in manifests:
            if manifest.min_occurred_at and manifest.max_occurred_at:
                end = manifest.max_occurred_at + timedelta(microseconds=1)
                self.left_out.append((manifest.min_occurred_at, end))

    def findings(self, manifest: Manifest) -> Findings:
        partition = self.snapshot.partitions.get(manifest.partition_id)
        label = partition.label if partition else f"partition {manifest.partition_id}"
        return Findings(report=self.report, partition=label)


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
        with conn.cursor() as cursor:
            for unit in _units(cursor, run):
                _check(cursor, unit, run)
                if on_progress:
                    on_progress(report.compared["parts"], snapshot.parts)
            if snapshot.totals:
                run.left_out.extend(find_strays(cursor, snapshot.totals, report))
    compare_cells(run.tally, snapshot.cells, left_out=run.left_out, report=report)
    report.seconds = time.monotonic() - started
    return report


def _units(cursor: psycopg.Cursor[Any], run: _Run) -> Iterator[list[tuple[Manifest, pl.DataFrame]]]:
    """Step 2, first half: consecutive batches of one partition and bundle, with their objects.

    Failures of rules are counted per batch, so a batch that has some stands alone.
    """
    unit: list[tuple[Manifest, pl.DataFrame]] = []
    parts = size = 0
    for manifest in run.snapshot.batches():
        frame = _read(manifest, run)
        if frame is None:
            _leave_out(cursor, manifest, run)
            continue
        parts += frame.height
        size += int(frame["body"].estimated_size())
        if unit and (
            parts > UNIT_PARTS or size > UNIT_BYTES or not _is_alike(unit[0][0], manifest)
        ):
            yield unit
            unit, parts, size = [], frame.height, int(frame["body"].estimated_size())
        unit.append((manifest, frame))
    if unit:
        yield unit


def _is_alike(one: Manifest, other: Manifest) -> bool:
    return (
        (one.partition_id, one.bundle_id) == (other.partition_id, other.bundle_id)
        and not one.rule_failures
        and not other.rule_failures
    )


def _read(manifest: Manifest, run: _Run) -> pl.DataFrame | None:
    """The rows of a batch's object; None when it cannot be evaluated again."""
    findings, bundle = run.findings(manifest), run.bundles.get(manifest.bundle_id)
    frame = read_object(
        manifest, bundle_hash=bundle.compiled.hash if bundle else None, findings=findings
    )
    if manifest.partition_id not in run.snapshot.partitions:
        findings.add(Kind.CHAIN, "partition", "no row", "a row", batch=manifest.id)
        return None
    return frame if bundle else None


def _leave_out(cursor: psycopg.Cursor[Any], manifest: Manifest, run: _Run) -> None:
    """Count what is stored of a batch that cannot be evaluated again."""
    _read_stored(cursor, [manifest], run)
    run.report.compared["batches not recomputed"] += 1
    run.leave_out([manifest])


def _check(
    cursor: psycopg.Cursor[Any], batches: Sequence[tuple[Manifest, pl.DataFrame]], run: _Run
) -> None:
    """Step 2, second half: evaluate the batches of a unit again and compare."""
    manifests = [manifest for manifest, _ in batches]
    bundle = run.bundles.get(manifests[0].bundle_id)
    assert bundle is not None  # noqa: S101  _read() refused the batch otherwise
    unit = evaluate_again(
        batches,
        partition=run.snapshot.partitions[manifests[0].partition_id],
        bundle=bundle.compiled,
    )
    if len(batches) > 1 and unit.outcome.rule_failures:
        # not in the manifests: which batch has them shows one by one
        for batch in batches:
            _check(cursor, [batch], run)
        return
    findings = run.findings(manifests[0])
    if not bundle.is_of_this_engine:
        # what another engine makes of the same bytes is no damage: counted apart, windows unknown
        run.leave_out(manifests)
        findings = replace(findings, report=run.report.of_engine(bundle.engine))
    if unit.has_other_parts:
        _check_apart(cursor, batches, run, findings)
        return
    stored = _read_stored(cursor, manifests, run)
    kept, found = check_batches(cursor, unit, stored, findings)
    run.tally.add(kept, found, bundle.compiled.metrics.windows)


def _check_apart(
    cursor: psycopg.Cursor[Any],
    batches: Sequence[tuple[Manifest, pl.DataFrame]],
    run: _Run,
    findings: Findings,
) -> None:
    """Batches with messages that fall into other parts now: which are they?

    What is stored of such a batch cannot be told part by part.
    """
    if len(batches) > 1:
        for batch in batches:
            _check(cursor, [batch], run)
        return
    ((manifest, _),) = batches
    findings.add(Kind.ARCHIVE, "part", "its parts", "other parts", batch=manifest.id)
    _leave_out(cursor, manifest, run)


def _read_stored(cursor: psycopg.Cursor[Any], manifests: Sequence[Manifest], run: _Run) -> Stored:
    """All rows of the batches, counted; with a part of the batches, their keys in all leaves."""
    stored = read_stored(cursor, manifests)
    run.report.compared.update(
        batches=len(manifests),
        messages=sum(manifest.messages for manifest in manifests),
        parts=sum(manifest.parts for manifest in manifests),
        transactions=stored.transactions.height,
        metrics=stored.metrics.height,
        outcomes=stored.outcomes.height,
        violations=stored.violations.height,
        failed_items=len(stored.items),
    )
    if not run.scope.is_whole:
        keys = uuid_array(stored.transactions["event_key"].to_list())
        run.report.repeats += check_keys(
            cursor, names=run.snapshot.names, report=run.report, keys=keys
        )
    return stored
