"""Pages of accepted events. dynamic_metrics has a key of two columns: shown with its event."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from django.apps import apps
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display

from metrics.filters import (
    OCCURRED,
    BatchFilter,
    ChannelFilter,
    CurrencyFilter,
    MethodFilter,
    OccurredFilter,
    SourceFilter,
    StatusFilter,
)
from metrics.models import DynamicMetric, NormalizedTransaction
from metrics.search import Hours, find_customer, find_transaction
from payflow.lib.pages.admin import Empty, KeysetAdmin
from payflow.lib.pages.detail import Button, Card, Detail, Head
from payflow.lib.pages.display import (
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
from payflow.lib.pages.filters import ArrivedFilter

_STATUS_KINDS: Final = {"completed": "ok", "failed": "warn", "pending": "info"}
#: how far apart the events of one payment are looked for on its page
_LIFE: Final = timedelta(days=30)
_OTHERS: Final = 50


def status_pill(status: str) -> SafeString:
    icons = {"cancelled": "cancel", "refunded": "undo", "pending": "schedule"}
    return pill(_STATUS_KINDS.get(status, ""), status, icons.get(status, ""))


@admin.register(NormalizedTransaction)
class TransactionAdmin(KeysetAdmin):
    list_display = (
        "transaction",
        "occurred",
        "n_amount",
        "status",
        "method",
        "channel",
        "merchant",
        "customer",
    )
    list_filter = (
        ArrivedFilter,
        ("occurred_at", OccurredFilter),
        StatusFilter,
        CurrencyFilter,
        MethodFilter,
        ChannelFilter,
        SourceFilter,
        BatchFilter,
    )
    search_fields = ("transaction_id",)
    search_help_text = "Transaction, customer or event id, whole"
    search_scope = (
        "Transaction, customer and event ids are compared as a whole. A refused event "
        "is among the failed items."
    )
    empty = Empty(
        title="No transactions yet",
        text="They appear as soon as a worker has taken the first events of a source. "
        "To see some, simulate payments or load a file:",
        command="manage.py simulate --source demo",
        icon="receipt_long",
    )

    def list_keys(self, params: Mapping[str, Any]) -> Sequence[str]:
        """By event time under a filter of it: an index serves that order and no other."""
        return ("occurred_at", "id") if any(params.get(name) for name in OCCURRED) else ("id",)

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[Any],
        search_term: str,
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(pk__in=_find(term)), False

    @display(description="transaction")
    def transaction(self, row: NormalizedTransaction) -> SafeString:
        return mono(row.transaction_id, shorten=22)

    @display(description="occurred")
    def occurred(self, row: NormalizedTransaction) -> SafeString:
        return moment(row.occurred_at)

    @display(description="amount")
    def n_amount(self, row: NormalizedTransaction) -> SafeString:
        return money(row.amount, row.currency)

    @display(description="status")
    def status(self, row: NormalizedTransaction) -> SafeString:
        return status_pill(row.payment_status)

    @display(description="method")
    def method(self, row: NormalizedTransaction) -> str:
        return text_or_dash(row.payment_method)

    @display(description="channel")
    def channel(self, row: NormalizedTransaction) -> str:
        return text_or_dash(row.channel)

    @display(description="merchant")
    def merchant(self, row: NormalizedTransaction) -> SafeString:
        return mono(row.merchant_id, shorten=18)

    @display(description="customer")
    def customer(self, row: NormalizedTransaction) -> SafeString:
        return mono(row.customer_id, shorten=18)

    def detail(self, request: HttpRequest, row: NormalizedTransaction) -> Detail:
        return Detail(
            title=mono(row.transaction_id),
            state=status_pill(row.payment_status),
            meta=[money(row.amount, row.currency), moment(row.occurred_at, ms=True)],
            main=[_event(row), _metrics(row), _others(row), *_failures(request, row)],
            side=[_origin(row), _attributes(row)],
        )


def _find(term: str) -> list[int]:
    found = find_transaction(term) or find_customer(term)
    if not found and term.isdecimal() and int(term) < 2**63:
        return [int(term)]
    return found


def _event(row: NormalizedTransaction) -> Card:
    latency = None if row.latency_us is None else row.latency_us / 1e6
    customers = list_url("metrics.normalizedtransaction", q=row.customer_id)
    return Card(
        title="Event",
        facts=[
            ("Type", text_or_dash(row.transaction_type)),
            ("Occurred", moment(row.occurred_at, ms=True)),
            ("Payment method", text_or_dash(row.payment_method)),
            ("Channel", text_or_dash(row.channel)),
            ("Processor", text_or_dash(row.processor)),
            ("Error code", text_or_dash(row.error_code)),
            ("Merchant", mono(row.merchant_id)),
            ("Merchant category", text_or_dash(row.merchant_category)),
            (
                "Customer",
                link(customers, mono(row.customer_id)) if row.customer_id else mono(""),
            ),
            ("Country", text_or_dash(row.country)),
            ("Processing time", span(latency)),
            ("Correlation id", mono(row.correlation_id)),
        ],
    )


def _metrics(row: NormalizedTransaction) -> Card:
    """Every value that a rule or an extractor gave for this event."""
    rows = [
        (name, data_type.capitalize(), _value(value))
        for data_type, data in DynamicMetric.objects.filter(transaction_id=row.pk)
        .order_by("metric_type")
        .values_list("metric_type", "metric_data")
        for name, value in data.items()
    ]
    return Card(
        title="Metrics",
        sub="what the rules of its bundle gave for this event",
        heads=[Head(label="Metric"), Head(label="Type"), Head(label="Value", is_number=True)],
        rows=rows,
        empty="No rule of its bundle applies to this event.",
    )


def _value(value: Any) -> str:
    """A number as it is; a rate as its two counts."""
    if isinstance(value, dict) and set(value) == {"n", "d"}:
        return f"{value['n']} of {value['d']}"
    return value if isinstance(value, str) else json.dumps(value)


def _others(row: NormalizedTransaction) -> Card:
    """Pending, completed, refunded: a payment is several events."""
    within = Hours(since=row.occurred_at - _LIFE, until=row.occurred_at + _LIFE)
    ids = set(find_transaction(row.transaction_id, within=within)) - {row.pk}
    events = NormalizedTransaction.objects.filter(pk__in=ids).order_by("occurred_at")[:_OTHERS]
    return Card(
        title="Other events of this transaction",
        sub="30 days around it",
        heads=[
            Head(label="Occurred"),
            Head(label="Type"),
            Head(label="Status"),
            Head(label="Amount", is_number=True),
        ],
        rows=[
            (
                row_link("metrics.normalizedtransaction", event.pk, moment(event.occurred_at)),
                text_or_dash(event.transaction_type),
                status_pill(event.payment_status),
                money(event.amount, event.currency),
            )
            for event in events
        ],
        empty="This is the only one.",
    )


def _failures(request: HttpRequest, row: NormalizedTransaction) -> list[Card]:
    """Refused messages that name this transaction, if any and if the person may see them."""
    if not request.user.has_perm("deadletter.view_faileditem"):
        return []
    items = apps.get_model("deadletter.FailedItem").objects.filter(
        transaction_id=row.transaction_id
    )[:_OTHERS]
    if not items:
        return []
    return [
        Card(
            title="Failed items of this transaction",
            heads=[Head(label="Reason"), Head(label="Field"), Head(label="Failed")],
            rows=[
                (
                    row_link("deadletter.faileditem", item.pk, item.reason),
                    text_or_dash(item.field),
                    moment(item.failed_at),
                )
                for item in items
            ],
        )
    ]


def _origin(row: NormalizedTransaction) -> Card:
    """Where it came from and where its bytes are, by the manifest of its batch."""
    batch = (
        apps.get_model("ingestion.Batch")
        .objects.select_related("partition__source", "bundle")
        .filter(pk=row.batch)
        .first()
    )
    facts: list[tuple[str, Any]] = [
        ("Received", moment(row.received_at, ms=True)),
        ("Event id", mono(row.pk)),
        ("Event key", mono(row.event_key)),
    ]
    if batch is not None:
        number = batch.first_row + row.ordinal
        source = batch.partition.source
        archive = f"{row_url('ingestion.archivefile', batch.file)}?row={number}"
        facts = [
            ("Source", row_link("configuration.source", source.pk, source.name)),
            ("Partition", row_link("ingestion.partition", batch.partition_id, batch.partition)),
            ("Batch", row_link("ingestion.batch", batch.pk)),
            ("Bundle", row_link("configuration.bundle", batch.bundle_id, batch.bundle.hash[:12])),
            ("Archive", link(archive, f"row {number:,}", title=batch.file)),
            *facts,
        ]
    return Card(
        title="Origin",
        facts=facts,
        more=Button(label="Bytes as archived", url=archive) if batch is not None else None,
    )


def _attributes(row: NormalizedTransaction) -> Card:
    return Card(
        title="Attributes",
        sub="what the schema maps beside the columns",
        html=pretty_json(row.metadata) if row.metadata else "",
        empty="The schema maps none, or the event has none.",
    )
