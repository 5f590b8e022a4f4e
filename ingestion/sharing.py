"""How partitions are shared among the drainers: evenly in all, and evenly within each source.

A source that alone is busy then keeps every worker busy, not the one that happens to hold it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


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
