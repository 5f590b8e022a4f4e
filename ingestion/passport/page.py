"""The passport as a page: headline, what happened, where it is, what it counts in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from configuration.models import Bundle
from ingestion.passport import values_card
from ingestion.passport.counted import RollupCell, rollup_cells
from ingestion.passport.gather import Passport
from ingestion.passport.timeline import is_late, late_by, steps, tally
from metrics.admin import status_pill
from metrics.findings_page import evidence_text, severity_pill
from metrics.models import NormalizedTransaction, Violation
from payflow.lib.pages.detail import Button, Card, Detail, Head
from payflow.lib.pages.display import (
    UNKNOWN,
    count,
    joined,
    link,
    list_url,
    moment,
    money,
    mono,
    pill,
    pretty_json,
    row_link,
    row_url,
    span,
    text_or_dash,
)

_TRANSACTIONS: Final = "metrics.normalizedtransaction"


def detail(passport: Passport, *, json_url: str) -> Detail:
    """What the database knows; the archived bytes and the cells of rules come after it."""
    event = passport.event
    return Detail(
        title=_title(event),
        state=status_pill(event.payment_status),
        meta=_meta(passport),
        buttons=[
            Button(label="Copy as JSON", url=json_url, icon="content_copy"),
            *_batch_button(passport),
            Button(
                label="Try this event",
                url=f"{reverse('try-box')}?transaction={event.pk}",
                icon="science",
            ),
        ],
        main=[timeline_card(passport)],
        side=[
            _payment(event),
            _place(passport),
            _versions(passport),
            values_card.card(passport.values),
            _findings(passport),
            *_failures(passport),
            *_attributes(event),
        ],
    )


def timeline_card(passport: Passport) -> Card:
    shown = steps(passport)
    zone = timezone.localtime().tzname()
    html = render_to_string(
        "payflow/passport_timeline.html",
        {"steps": [(moment(step.at, ms=True), step) for step in shown]},
    )
    return Card(
        title="What happened",
        sub=f"{tally(passport, shown)}, all times {zone}",
        html=html,
    )


def rollups_card(event: NormalizedTransaction) -> Card:
    cells = rollup_cells(event)
    return Card(
        title="Counted in",
        sub="roll-up cells that hold this event, as they are now",
        heads=[
            Head(label="Roll-up and cell"),
            Head(label="Window"),
            Head(label="Payments in cell", is_number=True),
            Head(label="Sum", is_number=True),
        ],
        rows=[_rollup_row(event, cell) for cell in cells],
        empty="Its cells are gone: retention dropped them.",
    )


def _title(event: NormalizedTransaction) -> SafeString:
    amount = money(event.amount, event.currency)
    if not event.merchant_id:
        return amount
    return format_html('{} <span class="pf-at">at</span> {}', amount, event.merchant_id)


def _meta(passport: Passport) -> list[Any]:
    event = passport.event
    found: list[Any] = [
        format_html(
            '<span class="pf-mono">{}</span> <button type="button" class="pf-copy" '
            'data-copy="{}" aria-label="Copy transaction id">'
            '<span class="pf-i s" aria-hidden="true">content_copy</span></button>',
            event.transaction_id,
            event.transaction_id,
        ),
        ", ".join(text for text in (event.payment_method, event.channel) if text),
        format_html("{} {}", moment(event.occurred_at, ms=True), timezone.localtime().tzname()),
    ]
    if is_late(passport.batch):
        found.append(pill("warn", "Late", "schedule"))
    if passport.failures:
        refused = len(passport.failures)
        found.append(pill("warn", f"Refused {'once' if refused == 1 else f'{refused} times'}"))
    own = passport.own_findings
    if own:
        found.append(severity_pill(worst(own), f"{len(own)} {_noun(len(own), 'finding')}"))
    return [item for item in found if item]


def worst(findings: Sequence[Violation]) -> str:
    """The gravest severity among findings."""
    order = ("low", "medium", "high", "critical")
    return max((str(finding.severity) for finding in findings), key=order.index)


def _noun(number: int, word: str) -> str:
    return word if number == 1 else f"{word}s"


def _batch_button(passport: Passport) -> list[Button]:
    if passport.batch is None:
        return []
    url = row_url("ingestion.batch", passport.batch.pk)
    return [Button(label="Its batch", url=url, icon="package_2")]


def _filtered(field: str, value: str) -> SafeString:
    """The transactions with this value; by arrival, which bounds what is read."""
    if not value:
        return UNKNOWN
    return link(list_url(_TRANSACTIONS, **{field: value, "arrived": "24h"}), mono(value))


def _payment(event: NormalizedTransaction) -> Card:
    stated = None if event.latency_us is None else event.latency_us / 1e6
    customer = (
        link(list_url(_TRANSACTIONS, q=event.customer_id), mono(event.customer_id))
        if event.customer_id
        else UNKNOWN
    )
    return Card(
        title="Payment",
        facts=[
            ("Amount", format_html("<b>{}</b>", money(event.amount, event.currency))),
            ("Status", event.payment_status),
            ("Type", text_or_dash(event.transaction_type)),
            ("Method", text_or_dash(event.payment_method)),
            ("Channel", text_or_dash(event.channel)),
            ("Processor", text_or_dash(event.processor)),
            ("Error code", text_or_dash(event.error_code)),
            ("Merchant", _filtered("merchant_id", event.merchant_id)),
            ("Category", text_or_dash(event.merchant_category)),
            ("Customer", customer),
            ("Country", text_or_dash(event.country)),
            ("Processing time", span(stated)),
            ("Event time", moment(event.occurred_at, ms=True)),
            ("Arrived", moment(event.received_at, ms=True)),
            ("Delay", _delay(event)),
            ("Correlation", mono(event.correlation_id)),
        ],
    )


def _delay(event: NormalizedTransaction) -> SafeString:
    """From the event's own time to arrival; the archive says whether it counted as late."""
    seconds = late_by(event).total_seconds()
    text = span(seconds) if seconds >= 0 else f"{span(-seconds)} ahead"
    return format_html('{} <span id="pp-late" class="pf-muted"></span>', text)


