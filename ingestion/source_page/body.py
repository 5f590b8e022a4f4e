"""The part of a source's page that fetches itself anew: state, figures, partitions, lag, errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from configuration.models import Source
from configuration.source_page import reads_by
from ingestion.models import Partition
from ingestion.partition_page import is_about_loss
from ingestion.source_models import SourceError
from ingestion.source_page.brokers import described
from ingestion.source_page.figures import figures
from ingestion.source_page.lag_chart import lag_chart
from ingestion.source_page.partition_rows import MOST_ROWS, action_url, partition_rows
from ingestion.source_page.reading import Summary, summaries_of
from ingestion.source_page.state import connection_text, health_of, next_try
from payflow.lib.pages.detail import Button
from payflow.lib.pages.display import count, joined, list_url, moment, row_url, sentence, span

REFRESH_S: Final = 5
_ERRORS: Final = 8
#: stopped partitions that are told in sentences; the others are in the table
_STOPPED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Something that needs a person, with what to do about it."""

    kind: str
    icon: str
    title: SafeString | str
    text: SafeString | str
    buttons: Sequence[Button] = ()


def body_of(request: HttpRequest, source: Source) -> dict[str, Any]:
    """What source_body.html shows."""
    now = timezone.now()
    summary = summaries_of([source.pk], now=now)[source.pk]
    is_file = source.broker_type == "file"
    rows = partition_rows(request, source, summary, now=now)
    meta = [described(source), *reads_by(source), connection_text(summary)]
    return {
        "source": source,
        "is_file": is_file,
        "at": timezone.localtime(now),
        "state": health_of(source, summary).pill,
        "meta": [item for item in meta if item],
        "wanted": _wanted(request, source, summary, now=now),
        "figures": [] if is_file else figures(source, summary, now=now),
        "rows": rows,
        "partitions_sub": _counted(summary, shown=len(rows), is_file=is_file),
        "has_actions": any(row.actions for row in rows),
        "all_partitions": list_url("ingestion.partition", source__id__exact=source.pk),
        "lag_chart": None if is_file else lag_chart(source, partitions=summary.partitions, now=now),
        "errors": list(SourceError.objects.filter(source=source)[:_ERRORS]),
    }


def _counted(summary: Summary, *, shown: int, is_file: bool) -> str:
    if is_file:
        return "a file is one"
    if summary.partitions > MOST_ROWS:
        return f"{shown} of {count(summary.partitions)}, those that stand still first"
    return f"{count(summary.partitions)}, followed when they grow"


def _wanted(
    request: HttpRequest, source: Source, summary: Summary, *, now: datetime
) -> list[Wanted]:
    """What stands in the way, worst first."""
    found = [*_stopped(request, source), *_not_connected(summary, now=now)]
    if source.paused_at is not None:
        reason = source.paused_reason or "No reason was given."
        found.append(
            Wanted(
                kind="warn",
                icon="pause_circle",
                title=joined(["Paused since", moment(source.paused_at)]),
                text=f"{sentence(reason)} {_waits(summary)}",
            )
        )
    return sorted(found, key=lambda item: item.kind != "bad")


def _waits(summary: Summary) -> str:
    if summary.lag_events is None:
        return "Its messages wait at the broker."
    waited = "" if summary.lag_seconds is None else f", the oldest for {span(summary.lag_seconds)}"
    return f"{count(summary.lag_events)} events wait at the broker{waited}."


def _not_connected(summary: Summary, *, now: datetime) -> list[Wanted]:
    """One item for all workers that cannot reach the broker, with the words of the first."""
    failing = summary.failing
    if not failing:
        return []
    first = min(failing, key=lambda row: row.failing_since or now)
    others = len(summary.connections) - len(failing)
    who, safe = "Not connected", f"Nothing is lost. {_waits(summary)}"
    if others:
        safe = "The others read on, and nothing is lost."
        who = f"{len(failing)} of {len(summary.connections)} workers are not connected"
    return [
        Wanted(
            kind="warn" if others else "bad",
            icon="link_off",
            title=joined([f"{who} since", moment(first.failing_since)]),
            text=f"{sentence(first.error)} {safe} {next_try(first.retry_at, now=now)}",
        )
    ]


def _stopped(request: HttpRequest, source: Source) -> list[Wanted]:
    rows = Partition.objects.filter(source=source, state=Partition.State.STOPPED)
    may_change = request.user.has_perm("ingestion.change_partition")
    return [
        Wanted(
            kind="bad",
            icon="error",
            title=joined(
                [f"Partition {row.label or row.name} stopped itself at", moment(row.stopped_at)]
            ),
            text=f"{sentence(row.stopped_reason)} Nothing is skipped until a person decides.",
            buttons=_decisions(row) if may_change and source.broker_type != "file" else (),
        )
        for row in rows.order_by("-stopped_at", "pk")[:_STOPPED]
    ]


def _decisions(row: Partition) -> list[Button]:
    opened = Button(label="Open", url=row_url("ingestion.partition", row.pk))
    if is_about_loss(row):  # resumed, it would find them lost again
        return [
            opened,
            Button(
                label="Go to earliest…",
                url=f"{action_url('seek', row)}?to=earliest",
                icon="fast_rewind",
            ),
            Button(label="Seek…", url=action_url("seek", row), icon="fast_rewind"),
        ]
    return [
        opened,
        Button(label="Seek…", url=action_url("seek", row), icon="fast_rewind"),
        Button(label="Resume…", url=action_url("resume", row), icon="play_arrow"),
    ]
