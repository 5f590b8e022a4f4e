"""What happened to a transaction, in order: its events, and payflow's own steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from django.utils.html import format_html

from configuration.models import Activation
from deadletter.models import FailedItem
from deadletter.reasons import meaning_of
from ingestion.evaluate import LATE_AFTER
from ingestion.models import Batch, BatchOutcome
from ingestion.passport.gather import Passport
from metrics.models import NormalizedTransaction, Violation
from payflow.lib.event_id import arrival_of
from payflow.lib.pages.display import decimal_text, joined, link, mono, row_link, row_url, span

Side = Literal["payment", "payflow"]
_TONES: Final = {"completed": "ok", "failed": "warn"}
_ICONS: Final = {
    "completed": "check_circle",
    "failed": "error",
    "pending": "schedule",
    "cancelled": "cancel",
    "refunded": "undo",
}
_GRAVE: Final = ("high", "critical")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happened. `kind` is for machines, `title` a sentence, `text` its facts."""

    at: datetime
    #: what the payment did, or what payflow did about it
    side: Side
    kind: str
    icon: str
    title: str
    text: Any = ""
    tone: str = ""


def steps(passport: Passport) -> list[Step]:
    """All steps by time; those of one moment in the order in which the path takes them."""
    found: list[Step] = []
    for event in passport.events:
        found += _event_steps(passport, event)
    found += [_failed(item) for item in passport.failures]
    found += [_set_aside(outcome) for outcome in passport.duplicates]
    found += [_found(finding, of=passport.event) for finding in passport.findings]
    found += [_activated(activation) for activation in passport.activations]
    return sorted(found, key=lambda step: step.at)


def is_late(batch: Batch | None) -> bool | None:
    """Whether an event of a batch was counted as late; None where the batch holds both.

    The broker's time decides, which only the archive knows (archived.py); the counts of the batch
    are enough when they say all or none.
    """
    if batch is None:
        return None
    if batch.late in (0, batch.accepted):
        return batch.late > 0
    return None


def late_by(event: NormalizedTransaction) -> timedelta:
    """How long before its arrival the event happened."""
    return event.received_at - event.occurred_at


def _event_steps(passport: Passport, event: NormalizedTransaction) -> Iterator[Step]:
    is_this = event.pk == passport.event.pk
    batch = passport.batches.get(event.batch)
    yield Step(
        at=event.occurred_at,
        side="payment",
        kind="event",
        icon=_ICONS.get(event.payment_status, "circle"),
        tone=_TONES.get(event.payment_status, ""),
        title=_what(event),
        text=_how(event, is_this=is_this),
    )
    if batch is None:
        yield Step(
            at=event.received_at,
            side="payflow",
            kind="accepted",
            icon="inventory_2",
            title="Arrived and was accepted",
            text="Its batch is gone: retention dropped it.",
        )
        return
    if is_this:
        yield _archived(event, batch)
    yield _accepted(passport, event, batch)


def _what(event: NormalizedTransaction) -> str:
    amount = f"{decimal_text(event.amount, event.currency)} {event.currency}"
    return f"{_kind(event)} of {amount} {event.payment_status}"


def _kind(event: NormalizedTransaction) -> str:
    kind = event.transaction_type or "event"
    return kind[:1].upper() + kind[1:]


def _how(event: NormalizedTransaction, *, is_this: bool) -> Any:
    facts: list[Any] = [
        text
        for text in (event.channel, event.payment_method, event.processor, event.error_code)
        if text
    ]
    if not is_this:
        facts.append(row_link("metrics.normalizedtransaction", event.pk, "open this event"))
    return joined(facts, ", ")


def _archived(event: NormalizedTransaction, batch: Batch) -> Step:
    row = batch.first_row + event.ordinal
    return Step(
        at=batch.received_at,
        side="payflow",
        kind="archived",
        icon="inventory_2",
        title="Arrived and was archived as received",
        text=format_html(
            '<a href="{}?row={}">{}</a>, row {}',
            row_url("ingestion.archivefile", batch.file),
            row,
            mono(batch.file.rpartition("/")[2], shorten=52),
            f"{row:,}",
        ),
    )


