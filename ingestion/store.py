"""What one commit writes to PostgreSQL, statement by statement; pipeline.py has the order.

The functions here run inside the caller's transaction and never open one. Rows go in by COPY, the
hot rows (groups, roll-ups) last and sorted by key, so that two commits cannot deadlock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

import polars as pl

from deadletter.store import MAX_FIELD, MAX_PAYLOAD, FailedRow
from ingestion.bundles import CompiledBundle
from ingestion.duplicates import StoreOutcome
from ingestion.evaluate import METRIC_PREFIX, METRIC_TYPES, FailedPart, Outcome
from ingestion.isolate import copy_events
from ingestion.leases import Lease
from ingestion.numbering import Numbering
from ingestion.parts import MessageParts
from ingestion.sources.base import MessageBatch
from metrics.buckets import bucket_of
from payflow.lib.copy import copy_frame, copy_text
from payflow.lib.errors import CheckpointMoved

# the fence: a drainer without the lease, or with another idea of the position, finds no row
_MOVE_CHECKPOINT = """
UPDATE partitions SET position = %(next)s, sequence_number = sequence_number + %(messages)s,
    broker_offset = %(broker_offset)s, committed_at = now(), attempts = 0, marked = false,
    leased_until = now() + %(lease_s)s * interval '1 s'
WHERE id = %(id)s AND lease_epoch = %(epoch)s AND position = %(position)s AND state = 'active'
"""
_MANIFEST = """
WITH file AS (
    INSERT INTO archive_files (path, sha256, size, rows, min_occurred_at, max_occurred_at,
        created_at)
    VALUES (%(file)s, %(sha256)s, %(size)s, %(parts)s, %(min)s, %(max)s, clock_timestamp()))
INSERT INTO batches (id, last_id, partition_id, bundle_id, epoch, start_position, next_position,
    sequence_number, messages, parts, accepted, failed, ignored, duplicates, late,
    min_occurred_at, max_occurred_at, file, received_at, committed_at, timings, rule_failures)
VALUES (%(id)s, %(last_id)s, %(partition)s, %(bundle)s, %(epoch)s, %(position)s, %(next)s,
    %(sequence)s, %(messages)s, %(parts)s, %(accepted)s, %(failed)s, %(ignored)s, %(duplicates)s,
    %(late)s, %(min)s, %(max)s, %(file)s, %(received_at)s, clock_timestamp(), %(timings)s,
    %(rule_failures)s)
RETURNING 1000 * extract(epoch FROM committed_at - received_at)
"""
# one row per source and five minutes of arrival; every commit of a source adds to it
_ADD_TO_WINDOW = """
WITH latency AS (
    INSERT INTO arrival_latency AS cell (window_start, source_id, bucket, parts)
    VALUES (date_bin('5 minutes', %(received_at)s, 'epoch'), %(source)s, %(bucket)s, %(parts)s)
    ON CONFLICT (window_start, source_id, bucket)
    DO UPDATE SET parts = cell.parts + EXCLUDED.parts)
INSERT INTO ingestion_5m AS cell (window_start, source_id, batches, messages, parts, accepted,
    failed, ignored, duplicates, late)
VALUES (date_bin('5 minutes', %(received_at)s, 'epoch'), %(source)s, 1, %(messages)s, %(parts)s,
    %(accepted)s, %(failed)s, %(ignored)s, %(duplicates)s, %(late)s)
ON CONFLICT (window_start, source_id) DO UPDATE SET
    batches = cell.batches + EXCLUDED.batches, messages = cell.messages + EXCLUDED.messages,
    parts = cell.parts + EXCLUDED.parts, accepted = cell.accepted + EXCLUDED.accepted,
    failed = cell.failed + EXCLUDED.failed, ignored = cell.ignored + EXCLUDED.ignored,
    duplicates = cell.duplicates + EXCLUDED.duplicates, late = cell.late + EXCLUDED.late
