"""The path of every message, top to bottom. Read this file first.

    1. Read      a consumer hands over a batch of one leased partition (drain.py)
    2. Scrub     card numbers and CVV values go no further
    3. Evaluate  every message gets a verdict: accepted, failed (with reasons) or ignored
    4. Archive   the bytes and verdicts become one Parquet object under a name written once
    5. Commit    one PostgreSQL transaction writes all effects and moves the checkpoint
    6. Acknowledge  the broker is told, for its lag tools and for trimming

Steps 2 and 3 are pure. Step 4 is harmless until step 5 names its object. Step 5 happens whole or
not at all, and only for the owner of the lease at the expected position, so every effect happens
exactly once, whatever is killed and whenever.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl
import psycopg
from django.conf import settings
from django.db import DatabaseError, connection, transaction

from deadletter import store as deadletters
from ingestion import archive, store
from ingestion.archive import ArchivedFile
from ingestion.bundles import CompiledBundle
from ingestion.duplicates import Decided, decide, lowest_id
from ingestion.evaluate import Outcome, evaluate
from ingestion.isolate import RowRefused, without_row
from ingestion.leases import Lease, Slot, renew_idle
from ingestion.leaves import roll_over
from ingestion.numbering import Numbering, lock_leaf, number
from ingestion.pieces import split_by_parts
from ingestion.scrub import scrub
from ingestion.sources.base import MessageBatch
from metrics.compliance import violation_windows
from metrics.distinct import write_distinct
from metrics.rollups import roll_up, roll_up_cells
from metrics.sketches import distinct_cells
from metrics.store import write_buckets, write_cells, write_violations, write_windows
from metrics.windows import WINDOW_KEY
from payflow.lib.errors import DuplicateTransactionError, LeafEnded, StorageError
from payflow.lib.failpoints import fail_point
from payflow.lib.tracing import span

logger = logging.getLogger(__name__)

#: times that a commit begins again for a key that another commit stored meanwhile, or a new leaf
MAX_TRIES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What one commit wrote."""

    first_id: int
    messages: int
    parts: int
    accepted: int
    failed: int
    ignored: int
    duplicates: int
    late: int

    def log_context(self) -> dict[str, int]:
        return asdict(self)

    def __add__(self, other: Committed) -> Committed:
        """Both together, under the first id of the earlier one."""
        counts = {name: count + other.log_context()[name] for name, count in asdict(self).items()}
        return Committed(**counts | {"first_id": self.first_id})


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A batch on its way, with everything that was decided about it so far."""

    batch: MessageBatch
    lease: Lease
    slot: Slot
    bundle: CompiledBundle
    outcome: Outcome
    file: ArchivedFile
    #: milliseconds of the steps before the transaction
    timings: dict[str, float]


class Stopwatch:
    """Times the steps before the transaction."""

    def __init__(self) -> None:
        #: milliseconds by step
        self.timings: dict[str, float] = {}
        self._renewed_at = time.monotonic()

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        with span(step):
            yield
        self.timings[step] = round((time.perf_counter() - start) * 1000, 3)

    def keep(self, lease: Lease) -> None:
        """Renew a lease of which a third has gone: 8 MB of hostile bytes take seconds.

        Raises CheckpointMoved when it is another's by now.
        """
        if time.monotonic() - self._renewed_at >= settings.PAYFLOW["LEASE_S"] / 3:
            renew_idle(lease)
            self._renewed_at = time.monotonic()


def process(batch: MessageBatch, *, lease: Lease, slot: Slot, bundle: CompiledBundle) -> Committed:
    """Take one batch through steps 2 to 5, in pieces where it holds too many events.

    Raises Retryable or a database error for a bad world: of the piece nothing was written, or it
    cannot be known; the caller reads the checkpoint again before it goes on.
    """
    pieces = split_by_parts(batch, bundle)
    done = _process(next(pieces), lease=lease, slot=slot, bundle=bundle)
    for piece in pieces:
        done += _process(piece, lease=lease, slot=slot, bundle=bundle)
    return done


def _process(batch: MessageBatch, *, lease: Lease, slot: Slot, bundle: CompiledBundle) -> Committed:
    """One commit."""
    watch = Stopwatch()
    fail_point("after_read")
    with watch("scrub"):
        key = settings.PAYFLOW["SCRUB_KEY"].encode()
        scrubbed = scrub(batch.bodies, batch.keys, batch.headers, rules=bundle.scrub, key=key)
        batch = batch.with_bodies(scrubbed.bodies, keys=scrubbed.keys, headers=scrubbed.headers)
    fail_point("after_scrub")
    watch.keep(lease)
    with watch("evaluate"):
        outcome = evaluate(batch, bundle)
    fail_point("after_evaluate")
    watch.keep(lease)
    with watch("archive"):
        file = archive.write(batch, scrubbed=scrubbed, outcome=outcome, lease=lease, bundle=bundle)
    if watch.timings["archive"] > settings.PAYFLOW["LEASE_S"] * 500:
        raise StorageError("the archive took longer than half the lease")
    fail_point("after_archive")
    work = Work(
        batch=batch,
        lease=lease,
        slot=slot,
        bundle=bundle,
        outcome=outcome,
        file=file,
        timings=watch.timings,
    )
    with span("commit"):
        return _commit_until_decided(work)


def _commit_until_decided(work: Work) -> Committed:
    """Commit; begin again in a new leaf, or when a key was stored meanwhile: now it is seen."""
    for _ in range(MAX_TRIES):
        try:
            return _commit_without_refused(work)
        except LeafEnded:
            roll_over()
            time.sleep(0.02)
        except DatabaseError as exc:
            if not _is_key_stored_meanwhile(exc):
                raise
    raise DuplicateTransactionError(
        f"{MAX_TRIES} times in a row another commit stored a key of this batch, or the leaf ended"
    )


def _commit_without_refused(work: Work) -> Committed:
    """Commit; a row that the database refuses is failed, and the rest committed without it."""
    while True:
        try:
            return _commit(work)
        except RowRefused as refused:
            work = replace(work, outcome=without_row(work.outcome, refused))


def _commit(work: Work) -> Committed:
    """Step 5: the one transaction. Its order is part of the design (docs/architecture.md)."""
    batch, outcome = work.batch, work.outcome
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        # 5.1 hold the leaf, number the parts
        lock_leaf(cursor)
        numbering = number(cursor, slot=work.slot, parts=outcome.parts)
        first_id = numbering.id_of(0)
        fail_point("after_number")
        # 5.2 set aside what is stored already
        decided = decide(
            cursor,
            outcome,
            low_id=_low_id(work),
            numbering=numbering,
            bundle=work.bundle,
        )
        fail_point("after_lookup")
        # 5.3 the fence
        store.move_checkpoint(cursor, batch, lease=work.lease, lease_s=settings.PAYFLOW["LEASE_S"])
        fail_point("after_checkpoint")
        # 5.4 rows that are appended
        kept = decided.kept.with_columns(numbering.expression())
        store.write_transactions(cursor, kept, first_id=first_id, received_at=batch.received_at)
        fail_point("after_transactions")
        origin = _origin(work)
        failed = store.failed_rows(
            batch,
            decided.failed,
            outcome=outcome,
            bundle=work.bundle,
            numbering=numbering,
            others=decided.others,
        )
        deadletters.write_items(cursor, failed, origin=origin)
        fail_point("after_failed_items")
        committed = _count(work, kept=kept, decided=decided, first_id=first_id)
        store.write_outcomes(cursor, decided.outcomes, numbering=numbering)
        took = store.write_manifest(
            cursor, _manifest(work, kept=kept, committed=committed, numbering=numbering)
        )
        fail_point("after_manifest")
        # 5.5 hot rows, each kind sorted by key; added up first, so that they are locked briefly
        added = _add_up(work, kept)
        deadletters.add_to_groups(cursor, failed, origin=origin)
        fail_point("after_groups")
        _write_added(cursor, added, found_at=batch.received_at)
        store.add_to_window(
            cursor,
            committed.log_context(),
            source_id=work.lease.source_id,
            received_at=batch.received_at,
            took=took,
        )
        fail_point("before_commit")
    fail_point("after_commit")
    return committed


def _low_id(work: Work) -> int:
    horizon = timedelta(days=settings.PAYFLOW["HORIZON_DAYS"])
    return lowest_id(work.batch, reread_until=work.lease.reread_until, horizon=horizon)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Added:
    """What the stored events of a batch add to hot rows, each frame sorted by its key."""

    cells_5m: pl.DataFrame
    cells_1h: pl.DataFrame
    windows: pl.DataFrame
    buckets: pl.DataFrame
    distinct: pl.DataFrame
    findings: pl.DataFrame


def _write_added(cursor: Any, added: _Added, *, found_at: datetime) -> None:
    """In the order in which every commit locks these rows."""
    write_cells(cursor, "payment_metrics_5m", added.cells_5m)
    write_cells(cursor, "payment_metrics_1h", added.cells_1h)
    write_windows(cursor, added.windows)
    write_buckets(cursor, added.buckets)
    write_distinct(cursor, added.distinct)
    write_violations(cursor, added.findings, found_at=found_at)


def _add_up(work: Work, kept: pl.DataFrame) -> _Added:
    findings = store.found_in(kept, work.outcome.findings)
    cells_5m = roll_up(kept, window_s=300)
    cells = work.bundle.metrics.windows.cells(kept)
    return _Added(
        cells_5m=cells_5m,
        cells_1h=roll_up_cells(cells_5m, window_s=3600),
        windows=pl.concat([cells.windows, violation_windows(findings)]).sort(WINDOW_KEY),
        buckets=cells.buckets,
        distinct=distinct_cells(kept),
        findings=findings,
    )


def _count(work: Work, *, kept: pl.DataFrame, decided: Decided, first_id: int) -> Committed:
    return Committed(
        first_id=first_id,
        messages=len(work.batch),
        parts=work.outcome.parts,
        accepted=kept.height,
        failed=len(decided.failed),
        ignored=len(work.outcome.ignored),
        duplicates=decided.duplicates,
        late=int(kept["late"].sum()),
    )


def _manifest(
    work: Work, *, kept: pl.DataFrame, committed: Committed, numbering: Numbering
) -> dict[str, Any]:
    batch = work.batch
    return {
        "id": committed.first_id,
        "last_id": numbering.id_of(max(0, committed.parts - 1)),
        "partition": work.lease.partition_id,
        "bundle": work.bundle.id,
        "epoch": work.lease.epoch,
        "position": batch.position,
        "next": batch.next_position,
        "sequence": batch.sequence_number,
        "messages": committed.messages,
        "parts": committed.parts,
        "accepted": committed.accepted,
        "failed": committed.failed,
        "ignored": committed.ignored,
        "duplicates": committed.duplicates,
        "late": committed.late,
        "min": kept["occurred_at"].min(),
        "max": kept["occurred_at"].max(),
        "file": work.file.path,
        "sha256": work.file.sha256,
        "size": work.file.size,
        "received_at": batch.received_at,
        "timings": work.timings,
        "rule_failures": {
            name: {"count": failure.count, "error": failure.error_class}
            for name, failure in work.outcome.rule_failures.items()
        },
    }


def _origin(work: Work) -> deadletters.Origin:
    return deadletters.Origin(
        source_id=work.lease.source_id,
        partition_name=work.lease.partition,
        bundle_id=work.bundle.id,
        archive_file=work.file.path,
        failed_at=work.batch.received_at,
    )


def _is_key_stored_meanwhile(exc: DatabaseError) -> bool:
    cause = exc.__cause__
    return isinstance(cause, psycopg.errors.UniqueViolation) and (
        cause.diag.constraint_name or ""
    ).endswith("_event_key")
