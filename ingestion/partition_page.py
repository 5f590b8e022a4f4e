"""What the page of a partition shows."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from ingestion.batch_page import verdicts
from ingestion.models import Batch, Partition
from ingestion.partitions import lag_is_known
from ingestion.seek_words import moved_events
from payflow.lib.pages.detail import Button, Card, Head, Notice
from payflow.lib.pages.display import (
    UNKNOWN,
    count,
    joined,
    list_url,
    moment,
    mono,
    pill,
    row_link,
    sentence,
    span,
    text_or_dash,
)

_LAST_BATCHES: Final = 10
_LAST_SEEKS: Final = 10


def is_leased(row: Partition) -> bool:
    return row.leased_until is not None and row.leased_until > timezone.now()


def state_pill(row: Partition) -> SafeString:
    """What it does now, in one word."""
    if row.state == Partition.State.STOPPED:
        return pill("bad", "Stopped", "pause_circle")
    if row.state == Partition.State.PAUSED:
        return pill("warn", "Paused", "pause_circle")
    if row.state == Partition.State.FINISHED:
        return pill("", "Finished", "task_alt")
    if row.source.paused_at:
        return pill("warn", "Source paused", "pause_circle")
    return pill("ok", "Running") if is_leased(row) else pill("warn", "Nobody reads it")


def is_halted(row: Partition) -> bool:
    """Whether it waits for a person: stopped by itself, or paused by one."""
    return row.state in {Partition.State.STOPPED, Partition.State.PAUSED}


def why_halted(row: Partition) -> str:
    """In words; "" when it is not."""
    if row.state == Partition.State.PAUSED:
        return row.stopped_reason or "A person paused it and gave no reason."
    return row.stopped_reason[:1].upper() + row.stopped_reason[1:]


def notices(row: Partition) -> list[Notice]:
    found = []
    if row.state == Partition.State.STOPPED:
        found.append(Notice(kind="bad", icon="error", title="Stopped itself", text=_choice(row)))
    elif row.state == Partition.State.PAUSED:
        reason = row.stopped_reason or "No reason was given."
        found.append(
            Notice(
                kind="warn",
                icon="pause_circle",
                title=joined(["Paused by a person since", moment(row.stopped_at)]),
                text=f"{sentence(reason)} Its messages wait at the broker.",
            )
        )
    if _is_failing(row):
        found.append(
            Notice(
                kind="warn",
                icon="warning",
                title="The last error",
                text=f"{sentence(row.last_error)} Seen {_ago(row)}; nothing was lost, and it is "
                "tried again.",
            )
        )
    return found


def _is_failing(row: Partition) -> bool:
    """Whether something went wrong that no commit has come after."""
    if not row.last_error or row.state == Partition.State.STOPPED:
        return False
    return not (row.committed_at and row.last_error_at and row.committed_at > row.last_error_at)


def _choice(row: Partition) -> str:
    """Why it stopped, and of a lost position what a person can choose."""
    if not is_about_loss(row):
        return why_halted(row)
    return (
        f"{why_halted(row)} Resuming finds them lost again: go to the earliest message that is "
        "left, or to the latest. What each would skip is counted before you confirm."
    )


def is_about_loss(row: Partition) -> bool:
    """Whether it stopped because the broker no longer holds what comes next."""
    return row.state == Partition.State.STOPPED and row.stopped_reason.startswith("lost ")


def buttons(request: HttpRequest, row: Partition) -> list[Button]:
    batches = Button(label="Batches", url=list_url("ingestion.batch", partition=row.pk))
    if not request.user.has_perm("ingestion.change_partition"):
        return [batches]
    resume = Button(label="Resume…", url=_url("resume", row), icon="play_arrow", kind="p")
    if row.source.broker_type == "file":
        return [resume, batches] if is_halted(row) else [batches]
    seek = Button(label="Seek…", url=_url("seek", row), icon="fast_rewind")
    if is_about_loss(row):
        resume = dataclasses.replace(resume, kind="")
        chosen = [
            Button(
                label=f"Go to {target}…",
                url=f"{_url('seek', row)}?to={target}",
                icon=icon,
                kind=kind,
            )
            for target, icon, kind in (
                ("earliest", "fast_rewind", "p"),
                ("latest", "fast_forward", ""),
            )
        ]
        return [*chosen, seek, resume, batches]
    if is_halted(row):
        return [resume, seek, batches]
    return [Button(label="Pause…", url=_url("pause", row), icon="pause"), seek, batches]


def _url(action: str, row: Partition) -> str:
    return reverse(f"admin:ingestion_partition_{action}", args=[row.pk])


def state_card(row: Partition) -> Card:
    return Card(
        title="State",
        facts=[
            ("Lag", _lag(row)),
            ("Last commit", moment(row.committed_at)),
            ("Next message", mono(row.position)),
            ("Messages taken", count(row.sequence_number)),
            *([(row.get_state_display(), moment(row.stopped_at))] if is_halted(row) else []),
            ("Last error", text_or_dash(row.last_error)),
            ("Error seen", moment(row.last_error_at)),
        ],
    )


def lease_card(row: Partition) -> Card:
    return Card(
        title="Lease",
        sub="who may read it",
        facts=[
            ("Owner", mono(row.leased_by) if row.leased_by else "nobody"),
            ("Until", moment(row.leased_until)),
            ("Epoch", count(row.lease_epoch)),
            ("Failed attempts", count(row.attempts)),
        ],
    )


def coordinates_card(row: Partition) -> Card:
    return Card(
        title="Partition",
        facts=[
            ("Source", row_link("configuration.source", row.source_id, row.source)),
            ("Type", row.source.broker_type),
            ("Name", mono(row.name, shorten=24)),
            ("Label", text_or_dash(row.label)),
        ],
    )


def batches_card(row: Partition) -> Card:
    batches = Batch.objects.filter(partition=row).order_by("-id")[:_LAST_BATCHES]
    return Card(
        title="Last batches",
        heads=[
            Head(label="Batch"),
            Head(label="Committed"),
            Head(label="Messages", is_number=True),
            Head(label="Verdicts"),
        ],
        rows=[
            (
                row_link("ingestion.batch", batch.pk),
                moment(batch.committed_at),
                count(batch.messages),
                verdicts(batch),
            )
            for batch in batches
        ],
        empty="None yet.",
    )


def seeks_cards(row: Partition) -> list[Card]:
    """Moves of its checkpoint by people, where there were any."""
    seeks = list(row.seeks.select_related("by")[:_LAST_SEEKS])
    if not seeks:
        return []
    return [
        Card(
            title="Seeks",
            sub="its checkpoint, moved by a person",
            heads=[
                Head(label="When"),
                Head(label="Who"),
                Head(label="From"),
                Head(label="To"),
                Head(label="Events"),
                Head(label="Reason"),
            ],
            rows=[
                (
                    moment(seek.at),
                    seek.by or "the command line",
                    mono(seek.from_position),
                    mono(seek.to_position),
                    moved_events(seek.events),
                    seek.reason,
                )
                for seek in seeks
            ],
        )
    ]


def _lag(row: Partition) -> Any:
    if row.lag_events is None:
        return UNKNOWN
    lag = f"{count(row.lag_events)} events, {span(row.lag_seconds)}"
    if lag_is_known(row, now=timezone.now()):
        return lag
    return joined([f"{lag}, when it was last read at", moment(row.lag_at)])


def _ago(row: Partition) -> str:
    if row.last_error_at is None:
        return "time unknown"
    return f"{span((timezone.now() - row.last_error_at).total_seconds())} ago"