def _accepted(passport: Passport, event: NormalizedTransaction, batch: Batch) -> Step:
    is_this = event.pk == passport.event.pk
    late = is_late(batch)
    what = "Accepted" if is_this else f"{_kind(event)} {event.payment_status} was accepted"
    schemas = batch.bundle.schema_labels
    title = f"{what} under {'one of ' if len(schemas) > 1 else ''}{', '.join(schemas)}"
    facts: list[Any] = [row_link("ingestion.batch", batch.pk, f"batch {batch.pk}")]
    if late_by(event) > LATE_AFTER:
        facts.append(f"{span(late_by(event).total_seconds())} after it happened")
    if is_this:
        facts.append(_values(passport))
    return Step(
        at=batch.committed_at,
        side="payflow",
        kind="accepted_late" if late else "accepted",
        icon="task_alt",
        tone="ok",
        title=f"{title}, counted as late" if late else title,
        text=joined(facts, ", "),
    )


def _values(passport: Passport) -> str:
    values, findings = len(passport.values), len(passport.own_findings)
    return (
        f"{values} {'value' if values == 1 else 'values'} of its own, "
        f"{findings} {'finding' if findings == 1 else 'findings'}"
    )


def _failed(item: FailedItem) -> Step:
    what, _ = meaning_of(item.reason)
    place = mono(item.field) if item.field else "the message as a whole"
    return Step(
        at=item.failed_at,
        side="payflow",
        kind="failed",
        icon="error",
        tone="bad",
        title=f"Refused: {what.rstrip('.') or item.reason}",
        text=joined(
            [
                place,
                row_link("deadletter.faileditem", item.pk, f"failed item, {item.status}"),
                f"retried {item.retry_count} times" if item.retry_count else "not retried",
            ],
            ", ",
        ),
    )


def _set_aside(outcome: BatchOutcome) -> Step:
    titles = {
        BatchOutcome.Outcome.DUPLICATE: "Came again and was set aside as a duplicate",
        BatchOutcome.Outcome.CONFLICT: "Came again with other content",
    }
    return Step(
        at=arrival_of(outcome.pk),
        side="payflow",
        kind=outcome.outcome,
        icon="content_copy",
        tone="" if outcome.outcome == BatchOutcome.Outcome.DUPLICATE else "warn",
        title=titles.get(BatchOutcome.Outcome(outcome.outcome), "Refused by the database"),
        text=row_link("ingestion.batch", outcome.batch, f"batch {outcome.batch}"),
    )


def _found(finding: Violation, *, of: NormalizedTransaction) -> Step:
    facts: list[Any] = [row_link("metrics.violation", finding.pk, finding.get_family_display())]
    if finding.event_id != of.pk:
        facts.append("on another event of the transaction")
    return Step(
        at=finding.found_at,
        side="payflow",
        kind="finding",
        icon="gavel",
        tone="bad" if finding.severity in _GRAVE else "warn",
        title=f"{finding.get_severity_display()} finding: {finding.rule}",
        text=joined(facts, ", "),
    )


def _activated(activation: Activation) -> Step:
    version, previous = activation.version, activation.previous
    url = row_url("configuration.configurationversion", version.pk)
    facts: list[Any] = [link(url, "the version")]
    if previous:
        facts.append(f"after v{previous.number}")
    if activation.activated_by:
        facts.append(f"by {activation.activated_by}")
    return Step(
        at=activation.activated_at,
        side="payflow",
        kind="activation",
        icon="published_with_changes",
        tone="mark",
        title=f"{version.get_kind_display()} {version.name} v{version.number} went live",
        text=joined(facts, ", "),
    )


def tally(passport: Passport, shown: Sequence[Step]) -> str:
    """`2 events, 1 refused, all times CET`, for the head of the card."""
    events, refused = len(passport.events), len(passport.failures)
    parts = [f"{events} {'event' if events == 1 else 'events'}"]
    if refused:
        parts.append(f"{refused} refused")
    if len(passport.duplicates):
        parts.append(f"{len(passport.duplicates)} came again")
    return ", ".join([*parts, f"{len(shown)} steps"])
