"""Everything that one commit writes to PostgreSQL, statement by statement; pipeline.py has the order.

The functions here run inside the caller's transaction and never open one. Rows go in by COPY, the
hot rows (groups, roll-ups) last and sorted by key, so that two commits cannot deadlock.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl
from django.db import DatabaseError

from deadletter.store import FailedRow
from ingestion.evaluate import METRIC_PREFIX, METRIC_TYPES, FailedPart, Outcome
from ingestion.isolate import refused_row
from ingestion.leases import Lease, Slot
from ingestion.leaves import WRITE_LEAF
from ingestion.parsing import Reason
from ingestion.parsing.reasons import problem
from ingestion.sources.base import MessageBatch
from payflow.lib.copy import copy_frame, uuid_array
from payflow.lib.errors import CheckpointMoved, LeafEnded, LeafMissing
from payflow.lib.event_id import EPOCH_MS, IDS_PER_TICK, event_id, first_id_at, ticks_for

_LOCK_LEAF = "SELECT pg_advisory_xact_lock_shared(%(key)s)"
# only while the slot is still ours: a drainer that slept too long numbers nothing
_NUMBER = """
WITH leaf AS (SELECT lower_id >> 22 AS lower_tick, upper_id >> 22 AS upper_tick FROM write_leaf),
numbered AS (
    UPDATE drainers SET last_tick = greatest(
        floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint - %(epoch_ms)s,
        last_tick + 1, (SELECT lower_tick FROM leaf)) + %(ticks)s - 1
    WHERE slot = %(slot)s AND owner = %(owner)s
    RETURNING last_tick)
