"""Pages of what could not be taken: each item with its bytes and every reason, and its group."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from configuration.cause_line import UNDO, likely, undo_buttons
from configuration.causes import cause_near, causes_near
from deadletter import group_page, item_page
from deadletter.filters import GroupFilter, ReasonFilter
from deadletter.models import FailedItem, FailureGroup
from deadletter.reasons import meaning_of
from payflow.lib.pages.admin import Empty, KeysetAdmin, ReadOnlyAdmin
from payflow.lib.pages.detail import Button, Card, Detail, Notice
from payflow.lib.pages.display import (
    count,
    list_url,
    moment,
    mono,
    pill,
    row_link,
    text_or_dash,
)
from payflow.lib.pages.filters import ArrivedFilter

_STATUS_KINDS: Final = {"open": "warn", "resolved": "ok", "discarded": ""}


@admin.register(FailedItem)
class FailedItemAdmin(KeysetAdmin):
    list_display = ("what", "failed", "status_", "source", "place", "transaction", "schema_name")
    list_filter = (
        ArrivedFilter,
        ReasonFilter,
        ("status", ChoicesDropdownFilter),
        ("source", RelatedDropdownFilter),
        ("stage", ChoicesDropdownFilter),
        GroupFilter,
    )
    list_select_related = ("source",)
    search_fields = ("transaction_id",)
    search_help_text = "Transaction or item id, whole"
    search_scope = "Transaction and item ids are compared as a whole."
    empty = Empty(
        title="No failed items",
        text="Every message that arrived was taken. What cannot be taken is kept here, with its "
        "bytes and every reason.",
        icon="check_circle",
    )

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[Any],
        search_term: str,
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        found = queryset.filter(transaction_id=term)
        if not found.exists() and term.isdecimal() and int(term) < 2**63:
            found = queryset.filter(pk=int(term))
        return found, False

    @display(description="reason")
    def what(self, row: FailedItem) -> str:
        return f"{row.reason} at {row.field}" if row.field else row.reason

    @display(description="failed")
    def failed(self, row: FailedItem) -> SafeString:
        return moment(row.failed_at)

    @display(description="status")
    def status_(self, row: FailedItem) -> SafeString:
        return pill(_STATUS_KINDS[row.status], row.get_status_display())

    @display(description="position")
    def place(self, row: FailedItem) -> SafeString:
        return mono(f"{row.partition_name} / {row.position}", shorten=24)

    @display(description="transaction")
    def transaction(self, row: FailedItem) -> SafeString:
        return mono(row.transaction_id, shorten=22)

    def detail(self, request: HttpRequest, row: FailedItem) -> Detail:
        group = FailureGroup.objects.filter(pk=row.group_id).select_related("source").first()
        cause = cause_near(group.began_at, group.source) if group else None
        return Detail(
            title=self.what(row),
            state=self.status_(row),
            meta=[row.get_stage_display(), moment(row.failed_at, ms=True)],
            notices=[
                *([group_page.cause_notice(cause)] if cause else []),
                item_page.explanation(row),
            ],
            buttons=[*undo_buttons(request, cause), item_page.try_button(row)],
            main=[item_page.errors_card(row), item_page.bytes_card(row)],
            side=[item_page.coordinates_card(row), item_page.group_card(row)],
        )


@admin.register(FailureGroup)
class FailureGroupAdmin(ReadOnlyAdmin):
    list_display = ("cause", "likely", "n_count", "source", "schema_name", "stage", "first", "last")
    list_filter = (ReasonFilter, ("source", RelatedDropdownFilter))
    list_select_related = ("source",)
    search_fields = ("reason", "field")
    search_scope = "Groups are found by a part of their reason or field."
    empty = Empty(
        title="No failure groups",
        text="Failed items of one cause form a group. So far every message was taken.",
        icon="check_circle",
    )

    @display(description="cause")
    def cause(self, row: FailureGroup) -> str:
        return str(row)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The list, with what changed shortly before each group began: one query for all."""
        changelist = super().get_changelist_instance(request)
        rows = list(changelist.result_list)
        causes = causes_near({row.pk: (row.began_at, row.source_id) for row in rows})
        may_undo = request.user.has_perm(UNDO)
        for row in rows:
            row.likely_cause = likely(causes.get(row.pk), may_undo=may_undo)
        changelist.result_list = rows
        return changelist

    @display(description="changed before")
    def likely(self, row: FailureGroup) -> SafeString:
        return row.likely_cause

    @display(description="items")
    def n_count(self, row: FailureGroup) -> str:
        return count(row.count)

    @display(description="first seen")
    def first(self, row: FailureGroup) -> SafeString:
        return moment(row.first_seen)

    @display(description="last seen")
    def last(self, row: FailureGroup) -> SafeString:
        return moment(row.last_seen)

    def detail(self, request: HttpRequest, row: FailureGroup) -> Detail:
        what, helps = meaning_of(row.reason)
        cause = cause_near(row.began_at, row.source)
        all_items = Button(
            label=f"All {count(row.count)} items",
            url=list_url("deadletter.faileditem", group=row.pk),
        )
        return Detail(
            title=str(row),
            meta=[row.stage, f"{count(row.count)} items"],
            notices=[
                *([group_page.cause_notice(cause)] if cause else []),
                Notice(kind="warn", icon="error", title=what or row.reason, text=helps),
            ],
            buttons=[*undo_buttons(request, cause), all_items],
            main=[group_page.per_hour_card(row), group_page.newest_card(row)],
            side=[
                Card(
                    title="Group",
                    facts=[
                        ("Source", row_link("configuration.source", row.source_id, row.source)),
                        ("Schema", text_or_dash(row.schema_name)),
                        ("Stage", row.stage),
                        ("Reason", row.reason),
                        ("Field", mono(row.field)),
                        ("First seen", moment(row.first_seen)),
                        ("Began, after a pause", moment(row.began_at)),
                        ("Last seen", moment(row.last_seen)),
                    ],
                )
            ],
        )
