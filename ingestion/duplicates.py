"""Which parts of a batch are stored already: looked up and decided inside the transaction.

An event counts once. The same key with the same payload, or under another schema version, is a
duplicate; the same key with another payload is a conflict and becomes a failed item. Within a
batch the first position wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import polars as pl

from ingestion.evaluate import FailedPart, Outcome
from ingestion.numbering import Numbering
from ingestion.parsing import Reason
from ingestion.parsing.reasons import problem
from ingestion.sources.base import MessageBatch
from payflow.lib.copy import uuid_array
from payflow.lib.event_id import first_id_at

# the sub-select hides the keys from the planner: it would weigh each of 10,000 against its
# statistics, and might choose to read the table
_KNOWN_KEYS = """
SELECT encode(uuid_send(event_key), 'hex'), id, payload_hash, batch
FROM normalized_transactions
WHERE event_key = ANY((SELECT %(keys)s::uuid[])::uuid[]) AND id >= %(low)s
"""
_SCHEMA_VERSIONS = """
SELECT b.id,
    (c.content #>> '{routes,0,schema,name}') || ' v' || (c.content #>> '{routes,0,schema,version}')
FROM batches b JOIN configuration_bundles c ON c.id = b.bundle_id
WHERE b.id = ANY(%(batches)s)
"""


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


def decide(
    cursor: Any, outcome: Outcome, *, low_id: int, numbering: Numbering, schema_version: str
) -> Decided:
    """Set aside the parts whose event is stored already, or stands earlier in the batch."""
    accepted = outcome.accepted
    refused = [_refused(part) for part in outcome.failed if part.stage == "store"]
    found = known_events(cursor, accepted, low_id=low_id)
    first = accepted["key_hex"].is_first_distinct()
    if not found and first.all():
        return Decided(kept=accepted, failed=outcome.failed, outcomes=refused, others={})
    fresh = first & ~accepted["key_hex"].is_in(list(found))
    again = accepted.filter(~fresh)
    winners = _winners(accepted.filter(first), again, numbering=numbering) | found
    other_versions = _other_versions(cursor, found.values(), schema_version=schema_version)
    outcomes, conflicts = refused, []
    for key, ordinal, part, payload_hash, transaction_id, correlation_id in again.select(
        "key_hex", "ordinal", "part", "payload_hash", "transaction_id", "correlation_id"
    ).iter_rows():
        other = winners[key]
        conflict = other.payload_hash != payload_hash and other.batch not in other_versions
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


def _winners(
    first: pl.DataFrame, again: pl.DataFrame, *, numbering: Numbering
) -> dict[str, KnownEvent]:
    """The first event of this batch under each key that comes again; batch 0 is this one."""
    rows = first.filter(first["key_hex"].is_in(again["key_hex"].implode()))
    return {
        key: KnownEvent(id=numbering.id_of(ordinal), payload_hash=payload_hash, batch=0)
        for key, ordinal, payload_hash in rows.select(
            "key_hex", "ordinal", "payload_hash"
        ).iter_rows()
    }


def _other_versions(
    cursor: Any, found: Iterable[KnownEvent], *, schema_version: str
) -> frozenset[int]:
    """Batches of stored events that were evaluated under another version of the schema."""
    batches = {event.batch for event in found}
    if not batches:
        return frozenset()
    versions = schema_versions(cursor, batches)
    return frozenset(batch for batch in batches if versions.get(batch) != schema_version)


def schema_versions(cursor: Any, batches: Iterable[int]) -> dict[int, str]:
    """Schema version that each of these batches was evaluated under."""
    cursor.execute(_SCHEMA_VERSIONS, {"batches": list(batches)})
    return dict(cursor.fetchall())


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
