"""The archived bytes of one event, and what its own bundle says of them when asked again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl

from ingestion import archive
from ingestion.bundles import CompiledBundle, load_bundle
from ingestion.evaluate import Outcome, evaluate
from ingestion.models import Batch
from ingestion.sources.base import MessageBatch
from payflow.lib.errors import BundleMissing


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedRow:
    """One part as it was archived: card numbers are masked, all else is as received."""

    file: str
    row: int
    #: its number within its message
    part: int
    #: of the whole message
    body: bytes
    #: as the producer wrote them; None: the message had none
    key: bytes | None
    headers: bytes | None
    #: where the broker holds or held the message
    offset: str
    broker_time: datetime
    received_at: datetime
    verdict: str
    #: constraints that it broke, "" when accepted
    reasons: str
    #: what was masked, "" when nothing was
    masked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What evaluate() says of the archived part now."""

    #: of this part alone
    outcome: Outcome
    bundle: CompiledBundle
    #: that its message has
    parts: int

    @property
    def is_accepted(self) -> bool:
        return self.outcome.accepted.height == 1

    @property
    def schema_version(self) -> str:
        """Name and number of the schema that took it; "" when none did."""
        taken = [*self.outcome.accepted["route"], *(part.route for part in self.outcome.failed)]
        return self.bundle.version_of(taken[0]) if taken else ""

    @property
    def is_late(self) -> bool:
        return self.is_accepted and bool(self.outcome.accepted["late"].item())


def read_archived(batch: Batch, row: int) -> ArchivedRow:
    """Read one row of a batch's object. Raises StorageError."""
    values: dict[str, Any] = archive.read_row(batch.file, row)
    return ArchivedRow(
        file=batch.file,
        row=row,
        part=values["part"],
        body=values["body"],
        key=values["key"],
        headers=values["headers"],
        offset=values["offset"],
        broker_time=values["broker_time"],
        received_at=values["received_at"],
        verdict=values["verdict"],
        reasons=values["reasons"] or "",
        masked=values["scrubbed"] or "",
    )


def evaluate_again(archived: ArchivedRow, batch: Batch) -> Again | str:
    """Evaluate the part under the bundle of its batch, or say why that cannot be done.

    The bytes are scrubbed already, and a verdict depends on no other message of the batch.
    """
    try:
        bundle = load_bundle(batch.bundle_id)
    except BundleMissing as exc:
        return str(exc)
    messages = MessageBatch(
        source=batch.partition.source.name,
        partition=batch.partition.name,
        broker_type=batch.partition.source.broker_type,
        batch_id="passport",
        position=batch.start_position,
        next_position=batch.next_position,
        sequence_number=batch.sequence_number,
        received_at=archived.received_at,
        offsets=[archived.offset],
        times_us=[_microseconds(archived.broker_time)],
        bodies=[archived.body],
        keys=[archived.key],
        headers=[archived.headers],
    )
    outcome = evaluate(messages, bundle)
    return Again(outcome=_alone(outcome, archived.part), bundle=bundle, parts=outcome.parts)


def _alone(outcome: Outcome, part: int) -> Outcome:
    """What was said of one part of a single message; of none if it has not so many."""
    if outcome.parts == 1 and part == 0:
        return outcome
    return replace(
        outcome,
        parts=1,
        sizes=None,
        accepted=_only(outcome.accepted, part),
        findings=_only(outcome.findings, part),
        failed=[replace(one, ordinal=0) for one in outcome.failed if one.ordinal == part],
        ignored=[0] if part in outcome.ignored else [],
    )


def _only(rows: pl.DataFrame, part: int) -> pl.DataFrame:
    zero = pl.lit(0, dtype=rows.schema["ordinal"])
    return rows.filter(pl.col("ordinal") == part).with_columns(ordinal=zero)


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond
