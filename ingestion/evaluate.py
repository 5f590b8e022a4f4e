"""evaluate(messages, bundle): the one function that decides what an event means. Pure.

No ORM, clock, network or settings: what it needs of time is in the messages. Live ingestion,
retry, dry run and verification all call it, so what it says here is what it says everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import polars as pl
import xxhash

from ingestion.bundles import CompiledBundle
from ingestion.parsing import Parsed, Reason, ValidationError
from ingestion.sources.base import MessageBatch
from metrics.extractors import MetricType
from metrics.isolation import RuleFailure, merge_failures

WINDOW: Final = timedelta(minutes=5)
#: an event is late when its window had ended this long before the broker had it
LATE_AFTER: Final = timedelta(minutes=5)
#: a producer's clock may run ahead by so much; beyond it the event fails
FUTURE_TOLERANCE: Final = timedelta(minutes=5)
#: prefix of the columns that hold the metric data of one type
METRIC_PREFIX: Final = "metric:"
#: the bytes could not be read at all; every other reason is about what they say
DECODE_REASONS: Final = frozenset(
    {
        Reason.TOO_LARGE,
        Reason.EMPTY,
        Reason.INVALID_UTF8,
        Reason.BOM,
        Reason.INVALID_JSON,
        Reason.TOO_DEEP,
        Reason.NON_FINITE,
        Reason.NOT_AN_OBJECT,
        Reason.DUPLICATE_KEY,
    }
)
METRIC_TYPES: Final = tuple(kind.value for kind in MetricType)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedPart:
    """A message part that is refused; its bytes are the message's."""

    #: row of the batch
    ordinal: int
    part: int
    stage: str
    errors: tuple[ValidationError, ...]
    #: "" where the event does not say or could not be read
    transaction_id: str = ""
    correlation_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One verdict for every part of a batch."""

    parts: int
    #: accepted parts by ordinal: ordinal, part, late, key_hex (event_key as text), the columns of
    #: Parsed, "metric:<TYPE>", "rule:<name>" (metrics/windows.py)
    accepted: pl.DataFrame
    #: what compliance rules found in them: columns of metrics.compliance.FINDINGS
    findings: pl.DataFrame
    failed: list[FailedPart]
    #: ordinals that the configuration routes away
    ignored: list[int]
    rule_failures: Mapping[str, RuleFailure]


def evaluate(batch: MessageBatch, bundle: CompiledBundle) -> Outcome:
    """Judge every message of a scrubbed batch under one bundle.

    One message is one part for now, so the ordinal of a part is the index of its message.
    """
    parsed = bundle.schema.parse(batch.bodies, batch.headers)
    columns = _complete(parsed.columns, batch)
    columns, ahead = _split_future(columns)
    metrics = bundle.metrics.extract(columns)
    findings = bundle.compliance.find(columns)
    accepted = pl.concat(
        [
            columns.drop("broker_time"),
            metrics.data.rename(lambda name: METRIC_PREFIX + name),
            metrics.window_values,
        ],
        how="horizontal",
    )
    failed = [_refused(place, errors, parsed) for place, errors in parsed.failures.items()]
    return Outcome(
        parts=len(batch),
        accepted=accepted,
        findings=findings.rows,
        failed=sorted(failed + ahead, key=lambda part: part.ordinal),
        ignored=[row for row, _ in parsed.ignored],
        rule_failures=merge_failures(metrics.errors, findings.errors),
    )


def _refused(
    place: tuple[int, int], errors: tuple[ValidationError, ...], parsed: Parsed
) -> FailedPart:
    names = parsed.names.get(place)
    return FailedPart(
        ordinal=place[0],
        part=place[1],
        stage=stage_of(errors[0].constraint),
        errors=errors,
        transaction_id=names.transaction_id if names else "",
        correlation_id=names.correlation_id if names else "",
    )


def stage_of(reason: Reason) -> str:
    """Whether the bytes could not be read or their content was refused."""
    return "decode" if reason in DECODE_REASONS else "validate"


def _complete(columns: pl.DataFrame, batch: MessageBatch) -> pl.DataFrame:
    """Add what the event itself does not say: its coordinates' names, broker time, lateness."""
    rows = columns["row"]
    prefix = f"{batch.source}/{batch.partition}/"
    offsets = pl.Series("offset", batch.offsets, dtype=pl.String).gather(rows)
    times = pl.Series("broker_time", batch.times_us, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
    coordinates = prefix + offsets
    columns = columns.rename({"row": "ordinal"}).with_columns(
        times.gather(rows),
        correlation_id=pl.when(pl.col("correlation_id") == "")
        .then(coordinates)
        .otherwise(pl.col("correlation_id")),
    )
    if columns["event_key"].null_count():
        columns = _identify_by_position(columns, coordinates)
    window_end = pl.col("occurred_at").dt.truncate("5m") + WINDOW
    return columns.with_columns(
        key_hex=pl.col("event_key").bin.encode("hex"),
        late=window_end + LATE_AFTER < pl.col("broker_time"),
    )


def _identify_by_position(columns: pl.DataFrame, coordinates: pl.Series) -> pl.DataFrame:
    """`identity: position`: the coordinates are the event's only identity."""
    digests = [xxhash.xxh3_128_digest(name.encode()) for name in coordinates]
    keys = pl.Series("event_key", digests, dtype=pl.Binary)
    return columns.with_columns(
        keys,
        transaction_id=pl.when(pl.col("transaction_id") == "")
        .then(coordinates)
        .otherwise(pl.col("transaction_id")),
    )


def _split_future(columns: pl.DataFrame) -> tuple[pl.DataFrame, list[FailedPart]]:
    """Refuse events that lie further ahead of the broker's time than clocks may differ."""
    ahead = columns["occurred_at"] > columns["broker_time"] + FUTURE_TOLERANCE
    if not ahead.any():
        return columns, []
    error = ValidationError(
        field="occurred_at",
        constraint=Reason.IN_THE_FUTURE,
        expected=f"at most {FUTURE_TOLERANCE.seconds // 60} minutes after the broker's time",
        actual="",
        message="",
    )
    late_rows = columns.filter(ahead).with_columns(
        by=(pl.col("occurred_at") - pl.col("broker_time")).dt.total_seconds()
    )
    failed = [
        FailedPart(
            ordinal=ordinal,
            part=0,
            stage="validate",
            errors=(_worded(error, actual=f"{by:,} seconds after it"),),
            transaction_id=transaction_id,
            correlation_id=correlation_id,
        )
        for ordinal, by, transaction_id, correlation_id in late_rows.select(
            "ordinal", "by", "transaction_id", "correlation_id"
        ).iter_rows()
    ]
    return columns.filter(~ahead), failed


def _worded(error: ValidationError, *, actual: str) -> ValidationError:
    message = f"{error.field}: expected {error.expected}, found {actual}"
    return replace(error, actual=actual, message=message)


def verdicts(outcome: Outcome) -> Sequence[str]:
    """The verdict of every ordinal: accepted, failed or ignored."""
    result = ["accepted"] * outcome.parts
    for part in outcome.failed:
        result[part.ordinal] = "failed"
    for ordinal in outcome.ignored:
        result[ordinal] = "ignored"
    return result