def _place(passport: Passport) -> Card:
    event, batch = passport.event, passport.batch
    facts: list[tuple[str, Any]] = [
        ("Event id", mono(event.pk)),
        ("Event key", mono(event.event_key)),
    ]
    if batch is None:
        gone = [("Batch", "gone: retention dropped it"), *facts]
        return Card(title="Where it is", facts=gone)
    row, source = passport.archive_row, batch.partition.source
    archive = f"{row_url('ingestion.archivefile', batch.file)}?row={row}"
    offset = format_html('<span id="pp-offset" class="pf-mono">{}</span>', UNKNOWN)
    return Card(
        title="Where it is",
        facts=[
            ("Source", row_link("configuration.source", source.pk, source.name)),
            ("Partition", row_link("ingestion.partition", batch.partition_id, batch.partition)),
            ("Offset", offset),
            ("Batch", row_link("ingestion.batch", batch.pk)),
            ("Archive", link(archive, f"row {row:,} of its object", title=batch.file)),
            ("Object", mono(batch.file)),
            *facts,
        ],
    )


def _versions(passport: Passport) -> Card:
    facts: list[tuple[str, Any]] = [
        (
            version.label,
            row_link(
                "configuration.configurationversion",
                version.id,
                f"{version.name} v{version.number}",
            )
            if version.id
            else f"{version.name} v{version.number}",
        )
        for version in passport.versions
    ]
    batch = passport.batch
    if batch is not None:
        facts.append(("Bundle", _bundle(batch.bundle)))
        facts.append(("Engine", str(batch.bundle.content["engine_version"])))
    tried = [
        item.bundle for item in passport.failures if batch and item.bundle_id != batch.bundle_id
    ]
    if tried:
        facts.append(("First tried under", _bundle(tried[0])))
    return Card(title="Versions", facts=facts, empty="Its batch is gone, and with it its bundle.")


def _bundle(bundle: Bundle) -> SafeString:
    return row_link("configuration.bundle", bundle.pk, mono(bundle.hash[:12]))


def _findings(passport: Passport) -> Card:
    rules = passport.version("compliance")
    known = len(rules.document.get("rules", [])) if rules else 0
    return Card(
        title="Compliance findings",
        heads=[Head(label="Rule"), Head(label="Severity")],
        rows=[
            (
                format_html(
                    '{}<div class="pf-small pf-muted">{}</div>',
                    row_link("metrics.violation", finding.pk, finding.rule),
                    evidence_text(finding.evidence),
                ),
                severity_pill(finding.severity),
            )
            for finding in passport.own_findings
        ],
        empty=f"None. {known} {_noun(known, 'rule')} of {rules.name} v{rules.number} looked at it."
        if rules
        else "None. Its bundle names no compliance rules.",
    )


def _failures(passport: Passport) -> list[Card]:
    """Refused messages that name this transaction, and what was tried with them."""
    if not passport.failures:
        return []
    return [
        Card(
            title="Failures and attempts",
            heads=[Head(label="Refused"), Head(label="State")],
            rows=[
                (
                    format_html(
                        '{}<div class="pf-small pf-muted">{} {}</div>',
                        row_link("deadletter.faileditem", item.pk, item.reason),
                        moment(item.failed_at),
                        item.field,
                    ),
                    joined([item.status, _attempts(item.retry_count)], ", "),
                )
                for item in passport.failures
            ],
        )
    ]


def _attempts(retries: int) -> str:
    return f"{retries} {'retry' if retries == 1 else 'retries'}" if retries else "no retry"


def _attributes(event: NormalizedTransaction) -> list[Card]:
    if not event.metadata:
        return []
    return [Card(title="Attributes", sub="beside the columns", html=pretty_json(event.metadata))]


def _rollup_row(event: NormalizedTransaction, cell: RollupCell) -> tuple[Any, ...]:
    dimensions = (event.payment_method, event.currency, event.payment_status, event.channel)
    start, end = (
        timezone.localtime(cell.start),
        timezone.localtime(cell.start + timedelta(seconds=cell.window_s)),
    )
    url = list_url(
        _TRANSACTIONS,
        occurred_at_from_0=f"{start:%Y-%m-%d}",
        occurred_at_from_1=f"{start:%H:%M:%S}",
        occurred_at_to_0=f"{end:%Y-%m-%d}",
        occurred_at_to_1=f"{end:%H:%M:%S}",
        payment_status=event.payment_status,
        currency=event.currency,
    )
    return (
        format_html(
            '{}<div class="pf-small pf-muted">{}</div>',
            link(url, cell.label),
            ", ".join(value for value in dimensions if value),
        ),
        values_card.window(cell.start, cell.window_s),
        count(cell.transactions),
        money(cell.amount_sum, cell.currency),
    )
