"""Ids of a batch: taken inside the transaction, within the leaf that is being written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from ingestion.leases import Slot
from ingestion.leaves import WRITE_LEAF
from payflow.lib.errors import CheckpointMoved, LeafEnded, LeafMissing
from payflow.lib.event_id import EPOCH_MS, IDS_PER_TICK, event_id, ticks_for

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
