"""What needs a person because of the configuration: workers that refuse it, failures it began."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from configuration.cause_line import undo_of
from configuration.causes import Cause, causes_near
from configuration.remote.drift import trouble
from deadletter.models import FailureGroup
from ingestion.attention_item import Attention
from ingestion.propagation import Straggler, stragglers
from payflow.lib.pages.display import count, list_url, row_url, span

#: a kind of failure that began so long ago is told of beside what changed then,
_BEGAN: Final = timedelta(hours=1)
#: while it goes on
_GOES_ON: Final = timedelta(minutes=5)
#: and is more than a stray message
_NOTEWORTHY: Final = 20
_MOST_GROUPS: Final = 20


def bundles(now: datetime) -> list[Attention]:
    """Sources whose active bundle is not what every worker runs."""
    found = []
    for (source, name), late in stragglers().items():
        refusing = [worker for worker in late if worker.problem]
        if refusing:
            title = f"{_workers(refusing)} cannot load the configuration of {name}"
            problem = refusing[0].problem.rstrip(".")
            text = f"{problem}. The last good one stays. Activate another, or roll back."
        else:
            since = span((now - min(worker.since for worker in late)).total_seconds())
            title = f"{_workers(late)} did not take the configuration of {name}"
            text = f"It has been active for {since}. They may hang in a batch: look at their logs."
        found.append(
            Attention(
                kind="bad" if refusing else "warn",
                icon="sync_problem",
                title=title,
                text=text,
                url=row_url("configuration.source", source),
                label="Open source",
            )
        )
    return found


def caused(now: datetime) -> list[Attention]:
    """Kinds of failure that began with a change, and go on: one item for each change."""
    began = FailureGroup.objects.filter(
        began_at__gt=now - _BEGAN, last_seen__gt=now - _GOES_ON, count__gte=_NOTEWORTHY
    ).select_related("source")
    groups = list(began.order_by("-count")[:_MOST_GROUPS])
    causes = causes_near({row.pk: (row.began_at, row.source_id) for row in groups})
    by_change: dict[str, list[FailureGroup]] = defaultdict(list)
    for row in groups:
        if row.pk in causes:
            by_change[causes[row.pk].name].append(row)
    return [_began(rows, causes[rows[0].pk]) for rows in by_change.values()]


def _began(rows: Sequence[FailureGroup], cause: Cause) -> Attention:
    """The largest group stands for all that began with the change."""
    largest, others = rows[0], len(rows) - 1
    more = f" {others} other kinds of failure began with it." if others > 1 else ""
    more = " Another kind of failure began with it." if others == 1 else more
    return Attention(
        kind="bad",
        icon="bolt",
        title=f"{largest} began {cause.after}",
        text=f"{count(largest.count)} items of {largest.source} so far, and it goes on.{more}",
        url=row_url("deadletter.failuregroup", largest.pk),
        label="Open group",
        undo=undo_of(cause),
    )


def remotes() -> list[Attention]:
    """Places outside that configuration comes from, and that need a look."""
    return [
        Attention(
            kind="warn",
            icon="cloud_off",
            title="Configuration from outside needs a look",
            text=sentence,
            url=list_url("configuration.remotedocument"),
            label="Open its documents",
        )
        for sentence in trouble()
    ]


def _workers(late: Sequence[Straggler]) -> str:
    """`Worker 3`, `Workers 1, 3 and 4`."""
    names = [str(worker.slot) for worker in late]
    if len(names) == 1:
        return f"Worker {names[0]}"
    return f"Workers {', '.join(names[:-1])} and {names[-1]}"
