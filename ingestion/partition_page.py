"""What the page of a partition shows."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from ingestion.batch_page import verdicts
from ingestion.models import Batch, Partition
from ingestion.partitions import lag_is_known
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
    span,
    text_or_dash,
)

_LAST_BATCHES: Final = 10


def is_leased(row: Partition) -> bool:
    return row.leased_until is not None and row.leased_until > timezone.now()


def state_pill(row: Partition) -> SafeString:
    """What it does now, in one word."""
    if row.state == Partition.State.STOPPED:
        return pill("bad", "Stopped", "pause_circle")
    if row.state == Partition.State.FINISHED:
        return pill("", "Finished", "task_alt")
    if row.source.paused_at:
        return pill("warn", "Source paused", "pause_circle")
    return pill("ok", "Running") if is_leased(row) else pill("warn", "Nobody reads it")


def notices(row: Partition) -> list[Notice]:
    found = []
    if row.state == Partition.State.STOPPED:
        found.append(
            Notice(kind="bad", icon="error", title="Stopped itself", text=row.stopped_reason)
        )
    if row.last_error and row.state != Partition.State.STOPPED:
        found.append(
            Notice(
                kind="warn",
                icon="warning",
                title="The last error",
                text=f"{row.last_error} ({_ago(row)}). Nothing was lost: it is tried again.",
            )
        )
    return found


def buttons(request: HttpRequest, row: Partition) -> list[Button]:
    found = [Button(label="Batches", url=list_url("ingestion.batch", partition=row.pk))]
    stopped = row.state == Partition.State.STOPPED
    if stopped and request.user.has_perm("ingestion.change_partition"):
        url = reverse("admin:ingestion_partition_resume", args=[row.pk])
        found.insert(0, Button(label="Resume…", url=url, icon="play_arrow", kind="p"))
    return found


def state_card(row: Partition) -> Card:
    return Card(
        title="State",
        facts=[
            ("Lag", _lag(row)),
            ("Last commit", moment(row.committed_at)),
            ("Next message", mono(row.position)),
            ("Messages taken", count(row.sequence_number)),
            *(
                [("Stopped", moment(row.stopped_at))]
                if row.state == Partition.State.STOPPED
                else []
            ),
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
