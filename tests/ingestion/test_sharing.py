"""How partitions are shared among drainers."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ingestion.sharing import Share

SOURCES = st.dictionaries(st.integers(0, 9), st.integers(1, 40), min_size=1, max_size=6)


def share_of(counts: dict[int, int], drainers: int) -> Share:
    return Share.of(Counter(counts).elements(), drainers=drainers)


def test_shares_are_rounded_up():
    """Or a partition would be left to nobody."""
    assert share_of({1: 4, 2: 3}, 2) == Share(4, {1: 2, 2: 2})
    assert share_of({1: 5}, 1) == Share(5, {1: 5})
    assert share_of({}, 3) == Share(0, {})


def test_what_is_given_back_comes_evenly_from_all_sources():
    """One that held everything is joined by another: both read every source."""
    back = share_of({1: 4, 2: 4, 3: 4}, 2).surplus({1: 4, 2: 4, 3: 4})

    assert Counter(back) == {1: 2, 2: 2, 3: 2}


def test_nothing_is_given_back_without_need():
    """A partition that moves is read twice and costs a moment."""
    assert share_of({1: 4, 2: 4}, 2).surplus({1: 4, 2: 0}) == []


@given(SOURCES, st.integers(1, 8))
def test_from_everything_each_source_comes_down_to_its_share(counts: dict[int, int], drainers: int):
    """Never below zero, exactly to the total, and of no source is more than its share kept."""
    share = share_of(counts, drainers)

    kept = Counter(counts)
    kept.subtract(share.surplus(counts))

    assert kept.total() == share.total
    assert all(0 <= kept[source] <= share.by_source[source] for source in counts)
