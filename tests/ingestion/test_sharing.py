"""How partitions are shared among drainers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from configuration.models import Source
from ingestion import leases, sharing
from ingestion.models import Drainer
from ingestion.sharing import Reach, Wanted, plan
from ingestion.source_models import SourceConnection

#: partitions by source, and who does not reach it
WORLDS = st.tuples(
    st.dictionaries(st.integers(0, 5), st.integers(1, 9), min_size=1),
    st.integers(1, 5),
    st.sets(st.tuples(st.integers(0, 5), st.integers(0, 4))),
    st.randoms(use_true_random=False),
)


class World:
    """Drainers that make their plans one after the other, as their clocks happen to go."""

    def __init__(self, sizes: Mapping[int, int], drainers: int, cut: set[tuple[int, int]]) -> None:
        self.drainers = [f"d{number}" for number in range(drainers)]
        cut_off = {(source, f"d{number}") for source, number in cut}
        self.reach = {}
        for source in sizes:
            takers = {name for name in self.drainers if (source, name) not in cut_off}
            self.reach[source] = Reach(takers or {"d0"}, set(self.drainers) - (takers or {"d0"}))
        self.sources = [source for source, size in sizes.items() for _ in range(size)]
        self.holders = dict.fromkeys(range(len(self.sources)), "")

    def plan(self) -> dict[int, str]:
        return plan(
            [
                Wanted(number, source, str(number), 1, self.holders[number])
                for number, source in enumerate(self.sources)
            ],
            self.reach,
        )

    def settle(self, rng: random.Random) -> int:
        """Let each follow its plan, in any order, until nobody moves; returns the rounds."""
        for rounds in range(20):
            before = dict(self.holders)
            for name in rng.sample(self.drainers, len(self.drainers)):
                planned = self.plan()
                for partition, holder in self.holders.items():
                    if holder == name and planned[partition] != name:
                        self.holders[partition] = ""
                    elif not holder and planned[partition] == name:
                        self.holders[partition] = name
            if self.holders == before:
                return rounds
        raise AssertionError("partitions move for ever")

    def counts(self, source: int) -> list[int]:
        """How many partitions of it each drainer holds that reaches it."""
        held = Counter(self.holders[n] for n, of in enumerate(self.sources) if of == source)
        return [held[name] for name in self.reach[source].takers]


@given(WORLDS)
def test_everything_is_held_evenly_whatever_was_before(made):
    """By drainers that reach it; of each source nobody has two more than another; in a few rounds,
    and then nothing moves any more."""
    sizes, drainers, cut, rng = made
    world = World(sizes, drainers, cut)
    for partition in world.holders:
        world.holders[partition] = rng.choice(["", *world.drainers])

    rounds = world.settle(rng)

    assert rounds <= 4
    for number, source in enumerate(world.sources):
        assert world.holders[number] in world.reach[source].takers
    for source in sizes:
        counts = world.counts(source)
        assert max(counts) - min(counts) <= 1
    assert world.plan() == world.holders


@given(WORLDS)
def test_where_all_reach_everything_the_totals_are_even_too(made):
    """No drainer is left with the odd partition of every source."""
    sizes, drainers, _, rng = made
    world = World(sizes, drainers, set())

    world.settle(rng)

    totals = Counter(world.holders.values())
    counts = [totals[name] for name in world.drainers]
    assert max(counts) - min(counts) <= 1


@given(WORLDS)
def test_one_more_drainer_moves_only_what_it_gets(made):
    """The others keep what they hold: a partition that moves costs a moment."""
    sizes, drainers, _, rng = made
    world = World(sizes, drainers, set())
    world.settle(rng)
    before = dict(world.holders)

    world.drainers.append("new")
    for reach in world.reach.values():
        reach.takers.add("new")
    world.settle(rng)

    moved = {number for number, name in world.holders.items() if name != before[number]}
    to_others = [number for number in moved if world.holders[number] != "new"]
    assert len(to_others) <= len(sizes)  # odd ones that even out the totals


def test_a_partition_that_nobody_reaches_stays_where_it_is():
    """All of its drainers will be back at once."""
    rows = [Wanted(1, 7, "0", 3, "a"), Wanted(2, 7, "1", 3, ""), Wanted(3, 7, "2", 3, "gone")]

    assert plan(rows, {}) == {1: "a", 3: "gone"}
    assert plan(rows, {7: Reach(set(), set())}) == {1: "a", 3: "gone"}


# --- who reaches what -----------------------------------------------------------------------------


@pytest.fixture
def source(ready: None) -> int:
    return Source.objects.get(name="demo").pk


def connection_of(name: str, source: int, *, connected: bool, seconds: float) -> None:
    since = timezone.now() - timedelta(seconds=seconds)
    SourceConnection.objects.create(
        source_id=source,
        owner=name,
        connected_since=since if connected else None,
        failing_since=None if connected else since,
        seen_at=timezone.now(),
    )


def drainers(*names: str, scope: Iterable[str] | None = None) -> None:
    for name in names:
        leases.take_slot(name, scope=None if scope is None else list(scope))


def reach_of(source: int, *, here: bool = False, scope: list[str] | None = None) -> Reach:
    found = sharing.read_reach("me", here={source} if here else set(), scope=scope)
    return found.get(source, Reach())


def test_who_is_connected_takes(source: int):
    """Whoever asks knows about itself what its row may not say yet."""
    drainers("me", "other", "fresh", "failing")
    connection_of("me", source, connected=True, seconds=50)
    connection_of("other", source, connected=True, seconds=1)
    connection_of("failing", source, connected=False, seconds=2)

    assert reach_of(source) == Reach({"other"}, set())
    assert reach_of(source, here=True) == Reach({"me", "other"}, set())


def test_who_has_long_failed_leaves_when_another_has_long_not(source: int):
    """A broker that was away for all comes back to all."""
    drainers("lost", "lucky")
    connection_of("lost", source, connected=False, seconds=60)
    connection_of("lucky", source, connected=True, seconds=1)
    assert reach_of(source) == Reach({"lucky"}, set())

    before = timezone.now() - timedelta(seconds=sharing.APART_S + 1)
    SourceConnection.objects.filter(owner="lucky").update(connected_since=before)
    assert reach_of(source) == Reach({"lucky"}, {"lost"})


def test_who_does_not_live_any_more_is_nobody(source: int):
    """Its connection is swept a minute later."""
    drainers("gone")
    connection_of("gone", source, connected=True, seconds=60)
    Drainer.objects.update(seen_at=timezone.now() - timedelta(seconds=30))

    assert reach_of(source) == Reach()


def test_partitions_go_to_those_only_who_may_read_all_of_the_scope(source: int):
    """Or partitions would wait for a drainer that reads another source, for a file, say."""
    drainers("all")
    drainers("cards", scope=["cards"])
    drainers("both", scope=["wallets", "cards"])
    drainers("one", scope=["cards/0"])
    for name in ("all", "cards", "both", "one"):
        connection_of(name, source, connected=True, seconds=1)

    assert reach_of(source).takers == {"all"}
    assert reach_of(source, scope=["cards", "wallets"]).takers == {"all", "both"}
    assert reach_of(source, scope=["cards"]).takers == {"all", "cards", "both"}


def test_a_source_is_left_to_one_that_reads_nothing_else_too(source: int):
    """It gets nothing by the plan of the others, and takes by its own what they leave."""
    drainers("lost")
    drainers("helper", scope=["demo"])
    connection_of("lost", source, connected=False, seconds=60)
    connection_of("helper", source, connected=True, seconds=60)

    assert reach_of(source) == Reach(set(), {"lost"})
    assert reach_of(source, scope=["demo"]) == Reach({"helper"}, {"lost"})
