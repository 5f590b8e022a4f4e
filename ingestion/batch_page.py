"""What the page of a batch shows, and how its verdicts read in any table."""

from __future__ import annotations

from typing import Any, Final

from django.utils.html import format_html
from django.utils.safestring import SafeString

from ingestion.models import Batch, BatchOutcome
from payflow.lib.event_id import arrival_of
from payflow.lib.pages.detail import Button, Card, Detail, Head, Notice
from payflow.lib.pages.display import (
    count,
    joined,
    link,
    list_url,
    moment,
    mono,
    row_link,
    row_url,
    span,
)

_OUTCOMES: Final = 20
_STEPS: Final = ("scrub", "evaluate", "archive")


def verdicts(row: Batch) -> SafeString:
    """`9,568 accepted · 333 failed · 99 duplicates`; what is zero is left out."""
    parts = [format_html("{} accepted", count(row.accepted))]
    for number, word, tone in (
        (row.failed, "failed", "pf-t-warn"),
        (row.duplicates, "duplicates", ""),
        (row.ignored, "ignored", ""),
    ):
        if number:
            parts.append(format_html('<span class="{}">{} {}</span>', tone, count(number), word))
    return joined(parts, " · ")


def detail(row: Batch) -> Detail:
    return Detail(
        title=mono(row.pk),
        meta=[verdicts(row), moment(row.committed_at, ms=True)],
        notices=rule_notices(row),
        buttons=[
            Button(
                label=f"{count(row.accepted)} transactions",
                url=list_url("metrics.normalizedtransaction", batch=row.pk),
            )
        ],
        main=[_counts(row), _timings(row), _outcomes(row)],
        side=[_coordinates(row), _archive(row)],
    )


def rule_notices(row: Batch) -> list[Notice]:
    return [
        Notice(
            kind="warn",
            icon="rule",
            title=f"Rule {name} could not be computed for {count(failure['count'])} events",
            text=f"{failure['error']}. The events are stored; this rule gave no value for them.",
        )
        for name, failure in (row.rule_failures or {}).items()
    ]


def _counts(row: Batch) -> Card:
    return Card(
        title="Counts",
        sub="parts = accepted + failed + ignored + duplicates",
        facts=[
            ("Messages", count(row.messages)),
            ("Parts", count(row.parts)),
            ("Accepted", count(row.accepted)),
            ("Failed", count(row.failed)),
            ("Ignored", count(row.ignored)),
            ("Duplicates", count(row.duplicates)),
            ("Late", count(row.late)),
            ("First event", moment(row.min_occurred_at)),
            ("Last event", moment(row.max_occurred_at)),
        ],
    )


def _timings(row: Batch) -> Card:
    # jsonb keeps no order
    steps = {name: f"{row.timings[name]:,.1f} ms" for name in _STEPS if name in row.timings}
    transaction = row.committed_at - arrival_of(row.pk)
    total = row.committed_at - row.received_at
    return Card(
        title="Time",
        facts=[
            ("Arrival", moment(row.received_at, ms=True)),
            *((name.capitalize(), value) for name, value in steps.items()),
            ("Transaction", f"{transaction.total_seconds() * 1000:,.1f} ms"),
            ("Arrival to commit", span(total.total_seconds())),
        ],
    )


def _outcomes(row: Batch) -> Card:
    """Parts that the transaction decided: with a link to what was there first."""
    outcomes = BatchOutcome.objects.filter(
        batch=row.pk, id__gte=row.pk, id__lte=row.last_id
    ).order_by("id")[:_OUTCOMES]
    return Card(
        title="Duplicates and conflicts",
        sub=f"the first {_OUTCOMES}" if len(outcomes) == _OUTCOMES else "",
        heads=[
            Head(label="Transaction"),
            Head(label="Row", is_number=True),
            Head(label="Outcome"),
            Head(label="Stored as"),
        ],
        rows=[
            (
                mono(outcome.transaction_id, shorten=24),
                count(outcome.ordinal),
                outcome.get_outcome_display(),
                row_link("metrics.normalizedtransaction", outcome.other_id),
            )
            for outcome in outcomes
        ],
        empty="Every accepted event was new.",
    )


def _coordinates(row: Batch) -> Card:
    facts: list[tuple[str, Any]] = [
        ("Source", row_link("configuration.source", row.partition.source_id, row.partition.source)),
        ("Partition", row_link("ingestion.partition", row.partition_id, row.partition)),
        ("First message", mono(row.start_position)),
        ("Next message", mono(row.next_position)),
        ("Number of the first", count(row.sequence_number)),
        ("Lease epoch", count(row.epoch)),
        ("Bundle", row_link("configuration.bundle", row.bundle_id, mono(row.bundle.hash[:12]))),
        ("First id", mono(row.pk)),
        ("Last id", mono(row.last_id)),
    ]
    return Card(title="Coordinates", facts=facts)


def _archive(row: Batch) -> Card:
    return Card(
        title="Archive",
        facts=[
            ("File", link(row_url("ingestion.archivefile", row.file), mono(row.file))),
            ("First row", count(row.first_row)),
        ],
    )
