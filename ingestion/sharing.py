"""How partitions are shared among the drainers: evenly within each source, and evenly in all.

A source that alone is busy then keeps every worker busy, not the one that happens to hold it. Each
drainer makes the same plan of the same rows, gives back what the plan gives to another, and takes
what it gives to it; nobody has to lead. The plan leaves partitions where they are unless a move
makes the shares more even, and gives nothing to a drainer that does not reach the broker.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from django.db import connection
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.functions import Now

from configuration.models import Source
from ingestion.leases import Scope, scope_as_json
from ingestion.models import DRAINER_ALIVE_S, Partition

#: seconds without its broker after which a drainer leaves a source to one that has long reached it
APART_S: Final = 15.0

_REACH = """
SELECT c.source_id, c.owner, c.connected_since IS NOT NULL,
    coalesce(c.connected_since, c.failing_since) < now() - %(apart_s)s * interval '1 s',
    coalesce(d.scope IS NULL OR d.scope @> %(scope)s::jsonb, false)
FROM source_connections c JOIN drainers d ON d.owner = c.owner
WHERE d.seen_at > now() - %(alive_s)s * interval '1 s'
"""


class Wanted(NamedTuple):
    """A partition that should be read."""

    id: int
    source_id: int
    name: str
    epoch: int
    #: the drainer whose lease holds; empty: nobody's
    holder: str


@dataclass(slots=True)
class Reach:
    """Which of the live drainers reach the broker of a source, by their names."""

    #: they do: partitions may go to them
    takers: set[str] = field(default_factory=set)
    #: they have not for APART_S, and others have for as long: they leave what they hold
    leavers: set[str] = field(default_factory=set)


def wanted_partitions(sources: QuerySet[Source], *, name: str | None, owner: str) -> list[Wanted]:
    """Active partitions of these sources unless they are paused, in the order of their ids.

    `name` narrows it to the partitions of that name; `owner` is the drainer that asks, whose own
    leases hold for it even when they have just expired.
    """
    partitions = Partition.objects.filter(
        source__in=sources, state="active", source__paused_at=None
    )
    if name is not None:
        partitions = partitions.filter(name=name)
    holds = Q(leased_until__gte=Now()) | Q(leased_by=owner)
    rows = (
        partitions.annotate(holder=Case(When(holds, then=F("leased_by")), default=Value("")))
        .order_by("id")
        .values_list("id", "source_id", "name", "lease_epoch", "holder")
    )
    return [Wanted(*row) for row in rows]


def read_reach(owner: str, *, here: Iterable[int], scope: Scope) -> dict[int, Reach]:
    """By source, as the drainers have written it; `here` are the sources that `owner` reaches now.

    Takers are those that may read everything in the scope. One with a narrower scope helps where it
    can and gets nothing by plan: what it may not read would be left to nobody.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _REACH,
            {
                "apart_s": APART_S,
                "alive_s": DRAINER_ALIVE_S,
                "scope": scope_as_json(scope),
            },
        )
        rows = cursor.fetchall()
    found: defaultdict[int, Reach] = defaultdict(Reach)
    for source in here:
        found[source].takers.add(owner)
    # when nobody has reached it for long, everybody keeps what he holds: all come back at once
    steady = {source for source, _, is_connected, is_long, _ in rows if is_connected and is_long}
    for source, name, is_connected, is_long, may_read_all in rows:
        reach = found[source]
        if is_connected:
            if may_read_all and name != owner:  # which knows better than its row
                reach.takers.add(name)
        elif is_long and source in steady and name not in reach.takers:
            reach.leavers.add(name)
    return found


def plan(partitions: Sequence[Wanted], reach: Mapping[int, Reach]) -> dict[int, str]:
    """Who should hold each partition, by its id; one that nobody reaches stays as it is.

    What is free goes to the taker with the fewest of its source; then partitions move from the
    taker with the most of a source to the one with the fewest, as long as that makes the source
    more even, or leaves it as even and makes the totals more even. The one lowers the sum of the
    squares of the counts by source, the other keeps it and lowers that of the totals: it ends.
    """
    shares: defaultdict[int, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    totals: Counter[str] = Counter()
    nobody = Reach()
    free = []
    for row in partitions:
        if row.holder and row.holder not in reach.get(row.source_id, nobody).leavers:
            shares[row.source_id][row.holder].append(row.id)
            totals[row.holder] += 1
        else:
            free.append(row)
    for row in free:
        if takers := reach.get(row.source_id, nobody).takers:
            to = _by_size(takers, shares[row.source_id], totals)[0]
            shares[row.source_id][to].append(row.id)
            totals[to] += 1
    is_even = False
    while not is_even:
        is_even = True
        for source in sorted(reach):  # all drainers in the same order
            while _move_one(shares[source], reach[source].takers, totals):
                is_even = False
    return {
        partition: name
        for share in shares.values()
        for name, ids in share.items()
        for partition in ids
    }


def _move_one(share: Mapping[str, list[int]], takers: set[str], totals: Counter[str]) -> bool:
    """Make one source more even by one partition; False when it is as even as it can be."""
    if not takers:
        return False
    by_size = _by_size(takers, share, totals)
    least, most = by_size[0], by_size[-1]
    more = len(share[most]) - len(share[least])
    if more == 0 or (more == 1 and totals[most] - totals[least] <= 1):
        return False
    share[least].append(share[most].pop())
    totals[most] -= 1
    totals[least] += 1
    return True


def _by_size(
    names: Iterable[str], share: Mapping[str, Sequence[int]], totals: Mapping[str, int]
) -> list[str]:
    return sorted(names, key=lambda name: (len(share[name]), totals[name], name))
