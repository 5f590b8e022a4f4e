"""What needs a person now, worst first: the first card of the overview."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db import connection

from configuration.models import Source
from ingestion.attention_item import Attention
from ingestion.change_attention import bundles, caused, remotes
from ingestion.connections import SEEN_LASTS_S
from ingestion.leaves import leaf_at
from ingestion.models import Batch, Drainer, Partition
from ingestion.partitions import lag_is_known
from ingestion.source_models import SourceConnection
from payflow.lib.event_id import first_id_at
from payflow.lib.pages.display import count, list_url, row_url, sentence, span

#: without a batch for so long a source that did send is called silent
SILENT: Final = timedelta(minutes=10)
#: seconds of lag that a person should know about
LAGGING_S: Final = 60
#: a connection that fails for less is tried again before anybody could act
_BLIP: Final = timedelta(seconds=10)
_RECENT: Final = timedelta(minutes=15)
_ERROR_RECENT: Final = timedelta(minutes=2)
_ORDER: Final = {"bad": 0, "warn": 1, "info": 2}


def what_needs_a_person(partitions: Sequence[Partition], *, now: datetime) -> list[Attention]:
    """Everything that does, worst first; `partitions` are those that are not finished."""
    found = [
        *_stopped(partitions),
        *_paused_partitions(partitions),
        *_sources(partitions, now=now),
        *bundles(now),
        *caused(now),
        *remotes(),
        *_leaves(now),
        *_failing_rules(now),
    ]
    return worst_first(found)


def worst_first(found: Iterable[Attention]) -> list[Attention]:
    """What must be acted on before what may wait, else in the order found."""
    return sorted(found, key=lambda item: _ORDER[item.kind])


def _stopped(partitions: Iterable[Partition]) -> list[Attention]:
    return [
        Attention(
            kind="bad",
            icon="error",
            title=f"Partition {_name(partition)} of {partition.source} stopped{_how(partition)}",
            text=sentence(partition.stopped_reason),
            url=row_url("ingestion.partition", partition.pk),
            label="Open partition",
        )
        for partition in partitions
        if partition.state == Partition.State.STOPPED
    ]


def _paused_partitions(partitions: Iterable[Partition]) -> list[Attention]:
    """One item a source: a person did it, and a person has to end it."""
    paused: dict[Source, list[Partition]] = defaultdict(list)
    for partition in partitions:
        if partition.state == Partition.State.PAUSED:
            paused[partition.source].append(partition)
    found = []
    for source, rows in paused.items():
        is_one = len(rows) == 1
        who = f"Partition {_name(rows[0])}" if is_one else f"{len(rows)} partitions"
        title = f"{who} of {source} {'is' if is_one else 'are'} paused"
        text = f"{count(sum(row.lag_events or 0 for row in rows))} events wait at the broker."
        found.append(_about(source, "info", "pause_circle", title, text))
    return found


def _how(partition: Partition) -> str:
    """ ": lost 1,930 messages", as the reason begins where that is why; else " itself"."""
    lost, is_lost, _ = partition.stopped_reason.partition(" messages")
    return f": {lost} messages" if is_lost and lost.startswith("lost ") else " itself"


def _name(partition: Partition) -> str:
    return partition.label or partition.name


def _sources(partitions: Sequence[Partition], *, now: datetime) -> list[Attention]:
    """At most one item a source: not connected, unread, failing, lagging, or silent."""
    by_source: dict[Source, list[Partition]] = {
        source: [] for source in Source.objects.exclude(broker_type="file")
    }
    for partition in partitions:
        if partition.state == Partition.State.ACTIVE and partition.source.broker_type != "file":
            by_source[partition.source].append(partition)
    standing = {row.source_id for row in partitions if row.state != Partition.State.ACTIVE}
    connections = _connections(now)
    drainers = Drainer.objects.live().count()
    found = []
    for source, rows in by_source.items():
        item = _paused(source, now=now) or _unconnected(
            source, connections.get(source.pk, ()), now=now
        )
        if item is None and not rows and source.pk in standing:
            continue
        item = (
            item
            or _unreached(source, rows, now=now)
            or _unread(source, rows, now=now, drainers=drainers)
            or _failing(source, rows, now=now)
            or _lagging(source, rows)
            or _silent(source, rows, now=now)
        )
        if item:
            found.append(item)
    return found


def _paused(source: Source, *, now: datetime) -> Attention | None:
    if source.paused_at is None:
        return None
    since = span((now - source.paused_at).total_seconds())
    reason = source.paused_reason or "No reason was given."
    return _about(source, "info", "pause_circle", f"{source} has been paused for {since}", reason)


def _connections(now: datetime) -> dict[int, list[SourceConnection]]:
    """What live drainers say of their connections, by source."""
    found: dict[int, list[SourceConnection]] = defaultdict(list)
    lasts = timedelta(seconds=SEEN_LASTS_S)
    for row in SourceConnection.objects.filter(seen_at__gt=now - lasts):
        found[row.source_id].append(row)
    return found


def _unconnected(
    source: Source, rows: Sequence[SourceConnection], *, now: datetime
) -> Attention | None:
    """Once it has lasted a moment: brokers that change hands are away for seconds."""
    failing = [row for row in rows if row.failing_since and row.failing_since <= now - _BLIP]
    if not failing:
        return None
    first = min(failing, key=lambda row: row.failing_since or now)
    since = span((now - (first.failing_since or now)).total_seconds())
    text = f"{sentence(first.error)} It is tried again; nothing is lost."
    if len(failing) == len(rows):
        title = f"{source} has not been connected for {since}"
        return _about(source, "bad", "link_off", title, text)
    title = f"{len(failing)} of {len(rows)} workers have not reached {source} for {since}"
    return _about(source, "warn", "link_off", title, text)


def _unreached(source: Source, rows: Sequence[Partition], *, now: datetime) -> Attention | None:
    if rows:
        return None
    age = span((now - source.created_at).total_seconds())
    text = (
        f"It was made {age} ago. Workers add its partitions once they have reached its broker; "
        "they log why they cannot."
    )
    return _about(source, "info", "sensors_off", f"{source} has no partitions yet", text)


def _unread(
    source: Source, rows: Sequence[Partition], *, now: datetime, drainers: int
) -> Attention | None:
    if any(lag_is_known(row, now=now) for row in rows):
        return None
    seen = [row.lag_at for row in rows if row.lag_at]
    text = (
        "No worker is alive: start one (manage.py drain), or look at Celery's workers."
        if not drainers
        else f"{drainers} workers are alive, but none of them reads it."
    )
    if seen:
        text += f" Last read {span((now - max(seen)).total_seconds())} ago."
    return _about(source, "bad", "link_off", f"Nobody reads {source}", text)


def _failing(source: Source, rows: Sequence[Partition], *, now: datetime) -> Attention | None:
    """Errors of the last minutes that no commit has come after."""
    recent = [
        row
        for row in rows
        if row.last_error_at
        and row.last_error_at > now - _ERROR_RECENT
        and not (row.committed_at and row.committed_at > row.last_error_at)
    ]
    if not recent:
        return None
    last = max(recent, key=lambda row: row.last_error_at or now)
    text = f"{sentence(last.last_error)} It is tried again; nothing is lost."
    return _about(source, "warn", "warning", f"{source} has errors", text)


def _lagging(source: Source, rows: Sequence[Partition]) -> Attention | None:
    worst = max(row.lag_seconds or 0 for row in rows)
    if worst < LAGGING_S:
        return None
    events = sum(row.lag_events or 0 for row in rows)
    text = f"{count(events)} events wait at the broker. More workers, or a look at the batches."
    return _about(source, "warn", "hourglass_top", f"{source} is {span(worst)} behind", text)


def _silent(source: Source, rows: Sequence[Partition], *, now: datetime) -> Attention | None:
    commits = [row.committed_at for row in rows if row.committed_at]
    if not commits or max(commits) > now - SILENT:
        return None
    since = span((now - max(commits)).total_seconds())
    text = "It is read, and the broker has nothing new. Look at the producer."
    return _about(source, "warn", "volume_off", f"{source} is silent for {since}", text)


def _about(source: Source, kind: str, icon: str, title: str, text: str) -> Attention:
    return Attention(
        kind=kind,
        icon=icon,
        title=title,
        text=text,
        url=row_url("configuration.source", source.pk),
        label="Open source",
    )


def _leaves(now: datetime) -> list[Attention]:
    """The next leaf is made weeks ahead; without it the path stands still at the roll-over."""
    if leaf_exists(now + timedelta(hours=24)):
        return []
    return [
        Attention(
            kind="bad",
            icon="calendar_clock",
            title="No tables for tomorrow",
            text="Batches will wait from then on. Run: manage.py partitions ensure.",
            url=list_url("ingestion.batch"),
            label="Open batches",
        )
    ]


def leaf_exists(moment: datetime) -> bool:
    """Whether an arrival at this time has tables to go to."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [f"batch_outcomes_{leaf_at(moment).suffix}"])
        found: bool = cursor.fetchone()[0] is not None
        return found


def _failing_rules(now: datetime) -> list[Attention]:
    rows = Batch.objects.filter(
        id__gte=first_id_at(now - _RECENT), rule_failures__isnull=False
    ).values_list("pk", "rule_failures")
    counts: dict[str, int] = defaultdict(int)
    latest: dict[str, int] = {}
    for batch, failures in rows.order_by("id"):
        for name, failure in (failures or {}).items():
            counts[name] += failure["count"]
            latest[name] = batch
    return [
        Attention(
            kind="warn",
            icon="rule",
            title=f"Rule {name} could not be computed for {count(number)} events",
            text="In the last 15 minutes. The events are stored; only this rule has no value.",
            url=row_url("ingestion.batch", latest[name]),
            label="Open last batch",
        )
        for name, number in counts.items()
    ]