"""
#: columns of normalized_transactions that come from the event as they are
_EVENT_COLUMNS: Final = (
    "ordinal", "part", "payload_hash", "latency_us", "amount", "currency",
    "payment_method", "payment_status", "channel", "processor", "transaction_type",
    "transaction_id", "merchant_id", "merchant_category", "customer_id", "country", "error_code",
    "correlation_id", "metadata", "occurred_at",
)  # fmt: skip

METRIC_COLUMNS: Final = ("event_id", "metric_type", "metric_data")


def move_checkpoint(cursor: Any, batch: MessageBatch, *, lease: Lease, lease_s: int) -> None:
    """Move the partition's checkpoint behind the batch. Raises CheckpointMoved: write nothing."""
    cursor.execute(
        _MOVE_CHECKPOINT,
        {
            "id": lease.partition_id,
            "epoch": lease.epoch,
            "position": batch.position,
            "next": batch.next_position,
            "broker_offset": batch.broker_offset,
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
    copy_events(cursor, "normalized_transactions", rows.columns, copy_text(rows), kept=kept)
    copy_events(cursor, "dynamic_metrics", METRIC_COLUMNS, metric_lines(kept), kept=kept)


def metric_lines(kept: pl.DataFrame) -> bytes:
    """COPY text of METRIC_COLUMNS, one line per event and metric type that has data.

    Written in one expression, for these are most of the lines of a commit. Nothing needs COPY's
    escapes: ids and types have none of its characters, metric_data is names and numbers.
    """
    event = pl.col("id").cast(pl.String)
    lines = [
        pl.concat_str(event, pl.lit(f"\t{kind}\t"), METRIC_PREFIX + kind, pl.lit("\n"))
        for kind in sorted(METRIC_TYPES)
    ]
    text = kept.select(pl.concat_str(lines, ignore_nulls=True).str.join(""))
    return str(text.item() or "").encode()


def metric_rows(kept: pl.DataFrame) -> pl.DataFrame:
    """The same as a table: what verify compares with the rows that are stored."""
    schema = {"event_id": pl.Int64(), "metric_type": pl.String(), "metric_data": pl.String()}
    data = metric_lines(kept)
    if not data:
        return pl.DataFrame(schema=schema)
    return pl.read_csv(data, has_header=False, separator="\t", quote_char=None, schema=schema)


def failed_rows(
    batch: MessageBatch,
    failed: Sequence[FailedPart],
    *,
    outcome: Outcome,
    bundle: CompiledBundle,
    numbering: Numbering,
    others: Mapping[int, int],
) -> list[FailedRow]:
    """Failed parts with their bytes and coordinates."""
    first_id = numbering.id_of(0)
    bodies = _Bodies(batch, outcome=outcome, bundle=bundle)
    return [
        FailedRow(
            id=numbering.id_of(part.ordinal),
            batch=first_id,
            ordinal=part.ordinal,
            part=part.part,
            position=batch.offsets[part.row],
            schema_name=bundle.name_of(part.route),
            stage=part.stage,
            reason=part.errors[0].constraint,
            field=part.errors[0].field[:MAX_FIELD],
            errors=part.errors,
            payload=bodies.of(part),
            other_id=others.get(part.ordinal),
            transaction_id=part.transaction_id,
            correlation_id=part.correlation_id
            or f"{batch.source}/{batch.partition}/{batch.offsets[part.row]}",
        )
        for part in failed
    ]


class _Bodies:
    """What is kept with failed parts: the message, or of several parts the one that failed."""

    def __init__(self, batch: MessageBatch, *, outcome: Outcome, bundle: CompiledBundle) -> None:
        self._bodies, self._sizes, self._bundle = batch.bodies, outcome.sizes, bundle
        #: by row: parts of one message often fail together
        self._cut: dict[int, MessageParts] = {}

    def of(self, part: FailedPart) -> bytes | None:
        body: bytes | None = self._bodies[part.row]
        if self._sizes is not None and self._sizes[part.row] > 1:
            body = self._parts(part).body(part.part)
        return None if body is None or len(body) > MAX_PAYLOAD else body

    def _parts(self, part: FailedPart) -> MessageParts:
        if part.row not in self._cut:
            path = self._bundle.routes[part.route].schema.explode
            self._cut[part.row] = MessageParts(self._bodies[part.row], path=[*map(str, path)])
        return self._cut[part.row]


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


def write_manifest(cursor: Any, values: dict[str, Any]) -> Decimal:
    """Insert the batch and its archive file; from commit on, this object counts.

    Returns the milliseconds from arrival to now.
    """
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
    taken: Decimal = cursor.fetchone()[0]
    return taken


def add_to_window(
    cursor: Any, counts: Mapping[str, int], *, source_id: int, received_at: datetime, took: Decimal
) -> None:
    """Add the batch's counts to its source's five minutes of arrival; `took` in milliseconds."""
    cursor.execute(
        _ADD_TO_WINDOW,
        {
            **counts,
            "source": source_id,
            "received_at": received_at,
            "bucket": bucket_of(max(took, Decimal(0))),
        },
    )


def found_in(
    kept: pl.DataFrame, findings: pl.DataFrame, *, on: Literal["id", "ordinal"] = "ordinal"
) -> pl.DataFrame:
    """The findings in the events that are stored, with what a violation says of its event."""
    events = kept.select(
        *("id", "key_hex", "occurred_at", "transaction_id", "customer_id", "merchant_id"),
        *(["ordinal"] if on == "ordinal" else []),
    )
    return findings.join(
        events.with_columns(pl.col(on).cast(pl.Int64)), on=on, how="inner", maintain_order="left"
    )
