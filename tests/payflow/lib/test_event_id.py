"""Event ids order by arrival, never repeat within a batch, and lead back to their row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from payflow.lib.event_id import (
    EPOCH,
    IDS_PER_TICK,
    arrival_of,
    event_id,
    first_id_at,
    ordinal_of,
    ticks_for,
)

TICKS = st.integers(0, 2**41 - 5)
SLOTS = st.integers(0, 1023)
ORDINALS = st.integers(0, 3 * IDS_PER_TICK)


@given(TICKS, SLOTS, ORDINALS, ORDINALS)
def test_ids_of_a_batch_order_like_its_rows(tick: int, slot: int, one: int, other: int) -> None:
    """Over tick borders too; each id fits a bigint and gives back its row."""
    first = event_id(first_tick=tick, slot=slot, ordinal=0)
    a, b = (event_id(first_tick=tick, slot=slot, ordinal=n) for n in (one, other))

    assert (a < b) == (one < other)
    assert 0 <= a < 2**63
    assert ordinal_of(a, first_id=first) == one


@given(TICKS, st.integers(1, 2**20), SLOTS, SLOTS)
def test_a_later_tick_has_a_higher_id_whatever_the_slot(
    tick: int, more: int, one: int, other: int
) -> None:
    """An hour of arrival is one range of ids."""
    earlier = event_id(first_tick=tick, slot=one, ordinal=IDS_PER_TICK - 1)
    later = event_id(first_tick=tick + more, slot=other, ordinal=0)

    assert earlier < later


def test_a_batch_takes_as_many_ticks_as_it_needs() -> None:
    """4,096 parts a millisecond; an empty batch still has an id for its manifest row."""
    assert [ticks_for(parts) for parts in (0, 1, 4096, 4097, 10_000)] == [1, 1, 1, 2, 3]


def test_an_id_says_when_its_batch_was_numbered() -> None:
    """To the millisecond, in UTC."""
    moment = datetime(2026, 11, 21, 14, 31, 52, 123_000, tzinfo=UTC)

    assert arrival_of(first_id_at(moment)) == moment
    assert arrival_of(first_id_at(moment) + 2**22 - 1) == moment
    assert first_id_at(EPOCH + timedelta(milliseconds=1)) == 2**22
