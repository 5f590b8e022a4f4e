"""Event ids: bigint = tick (41 bits) | slot (10 bits) | number within the tick (12 bits).

A tick is a millisecond since 2020-01-01 UTC by the database's clock. A slot belongs to one live
drainer. Ids order by arrival and an hour of arrival is one range of ids.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(2020, 1, 1, tzinfo=UTC)
EPOCH_MS: Final = int(EPOCH.timestamp() * 1000)
SLOTS: Final = 1024
IDS_PER_TICK: Final = 4096
_TICK_SHIFT: Final = 22
_SLOT_SHIFT: Final = 12


def ticks_for(parts: int) -> int:
    """Ticks that a batch of `parts` parts takes; an empty one takes one for its manifest row."""
    return max(1, -(-parts // IDS_PER_TICK))


def event_id(*, first_tick: int, slot: int, ordinal: int) -> int:
    """The id of row `ordinal` of a batch that begins at `first_tick`."""
    tick, number = first_tick + ordinal // IDS_PER_TICK, ordinal % IDS_PER_TICK
    return tick << _TICK_SHIFT | slot << _SLOT_SHIFT | number


def ordinal_of(identifier: int, *, first_id: int) -> int:
    """The row within its batch that an id belongs to."""
    ticks = (identifier >> _TICK_SHIFT) - (first_id >> _TICK_SHIFT)
    return ticks * IDS_PER_TICK + (identifier & (IDS_PER_TICK - 1))


def first_id_at(moment: datetime) -> int:
    """The lowest id that an arrival at `moment` can have."""
    return ((moment - EPOCH) // timedelta(milliseconds=1)) << _TICK_SHIFT


def arrival_of(identifier: int) -> datetime:
    """When the batch of this id was numbered, to the millisecond."""
    return EPOCH + timedelta(milliseconds=identifier >> _TICK_SHIFT)
