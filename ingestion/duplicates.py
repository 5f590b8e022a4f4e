"""Which parts of a batch are stored already: looked up and decided inside the transaction.

An event counts once. The same key with the same payload, or under another schema version, is a
duplicate; the same key with another payload is a conflict and becomes a failed item. Within a
batch the first position wins.

Of a stored event only the bundle is known, not the route that it took. Its schema is the one that
has the scope of its key; where several schemas of a bundle share a scope it cannot be known, and
payloads are not compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import polars as pl

from ingestion.bundles import CompiledBundle
from ingestion.evaluate import FailedPart, Outcome
from ingestion.numbering import Numbering
from ingestion.parsing import Reason
from ingestion.parsing.reasons import problem
from ingestion.sources.base import MessageBatch, position_key
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
SELECT b.id, r #>> '{schema,name}', r #>> '{schema,version}',
    r #>> '{schema,document,identity,scope}'
FROM batches b JOIN configuration_bundles c ON c.id = b.bundle_id,
    jsonb_array_elements(c.content->'routes') AS r
WHERE b.id = ANY(%(batches)s)
"""
#: columns that tell what a part that comes again is
_READ: Final = (
    *("ordinal", "row", "part", "route", "key_hex", "payload_hash"),
    *("transaction_id", "correlation_id"),
)


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


def lowest_id(batch: MessageBatch, *, reread_until: str, horizon: timedelta) -> int:
    """Where the look-up begins: live messages look back over the horizon.

    Files look back over everything, and so do messages before the position `reread_until`, which
    somebody went back behind: they may have come long ago.
    """
    is_again = bool(reread_until) and position_key(batch.position) < position_key(reread_until)
    if is_again or batch.broker_type == "file":
        return 0
    return first_id_at(batch.received_at - horizon)


def decide(
    cursor: Any, outcome: Outcome, *, low_id: int, numbering: Numbering, bundle: CompiledBundle
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
    winners = _Winners(
        found=found,
        here=_first_here(accepted.filter(first), again),
        versions=schema_versions(cursor, {event.batch for event in found.values()}),
        numbering=numbering,
        bundle=bundle,
    )
    outcomes, conflicts = refused, []
    for row in again.select(_READ).iter_rows(named=True):
        other_id, is_conflict = winners.compare(row)
        outcomes.append(
            StoreOutcome(
                ordinal=row["ordinal"],
                part=row["part"],
                outcome="conflict" if is_conflict else "duplicate",
                other_id=other_id,
                transaction_id=row["transaction_id"],
            )
        )
        if is_conflict:
            conflicts.append(_conflicting(row))
    return Decided(
        kept=accepted.filter(fresh),
        failed=outcome.failed + conflicts,
        outcomes=outcomes,
        others={o.ordinal: o.other_id for o in outcomes if o.other_id is not None},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Winners:
    """The events that were there first, by key."""

    #: stored before this batch
    found: Mapping[str, KnownEvent]
    #: ordinal, payload hash and route of the first in this batch
    here: Mapping[str, tuple[int, int, int]]
    #: as `schema_versions` gives them
    versions: Mapping[int, Mapping[str, str]]
    numbering: Numbering
    bundle: CompiledBundle

    def compare(self, row: Mapping[str, Any]) -> tuple[int, bool]:
        """The id of the event that has the key of this one, and whether their payloads conflict."""
        version = self.bundle.version_of(row["route"])
        if (stored := self.found.get(row["key_hex"])) is not None:
            scope = self.bundle.routes[row["route"]].schema.identity.scope
            other = self.versions.get(stored.batch, {}).get(scope)
            is_other = stored.payload_hash != row["payload_hash"]
            return stored.id, is_other and other == version
        ordinal, payload_hash, route = self.here[row["key_hex"]]
        is_other = payload_hash != row["payload_hash"]
        return self.numbering.id_of(ordinal), is_other and self.bundle.version_of(route) == version


def _first_here(first: pl.DataFrame, again: pl.DataFrame) -> dict[str, tuple[int, int, int]]:
    """The first event of this batch under each key that comes again."""
    rows = first.filter(first["key_hex"].is_in(again["key_hex"].implode()))
    return {
        key: (ordinal, payload_hash, route)
        for key, ordinal, payload_hash, route in rows.select(
            "key_hex", "ordinal", "payload_hash", "route"
        ).iter_rows()
    }


def schema_versions(cursor: Any, batches: Iterable[int]) -> dict[int, dict[str, str]]:
    """Version of the schema with each scope that these batches were evaluated under.

    A scope that several versions share is left out. A batch that is gone is not there.
    """
    wanted = list(batches)
    if not wanted:
        return {}
    cursor.execute(_SCHEMA_VERSIONS, {"batches": wanted})
    found: dict[int, dict[str, set[str]]] = {}
    for batch, name, version, scope in cursor.fetchall():
        labels = found.setdefault(batch, {}).setdefault(scope or name, set())
        labels.add(f"{name} v{version}")
    return {
        batch: {scope: min(labels) for scope, labels in scopes.items() if len(labels) == 1}
        for batch, scopes in found.items()
    }


def _refused(part: FailedPart) -> StoreOutcome:
    return StoreOutcome(
        ordinal=part.ordinal,
        part=part.part,
        outcome="refused",
        other_id=None,
        transaction_id=part.transaction_id,
    )


def _conflicting(row: Mapping[str, Any]) -> FailedPart:
    error = problem(
        "", Reason.DUPLICATE_CONFLICT, "the payload of the event that has this identity", "another"
    )
    return FailedPart(
        ordinal=row["ordinal"],
        row=row["row"],
        part=row["part"],
        route=row["route"],
        stage="store",
        errors=(error,),
        transaction_id=row["transaction_id"],
        correlation_id=row["correlation_id"],
    )
