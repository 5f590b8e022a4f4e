"""The table of a source's partitions: what stands still first, then in their order."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models.functions import Length
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString

from configuration.models import Source
from ingestion.models import Partition
from ingestion.partition_page import is_leased, state_pill
from ingestion.partitions import lag_is_known
from ingestion.source_page.reading import RATE_S, Summary
from payflow.lib.pages.display import (
    UNKNOWN,
    count,
    joined,
    moment,
    mono,
    pill,
    rate,
    row_url,
    span,
)

#: more than these are on the list of partitions
MOST_ROWS: Final = 64
#: seconds for which a commit is told by its age
_RECENT_S: Final = 60
_POSITION: Final = 16
_OWNER: Final = 18
_NOT_CONNECTED: Final = pill("bad", "Not connected", "link_off")


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A small button of a row; `label` is for who cannot see its symbol."""

    label: str
    icon: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One partition as the table shows it."""

    name: str
    url: str
    state: SafeString
    is_bad: bool
    rate: str
    position: SafeString | str
    lag_events: SafeString | str
    lag_time: SafeString | str
    lease: SafeString | str
    committed: SafeString | str
    actions: list[Action]


def partition_rows(
    request: HttpRequest, source: Source, summary: Summary, *, now: datetime
) -> list[Row]:
    """At most MOST_ROWS of them."""
    # of the names of states: stopped, paused, finished, active
    order: Sequence[Any] = ("-state", Length("name"), "name")
    if source.broker_type == "file":
        order = ("-state", "-committed_at", "pk")
    rows = Partition.objects.filter(source=source).order_by(*order)[:MOST_ROWS]
    may_change = request.user.has_perm("ingestion.change_partition")
    cut_off = {connection.owner for connection in summary.failing}
    found = []
    for row in rows:
        row.source = source
        state = _NOT_CONNECTED if _waits_for(row, cut_off) else state_pill(row)
        found.append(_row(row, summary, state=state, now=now, may_change=may_change))
    return found


def _waits_for(row: Partition, cut_off: Collection[str]) -> bool:
    """Whether its reader is one of those that do not reach the broker."""
    is_read = row.state == Partition.State.ACTIVE and is_leased(row)
    return is_read and row.leased_by in cut_off and not row.source.paused_at


def _row(
    row: Partition, summary: Summary, *, state: SafeString, now: datetime, may_change: bool
) -> Row:
    lag_events: SafeString | str = UNKNOWN
    lag_time: SafeString | str = UNKNOWN
    if lag_is_known(row, now=now):
        lag_events, lag_time = count(row.lag_events), span(row.lag_seconds)
    return Row(
        name=row.label or row.name,
        url=row_url("ingestion.partition", row.pk),
        state=state,
        is_bad=row.state == Partition.State.STOPPED,
        rate=rate(summary.messages.get(row.pk, 0) / RATE_S),
        position=_position(row.position),
        lag_events=lag_events,
        lag_time=lag_time,
        lease=_lease(row),
        committed=_ago(row.committed_at, now=now),
        actions=_actions(row) if may_change else [],
    )


def _position(position: str) -> SafeString | str:
    return count(int(position)) if position.isdecimal() else mono(position, shorten=_POSITION)


def _lease(row: Partition) -> SafeString | str:
    """Who reads it, and the lease's number."""
    if not is_leased(row):
        return f"no owner, {row.lease_epoch}"
    return joined([mono(row.leased_by, shorten=_OWNER), row.lease_epoch], ", ")


def _ago(committed_at: datetime | None, *, now: datetime) -> SafeString | str:
    if committed_at is None:
        return UNKNOWN
    age = max(0.0, (now - committed_at).total_seconds())
    return f"{span(age)} ago" if age < _RECENT_S else moment(committed_at)


def _actions(row: Partition) -> list[Action]:
    """What a person may do to it; a file is read by the command that was given it."""
    if row.state == Partition.State.FINISHED or row.source.broker_type == "file":
        return []
    halted = row.state != Partition.State.ACTIVE
    verb, icon = ("resume", "play_arrow") if halted else ("pause", "pause")
    return [
        Action(
            label=f"{verb.capitalize()} partition {row.name}",
            icon=icon,
            url=action_url(verb, row),
        ),
        Action(
            label=f"Seek in partition {row.name}", icon="fast_rewind", url=action_url("seek", row)
        ),
    ]


def action_url(action: str, row: Partition) -> str:
    """The page on which a person pauses, resumes or moves a partition."""
    return reverse(f"admin:ingestion_partition_{action}", args=[row.pk])
