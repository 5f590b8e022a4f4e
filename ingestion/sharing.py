"""How partitions are shared among the drainers: evenly in all, and evenly within each source.

A source that alone is busy then keeps every worker busy, not the one that happens to hold it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import Q
from django.db.models.functions import Now

from ingestion.models import Partition


class Wanted(NamedTuple):
    """A partition that should be read."""

    id: int
    source_id: int
    name: str
    epoch: int
    #: nobody holds it but, perhaps, the drainer that asks
    is_free: bool


@dataclass(frozen=True, slots=True)
class Share:
    """How many partitions one drainer should hold: at most, and of each source for a start.

    Both are rounded up. Within a source the share is a wish: what the others leave may be taken
    too, as the shares of all sources together need not come out even.
    """

    total: int
    by_source: Mapping[int, int]

    @classmethod
    def of(cls, sources: Iterable[int], *, drainers: int) -> Share:
        """Of the partitions that should be read, each given as the id of its source."""
        counts = Counter(sources)
        each = {source: math.ceil(count / drainers) for source, count in counts.items()}
        return cls(math.ceil(counts.total() / drainers), each)

    def surplus(self, held: Mapping[int, int]) -> list[int]:
        """Sources to give a partition back of, once for each, given how many are held of each.

        Always of the source of which most is held for its share, so that all come down together.
        """
        left = {source: count for source, count in held.items() if count}
        back = []
        for _ in range(sum(left.values()) - self.total):
            fullest = max(left, key=lambda source: left[source] / self.by_source[source])
            left[fullest] -= 1
            back.append(fullest)
        return back


def wanted_partitions(sources: Iterable[int], *, name: str | None, owner: str) -> list[Wanted]:
    """Active partitions of these sources unless they are paused, longest free first.

    `name` narrows it to the partitions of that name; `owner` is the drainer that asks.
    """
    partitions = Partition.objects.filter(
        source__in=list(sources), state="active", source__paused_at=None
    )
    if name is not None:
        partitions = partitions.filter(name=name)
    is_free = Q(leased_until=None) | Q(leased_until__lt=Now()) | Q(leased_by=owner)
    rows = (
        partitions.annotate(is_free=is_free)
        .order_by("leased_until", "id")
        .values_list("id", "source_id", "name", "lease_epoch", "is_free")
    )
    return [Wanted(*row) for row in rows]
