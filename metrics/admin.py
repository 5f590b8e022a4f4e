"""Lists of accepted events and of what compliance rules found in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from metrics import findings_page
from metrics.filters import (
    OCCURRED,
    BatchFilter,
    ChannelFilter,
    CurrencyFilter,
    CustomerFilter,
    ErrorCodeFilter,
    HappenedFilter,
    MerchantFilter,
    MethodFilter,
    OccurredFilter,
    ProcessorFilter,
    RuleFilter,
    SourceFilter,
    StatusFilter,
)
from metrics.models import NormalizedTransaction, Violation
from metrics.search import find_customer, find_transaction
from payflow.lib.pages.admin import Empty, KeysetAdmin
from payflow.lib.pages.detail import Detail
from payflow.lib.pages.display import (
    moment,
    money,
    mono,
    pill,
    row_link,
    text_or_dash,
)
from payflow.lib.pages.filters import ArrivedFilter

_STATUS_KINDS: Final = {"completed": "ok", "failed": "warn", "pending": "info"}


def status_pill(status: str) -> SafeString:
    icons = {"cancelled": "cancel", "refunded": "undo", "pending": "schedule"}
    return pill(_STATUS_KINDS.get(status, ""), status, icons.get(status, ""))


class TransactionAdmin(KeysetAdmin):
    """The list; ingestion/passport/ adds the page of each and registers both."""

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
        ProcessorFilter,
        ErrorCodeFilter,
        SourceFilter,
        MerchantFilter,
        CustomerFilter,
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


def _find(term: str) -> list[int]:
    found = find_transaction(term) or find_customer(term)
    if not found and term.isdecimal() and int(term) < 2**63:
        return [int(term)]
    return found


@admin.register(Violation)
class ViolationAdmin(KeysetAdmin):
    list_display = (
        "finding",
        "severity_",
        "family_",
        "happened",
        "transaction",
        "merchant",
        "customer",
        "evidence_",
    )
    list_filter = (
        HappenedFilter,
        ("occurred_at", OccurredFilter),
        ("severity", ChoicesDropdownFilter),
        ("family", ChoicesDropdownFilter),
        RuleFilter,
    )
    search_fields = ("transaction_id",)
    search_help_text = "Transaction, customer or merchant id, whole"
    search_scope = "Transaction, customer and merchant ids are compared as a whole."
    empty = Empty(
        title="No compliance findings",
        text="Each event is checked against the compliance rules of its source; none has broken "
        "one. The rules are documents like schemas and metric rules.",
        icon="verified_user",
    )

    def list_keys(self, params: Mapping[str, Any]) -> Sequence[str]:
        """By event time under a filter of it: an index serves that order and no other."""
        timed = any(params.get(name) for name in (*OCCURRED, HappenedFilter.parameter_name))
        return ("occurred_at", "id") if timed else ("id",)

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[Any],
        search_term: str,
    ) -> tuple[QuerySet[Any], bool]:
        """A transaction by the index of its events; ids of people walk the findings."""
        term = search_term.strip()
        if not term:
            return queryset, False
        events = find_transaction(term)
        if events:
            return queryset.filter(event_id__in=events), False
        return queryset.filter(Q(customer_id=term) | Q(merchant_id=term)), False

    @display(description="rule")
    def finding(self, row: Violation) -> str:
        return row.rule

    @display(description="severity")
    def severity_(self, row: Violation) -> SafeString:
        return findings_page.severity_pill(row.severity)

    @display(description="family")
    def family_(self, row: Violation) -> str:
        return row.get_family_display()

    @display(description="happened")
    def happened(self, row: Violation) -> SafeString:
        return moment(row.occurred_at)

    @display(description="transaction")
    def transaction(self, row: Violation) -> SafeString:
        shown = mono(row.transaction_id, shorten=22)
        return row_link("metrics.normalizedtransaction", row.event_id, shown)

    @display(description="merchant")
    def merchant(self, row: Violation) -> SafeString:
        return mono(row.merchant_id, shorten=18)

    @display(description="customer")
    def customer(self, row: Violation) -> SafeString:
        return mono(row.customer_id, shorten=18)

    @display(description="seen")
    def evidence_(self, row: Violation) -> str:
        return findings_page.evidence_text(row.evidence)

    def detail(self, request: HttpRequest, row: Violation) -> Detail:  # noqa: ARG002
        return findings_page.detail(row)
