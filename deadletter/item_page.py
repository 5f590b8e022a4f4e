"""What the page of a failed item shows."""

from __future__ import annotations

from django.apps import apps
from django.urls import reverse

from configuration.bundle_parts import schema_link
from configuration.models import Bundle
from deadletter.models import FailedItem, FailureGroup
from deadletter.payload import render
from deadletter.reasons import meaning_of
from payflow.lib.pages.detail import Button, Card, Head, Notice
from payflow.lib.pages.display import (
    UNKNOWN,
    count,
    link,
    list_url,
    moment,
    mono,
    row_link,
    row_url,
)


def explanation(row: FailedItem) -> Notice:
    what, helps = meaning_of(row.reason)
    more = f" There are {len(row.errors)} errors in all." if len(row.errors) > 1 else ""
    return Notice(
        kind="warn",
        icon="error",
        title=what or row.reason,
        text=f"{helps}{more} Nothing is lost: the bytes are below and in the archive.",
    )


def try_button(row: FailedItem) -> Button:
    """To the page that says what becomes of it under another version, or with another text."""
    url = f"{reverse('try-box')}?failed_item={row.pk}"
    return Button(label="Try this event", url=url, icon="science")


def errors_card(row: FailedItem) -> Card:
    return Card(
        title="Errors",
        sub="what the schema asks for, and what was found",
        heads=[
            Head(label="Field"),
            Head(label="Rule"),
            Head(label="Expected"),
            Head(label="Found"),
        ],
        rows=[
            (
                mono(error["field"]) if error["field"] else "the message as a whole",
                error["constraint"],
                error["expected"],
                error["actual"],
            )
            for error in row.errors
        ],
    )


def bytes_card(row: FailedItem) -> Card:
    if row.payload is None:
        return Card(
            title="Message",
            empty="It is longer than 1 MiB, so its bytes are in the archive only.",
            more=Button(label="Bytes as archived", url=_archive_url(row)),
        )
    rendered = render(bytes(row.payload))
    return Card(
        title="Message",
        sub=f"{rendered.kind}, {rendered.note}; card numbers are masked",
        html=rendered.html,
        more=Button(label="As archived", url=_archive_url(row)),
    )


def _archive_url(row: FailedItem) -> str:
    return f"{row_url('ingestion.archivefile', row.archive_file)}?row={row.archive_row}"


def coordinates_card(row: FailedItem) -> Card:
    partition = (
        apps.get_model("ingestion.Partition")
        .objects.filter(source_id=row.source_id, name=row.partition_name)
        .first()
    )
    transactions = list_url("metrics.normalizedtransaction", q=row.transaction_id)
    bundle = Bundle.objects.filter(pk=row.bundle_id).first()
    return Card(
        title="Coordinates",
        facts=[
            ("Source", row_link("configuration.source", row.source_id, row.source)),
            ("Partition", row_link("ingestion.partition", partition.pk, partition))
            if partition
            else ("Partition", mono(row.partition_name)),
            ("Position", mono(row.position)),
            ("Batch", row_link("ingestion.batch", row.batch)),
            (
                "Archive",
                link(_archive_url(row), f"row {row.archive_row:,}", title=row.archive_file),
            ),
            ("Schema", schema_link(bundle, row.schema_name) if bundle else row.schema_name),
            (
                "Bundle",
                row_link("configuration.bundle", row.bundle_id, mono(bundle.hash[:12]))
                if bundle
                else UNKNOWN,
            ),
            (
                "Transaction",
                link(transactions, mono(row.transaction_id)) if row.transaction_id else UNKNOWN,
            ),
            ("Conflicts with", row_link("metrics.normalizedtransaction", row.other_id)),
            ("Correlation id", mono(row.correlation_id)),
            ("Item id", mono(row.pk)),
            ("Retries", count(row.retry_count)),
        ],
    )


def group_card(row: FailedItem) -> Card:
    group = FailureGroup.objects.filter(pk=row.group_id).first()
    if group is None:
        return Card(title="Group", empty="Its group is gone.")
    return Card(
        title="Group",
        sub="items of the same cause",
        facts=[
            ("Group", row_link("deadletter.failuregroup", group.pk, str(group))),
            ("Items", link(list_url("deadletter.faileditem", group=group.pk), count(group.count))),
            ("First seen", moment(group.first_seen)),
            ("Last seen", moment(group.last_seen)),
        ],
    )