SELECT last_tick - %(ticks)s + 1, last_tick >= upper_tick FROM numbered, leaf
"""
_KNOWN_KEYS = """
SELECT encode(uuid_send(event_key), 'hex'), id, payload_hash, batch
FROM normalized_transactions
WHERE event_key = ANY(%(keys)s::uuid[]) AND id >= %(low)s
"""
_SCHEMA_VERSIONS = """
SELECT b.id, (c.content #>> '{routes,0,schema,version}')::int
FROM batches b JOIN configuration_bundles c ON c.id = b.bundle_id
WHERE b.id = ANY(%(batches)s)
"""
# the fence: a drainer without the lease, or with another idea of the position, finds no row
_MOVE_CHECKPOINT = """
UPDATE partitions SET position = %(next)s, sequence_number = sequence_number + %(messages)s,
    leased_until = now() + %(lease_s)s * interval '1 s', attempts = 0, marked = false, committed_at = now()
WHERE id = %(id)s AND lease_epoch = %(epoch)s AND position = %(position)s AND state = 'active'
"""
_MANIFEST = """
WITH file AS (
    INSERT INTO archive_files (path, sha256, size, rows, min_occurred_at, max_occurred_at, created_at)
    VALUES (%(file)s, %(sha256)s, %(size)s, %(parts)s, %(min)s, %(max)s, clock_timestamp()))
INSERT INTO batches (id, last_id, partition_id, bundle_id, epoch, start_position, next_position,
    sequence_number, messages, parts, accepted, failed, ignored, duplicates, late,
    min_occurred_at, max_occurred_at, file, received_at, committed_at, timings, rule_failures)
VALUES (%(id)s, %(last_id)s, %(partition)s, %(bundle)s, %(epoch)s, %(position)s, %(next)s,
    %(sequence)s, %(messages)s, %(parts)s, %(accepted)s, %(failed)s, %(ignored)s, %(duplicates)s,
    %(late)s, %(min)s, %(max)s, %(file)s, %(received_at)s, clock_timestamp(), %(timings)s,
    %(rule_failures)s)
"""
#: columns of normalized_transactions that come from the event as they are
_EVENT_COLUMNS: Final = (
    "ordinal", "part", "payload_hash", "latency_us", "amount", "currency",
    "payment_method", "payment_status", "channel", "processor", "transaction_type",
    "transaction_id", "merchant_id", "merchant_category", "customer_id", "country", "error_code",
    "correlation_id", "metadata", "occurred_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """The ids of one batch."""

    first_tick: int
    slot: int

    def id_of(self, ordinal: int) -> int:
        return event_id(first_tick=self.first_tick, slot=self.slot, ordinal=ordinal)

    def expression(self) -> pl.Expr:
        """The same for the column `ordinal`."""
        ordinal = pl.col("ordinal").cast(pl.Int64)
        tick = pl.lit(self.first_tick, pl.Int64) + ordinal // IDS_PER_TICK
        return (tick * 2**22 + self.slot * 2**12 + ordinal % IDS_PER_TICK).alias("id")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownEvent:
    """A stored event that has one of the batch's keys."""

    id: int
    payload_hash: int
    batch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOutcome:
    """A part that only the transaction could decide."""

    ordinal: int
    part: int
    outcome: str
    other_id: int | None
    transaction_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A batch after the look-up: what is written, and what was there already."""

    kept: pl.DataFrame
    failed: list[FailedPart]
    outcomes: list[StoreOutcome]
    #: transaction that a conflicting part conflicts with, by ordinal
    others: dict[int, int]

    @property
    def duplicates(self) -> int:
        return sum(outcome.outcome == "duplicate" for outcome in self.outcomes)


def lock_leaf(cursor: Any) -> None:
    """Keep the current leaf from being left while this transaction runs."""
    cursor.execute(_LOCK_LEAF, {"key": WRITE_LEAF})


def number(cursor: Any, *, slot: Slot, parts: int) -> Numbering:
    """Take the ids of a batch.

    Raises CheckpointMoved when the slot is another's, LeafEnded when the ids would leave the leaf.
    """
    cursor.execute(
        _NUMBER,
        {
            "epoch_ms": EPOCH_MS,
            "ticks": ticks_for(parts),
            "slot": slot.number,
            "owner": slot.owner,
        },
    )
    row = cursor.fetchone()
    if row is None:
        cursor.execute("SELECT count(*) FROM write_leaf")
        if cursor.fetchone()[0] == 0:
            raise LeafMissing("no leaf was ever made: run `manage.py partitions ensure`")
        raise CheckpointMoved(f"slot {slot.number} was given to another drainer")
    first_tick, outside = row
    if outside:
        raise LeafEnded
    return Numbering(first_tick=first_tick, slot=slot.number)


def known_events(cursor: Any, accepted: pl.DataFrame, *, low_id: int) -> dict[str, KnownEvent]:
    """Stored events from `low_id` on that have a key of the batch, by key in hex."""
    if accepted.is_empty():
        return {}
    cursor.execute(_KNOWN_KEYS, {"keys": uuid_array(accepted["key_hex"].to_list()), "low": low_id})
    found: dict[str, KnownEvent] = {}
    for key, identifier, payload_hash, batch in cursor.fetchall():
        if key not in found or identifier < found[key].id:
            found[key] = KnownEvent(id=identifier, payload_hash=payload_hash, batch=batch)
    return found


def lowest_id(batch: MessageBatch, *, horizon: timedelta) -> int:
    """Where the look-up begins: files look back over everything, live messages over the horizon."""
    return 0 if batch.broker_type == "file" else first_id_at(batch.received_at - horizon)


def schema_versions(cursor: Any, batches: Sequence[int]) -> dict[int, int]:
    """Schema version that each of these batches was evaluated under."""
    cursor.execute(_SCHEMA_VERSIONS, {"batches": list(batches)})
    return dict(cursor.fetchall())


def decide(
    cursor: Any, outcome: Outcome, *, low_id: int, numbering: Numbering, schema_version: int
) -> Decided:
    """Set aside the parts whose event is stored already, or stands earlier in the batch."""
    accepted = outcome.accepted
    refused = [_refused(part) for part in outcome.failed if part.stage == "store"]
    found = known_events(cursor, accepted, low_id=low_id)
    first = accepted["key_hex"].is_first_distinct()
    if not found and first.all():
        return Decided(kept=accepted, failed=outcome.failed, outcomes=refused, others={})
    fresh = first & ~accepted["key_hex"].is_in(list(found))
    winners = {
        key: KnownEvent(id=numbering.id_of(ordinal), payload_hash=payload_hash, batch=0)
        for key, ordinal, payload_hash in accepted.filter(first)
        .select("key_hex", "ordinal", "payload_hash")
        .iter_rows()
    } | found
    stored = {event.batch for event in found.values()}
    same_version = {
        batch for batch, version in schema_versions(cursor, list(stored)).items()
        if version == schema_version
    } | {0} if stored else {0}  # fmt: skip
    outcomes, conflicts = refused, []
    for key, ordinal, part, payload_hash, transaction_id, correlation_id in (
        accepted.filter(~fresh)
        .select("key_hex", "ordinal", "part", "payload_hash", "transaction_id", "correlation_id")
        .iter_rows()
    ):
        other = winners[key]
        conflict = other.payload_hash != payload_hash and other.batch in same_version
        outcomes.append(
            StoreOutcome(
                ordinal=ordinal,
                part=part,
                outcome="conflict" if conflict else "duplicate",
                other_id=other.id,
                transaction_id=transaction_id,
            )
        )
        if conflict:
            conflicts.append(_conflicting(ordinal, part, transaction_id, correlation_id))
    return Decided(
        kept=accepted.filter(fresh),
        failed=outcome.failed + conflicts,
        outcomes=outcomes,
        others={o.ordinal: o.other_id for o in outcomes if o.other_id is not None},
    )


def _refused(part: FailedPart) -> StoreOutcome:
    return StoreOutcome(
        ordinal=part.ordinal,
        part=part.part,
        outcome="refused",
        other_id=None,
        transaction_id=part.transaction_id,
    )


def _conflicting(ordinal: int, part: int, transaction_id: str, correlation_id: str) -> FailedPart:
    error = problem(
        "", Reason.DUPLICATE_CONFLICT, "the payload of the event that has this identity", "another"
    )
    return FailedPart(
        ordinal=ordinal,
        part=part,
        stage="store",
        errors=(error,),
        transaction_id=transaction_id,
        correlation_id=correlation_id,
    )


def move_checkpoint(cursor: Any, batch: MessageBatch, *, lease: Lease, lease_s: int) -> None:
    """Move the partition's checkpoint behind the batch. Raises CheckpointMoved: write nothing."""
    cursor.execute(
        _MOVE_CHECKPOINT,
        {
            "id": lease.partition_id,
            "epoch": lease.epoch,
            "position": batch.position,
            "next": batch.next_position,
            "messages": len(batch),
            "lease_s": lease_s,
        },
    )
    if cursor.rowcount != 1:
        raise CheckpointMoved(
            f"partition {lease.partition} is not at {batch.position} under epoch {lease.epoch}"
        )


def write_transactions(
    cursor: Any, kept: pl.DataFrame, *, first_id: int, received_at: datetime
) -> None:
    """COPY the accepted events, then their metrics in (event, metric type) order.

    Raises RowRefused when the database refuses one row for its content.
    """
    rows = kept.select(
        "id",
        *_EVENT_COLUMNS,
        pl.col("key_hex").alias("event_key"),
        pl.lit(first_id, pl.Int64).alias("batch"),
        pl.lit(received_at.isoformat(), pl.String).alias("received_at"),
    )
    try:
        copy_frame(cursor, "normalized_transactions", rows)
    except DatabaseError as exc:
        refused = refused_row(exc, kept)
        if refused is None:
            raise
        raise refused from exc
    copy_frame(cursor, "dynamic_metrics", metric_rows(kept))


def metric_rows(kept: pl.DataFrame) -> pl.DataFrame:
    """One row per event and metric type that has data: event_id, metric_type, metric_data."""
    kinds = sorted(METRIC_TYPES)
    return (
        kept.select(
            pl.col("id").alias("event_id"),
            pl.concat_list([METRIC_PREFIX + kind for kind in kinds]).alias("metric_data"),
        )
        .explode("metric_data")
        .with_columns(pl.Series("metric_type", kinds * kept.height, dtype=pl.String))
        .drop_nulls("metric_data")
    )


def failed_rows(
    batch: MessageBatch,
    failed: Sequence[FailedPart],
    *,
    numbering: Numbering,
    others: dict[int, int],
) -> list[FailedRow]:
    """Failed parts with their bytes and coordinates."""
    first_id = numbering.id_of(0)
    return [
        FailedRow(
            id=numbering.id_of(part.ordinal),
            batch=first_id,
            ordinal=part.ordinal,
            part=part.part,
            position=batch.offsets[part.ordinal],
            stage=part.stage,
            reason=part.errors[0].constraint,
            field=part.errors[0].field,
            errors=part.errors,
            payload=batch.bodies[part.ordinal],
            other_id=others.get(part.ordinal),
            transaction_id=part.transaction_id,
            correlation_id=part.correlation_id
            or f"{batch.source}/{batch.partition}/{batch.offsets[part.ordinal]}",
        )
        for part in failed
    ]


def write_outcomes(cursor: Any, outcomes: Sequence[StoreOutcome], *, numbering: Numbering) -> None:
    """COPY the parts that the transaction itself decided."""
    if not outcomes:
        return
    frame = pl.DataFrame(
        {
            "ordinal": [o.ordinal for o in outcomes],
            "part": [o.part for o in outcomes],
            "outcome": [o.outcome for o in outcomes],
            "other_id": pl.Series([o.other_id for o in outcomes], dtype=pl.Int64),
            "transaction_id": [o.transaction_id for o in outcomes],
        }
    )
    copy_frame(
        cursor,
        "batch_outcomes",
        frame.with_columns(numbering.expression(), batch=pl.lit(numbering.id_of(0), pl.Int64)),
    )


def write_manifest(cursor: Any, values: dict[str, Any]) -> None:
    """Insert the batch and its archive file; from commit on, this object counts."""
    cursor.execute(
        _MANIFEST,
        values
        | {
            "timings": json.dumps(values["timings"]),
            "rule_failures": json.dumps(values["rule_failures"])
            if values["rule_failures"]
            else None,
        },
    )
