"""The manifest as a shadow follows it: batch after batch by id, none missed, none twice.

Ids order by arrival, but commits do not become visible in that order: a batch that was numbered
earlier may commit later. So only batches are taken that were numbered before any commit that is
still under way began. Every commit holds WRITE_LEAF from before it is numbered until it is seen,
which is where that is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection
from django.db.models import Sum

from ingestion.leaves import WRITE_LEAF
from ingestion.models import Batch, BatchOutcome
from payflow.lib.event_id import arrival_of, first_id_at

#: parts and batches that are read in one go
MOST_PARTS: Final = 10_000
_MOST_BATCHES: Final = 400
#: a shadow this far behind leaves batches out, until it is this close again
BEHIND: Final = timedelta(minutes=2)
CAUGHT_UP: Final = timedelta(minutes=1)

# the time before the locks are read: a commit may take its lock and number just behind the reading;
# of whom the start is hidden, the longest that a transaction of ours may take is assumed
_SETTLED = """
SELECT least(statement_timestamp(), min(coalesce(a.xact_start, now() - interval '2 minutes')))
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.classid = 0 AND l.objid = %(key)s AND l.objsubid = 1
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Batches that are left out to catch up."""

    last_id: int
    events: int


def settled_until() -> int:
    """Batches with a lower id are all visible, if they will ever be."""
    with connection.cursor() as cursor:
        cursor.execute(_SETTLED, {"key": WRITE_LEAF})
        moment: datetime = cursor.fetchone()[0]
    return first_id_at(moment)


def next_batches(sources: Sequence[int], *, after: int, before: int) -> list[Batch]:
    """The next batches of these sources, as many as are evaluated in one go."""
    rows = (
        Batch.objects.filter(partition__source__in=sources, id__gt=after, id__lt=before)
        .select_related("partition__source", "bundle")
        .order_by("id")[:_MOST_BATCHES]
    )
    taken: list[Batch] = []
    parts = 0
    for batch in rows:
        if taken and parts + batch.parts > MOST_PARTS:
            break
        taken.append(batch)
        parts += batch.parts
    return taken


def to_skip(sources: Sequence[int], *, after: int, now: datetime) -> Skipped | None:
    """What to leave out when the oldest batch that waits came too long ago."""
    waiting = Batch.objects.filter(partition__source__in=sources, id__gt=after)
    oldest = waiting.order_by("id").values_list("id", flat=True).first()
    if oldest is None or arrival_of(oldest) > now - BEHIND:
        return None
    until = first_id_at(now - CAUGHT_UP)
    events = waiting.filter(id__lt=until).aggregate(events=Sum("accepted"))["events"]
    return Skipped(last_id=until - 1, events=events or 0)


def set_aside(batches: Sequence[Batch]) -> dict[int, frozenset[int]]:
    """Batch -> rows that its transaction did not store: they were there before, or refused."""
    found: dict[int, set[int]] = {}
    rows = BatchOutcome.objects.filter(
        id__gte=min(batch.pk for batch in batches),
        id__lte=max(batch.last_id for batch in batches),
        batch__in=[batch.pk for batch in batches],
    )
    for batch_id, ordinal in rows.values_list("batch", "ordinal"):
        found.setdefault(batch_id, set()).add(ordinal)
    return {batch_id: frozenset(ordinals) for batch_id, ordinals in found.items()}
