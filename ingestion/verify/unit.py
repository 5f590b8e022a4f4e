"""Batches that follow on each other, evaluated again in one go.

What evaluate() says of a message does not depend on the others beside it, so small batches of one
partition and bundle are put together: a live stream has thousands of them, each of a few messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import polars as pl

from ingestion import archive, store
from ingestion.bundles import CompiledBundle
from ingestion.evaluate import Outcome, evaluate
from ingestion.scrub import Scrubbed
from ingestion.sources.base import MessageBatch
from ingestion.verify.snapshot import Manifest, PartitionInfo
from payflow.lib.event_id import event_id

#: columns of an archive object that evaluate() decides
_JUDGED: Final = ("part", "verdict", "reasons", *archive.NORMALISED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Consecutive batches of one partition under one bundle, and what evaluate() says of them."""

    partition: PartitionInfo
    bundle: CompiledBundle
    manifests: Sequence[Manifest]
    #: the messages of all of them
    messages: MessageBatch
    #: verdicts; an `ordinal` is a row of `places` here, if there are as many parts as archived
    outcome: Outcome
    #: one row a part: id, batch, ordinal, received_at
    places: pl.DataFrame
    #: row of `places` by id
    rows: Mapping[int, int]
    #: rows of the archive objects
    archived: pl.DataFrame

    @property
    def has_other_parts(self) -> bool:
        """Whether the messages fall into other parts now than when they were archived."""
        sizes = self.outcome.sizes or [1] * self.outcome.parts
        parts = chain.from_iterable(map(range, sizes))
        return self.archived["part"].to_list() != list(parts)

    def accepted(self) -> pl.DataFrame:
        """Accepted events with their id, batch, ordinal and arrival."""
        events = self.outcome.accepted
        return events.with_columns(self.places[events["ordinal"]].get_columns())

    def found_in(self, kept: pl.DataFrame) -> pl.DataFrame:
        """What compliance rules found in these accepted events."""
        findings = self.outcome.findings
        ids = self.places["id"].gather(findings["ordinal"])
        return store.found_in(kept, findings.drop("ordinal").with_columns(ids), on="id")

    def judged(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """What evaluate() decides of an archive object's rows: as archived, and as it is now."""
        batch = self.messages
        clean = Scrubbed(bodies=batch.bodies, keys=batch.keys, headers=batch.headers, hits={})
        again = archive.archive_frame(batch, scrubbed=clean, outcome=self.outcome)
        id_ = self.places["id"]
        return self.archived.select(id_, *_JUDGED), again.select(id_, *_JUDGED)


def evaluate_again(
    batches: Sequence[tuple[Manifest, pl.DataFrame]],
    *,
    partition: PartitionInfo,
    bundle: CompiledBundle,
) -> Unit:
    """Evaluate the archived bytes of batches that follow on each other.

    They are scrubbed already, and scrubbing is idempotent.
    """
    manifests = [manifest for manifest, _ in batches]
    archived = pl.concat([frame for _, frame in batches])
    first = archived.filter(pl.col("part") == 0)
    keys, headers = first["key"], first["headers"]
    messages = MessageBatch(
        source=partition.source,
        partition=partition.name,
        broker_type=partition.broker_type,
        batch_id="verify",
        position=manifests[0].start_position,
        next_position=manifests[-1].next_position,
        sequence_number=manifests[0].sequence_number,
        received_at=manifests[0].received_at,
        offsets=first["offset"].to_list(),
        times_us=first["broker_time"].to_physical().to_list(),
        bodies=first["body"].fill_null(b"").to_list(),
        keys=None if keys.null_count() == len(keys) else keys.to_list(),
        headers=None if headers.null_count() == len(headers) else headers.to_list(),
    )
    places = _places(batches)
    return Unit(
        partition=partition,
        bundle=bundle,
        manifests=manifests,
        messages=messages,
        outcome=evaluate(messages, bundle),
        places=places,
        rows={id_: row for row, id_ in enumerate(places["id"])},
        archived=archived,
    )


def _places(batches: Sequence[tuple[Manifest, pl.DataFrame]]) -> pl.DataFrame:
    sizes = [(manifest, frame.height) for manifest, frame in batches]
    ids = (
        event_id(first_tick=manifest.id >> 22, slot=manifest.id >> 12 & 1023, ordinal=ordinal)
        for manifest, size in sizes
        for ordinal in range(size)
    )
    return pl.DataFrame(
        {
            "id": pl.Series(ids, dtype=pl.Int64),
            "batch": list(chain.from_iterable([m.id] * size for m, size in sizes)),
            "ordinal": list(chain.from_iterable(range(size) for _, size in sizes)),
            "received_at": list(chain.from_iterable([m.received_at] * size for m, size in sizes)),
        },
        schema={
            "id": pl.Int64,
            "batch": pl.Int64,
            "ordinal": pl.Int32,
            "received_at": pl.Datetime("us", "UTC"),
        },
    )
