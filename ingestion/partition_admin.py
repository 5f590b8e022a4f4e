"""Pages of partitions: the list, one of them, and what a person may have it do."""

from __future__ import annotations

from typing import cast

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from ingestion import partition_page, partitions, seek_page
from ingestion.models import Partition
from payflow.lib.pages.admin import Empty, ReadOnlyAdmin
from payflow.lib.pages.detail import Confirmation, Detail
from payflow.lib.pages.display import count, moment, mono, row_link, row_url, span


@admin.register(Partition)
class PartitionAdmin(ReadOnlyAdmin):
    list_display = (
        "partition", "state_", "source", "n_lag", "n_lag_time", "n_taken", "owner", "committed",
    )  # fmt: skip
    list_filter = (("state", ChoicesDropdownFilter), ("source", RelatedDropdownFilter))
    list_select_related = ("source",)
    search_fields = ("name", "label")
    search_scope = "Partitions are found by a part of their name or label."
    ordering = ("-state", "source__name", "pk")
    empty = Empty(
        title="No partitions yet",
        text="A worker adds those of a source once it has reached its broker; a file becomes one "
        "when it is loaded.",
        command="manage.py drain",
        icon="view_week",
    )

    def get_urls(self) -> list[URLPattern]:
        views = (("resume", self.resume_view), ("pause", self.pause_view), ("seek", self.seek_view))
        return [
            *(
                path(
                    f"<int:partition_id>/{name}/",
                    self.admin_site.admin_view(view),
                    name=f"ingestion_partition_{name}",
                )
                for name, view in views
            ),
            *super().get_urls(),
        ]

    @display(description="partition")
    def partition(self, row: Partition) -> SafeString:
        return mono(row, shorten=32)

    @display(description="state")
    def state_(self, row: Partition) -> SafeString:
        return partition_page.state_pill(row)

    @display(description="lag, events")
    def n_lag(self, row: Partition) -> str:
        return count(row.lag_events)

    @display(description="lag, time")
    def n_lag_time(self, row: Partition) -> str:
        return span(row.lag_seconds)

    @display(description="messages taken")
    def n_taken(self, row: Partition) -> str:
        return count(row.sequence_number)

    @display(description="lease, epoch")
    def owner(self, row: Partition) -> SafeString | str:
        return (
            mono(f"{row.leased_by}, {row.lease_epoch}", shorten=24) if row.leased_by else "nobody"
        )

    @display(description="last commit")
    def committed(self, row: Partition) -> SafeString:
        return moment(row.committed_at)

    def detail(self, request: HttpRequest, row: Partition) -> Detail:
        return Detail(
            title=str(row),
            state=partition_page.state_pill(row),
            meta=[row_link("configuration.source", row.source_id, f"source {row.source}")],
            notices=partition_page.notices(row),
            buttons=partition_page.buttons(request, row),
            main=[
                partition_page.state_card(row),
                partition_page.batches_card(row),
                *partition_page.seeks_cards(row),
            ],
            side=[partition_page.coordinates_card(row), partition_page.lease_card(row)],
        )

    def resume_view(self, request: HttpRequest, partition_id: int) -> HttpResponse:
        row = _changeable(request, partition_id)
        is_file = row.source.broker_type == "file"
        is_paused = row.state == Partition.State.PAUSED
        confirmation = Confirmation(
            title=f"Resume {row}",
            text="It is read on from the next message; nothing is skipped."
            + ("" if is_paused else " If the cause is still there, it stops again.")
            + (" Then give the file to manage.py ingest_file again." if is_file else ""),
            label="Resume",
            back=row_url("ingestion.partition", row.pk),
            facts=[
                ("Paused" if is_paused else "Stopped", moment(row.stopped_at)),
                ("Why", partition_page.why_halted(row) or "it is not stopped"),
                ("Next message", mono(row.position)),
                ("Events waiting", count(row.lag_events)),
            ],
        )
        return self.confirm(request, row, confirmation, lambda: _resume(request, row))

    def pause_view(self, request: HttpRequest, partition_id: int) -> HttpResponse:
        row = _changeable(request, partition_id)
        confirmation = Confirmation(
            title=f"Pause {row}",
            text="Its worker gives it back within a second; the other partitions go on. Nothing "
            "is lost: the broker keeps the messages for as long as it is set up to.",
            label="Pause",
            back=row_url("ingestion.partition", row.pk),
            facts=[
                ("State", partition_page.state_pill(row)),
                ("Next message", mono(row.position)),
                ("Events waiting", count(row.lag_events)),
            ],
            asks_reason=True,
            reason_label="Reason, shown on its page",
        )
        return self.confirm(request, row, confirmation, lambda: _pause(request, row))

    def seek_view(self, request: HttpRequest, partition_id: int) -> HttpResponse:
        """Where to go, what that would skip or repeat, and on its POST doing it."""
        return seek_page.seek_view(self, request, _changeable(request, partition_id))


def _changeable(request: HttpRequest, partition_id: int) -> Partition:
    if not request.user.has_perm("ingestion.change_partition"):
        raise PermissionDenied
    row = Partition.objects.select_related("source").filter(pk=partition_id).first()
    if row is None:
        raise Http404
    return row


def _resume(request: HttpRequest, row: Partition) -> str:
    if partitions.resume(row, by=cast("User", request.user)):
        return f"Resumed {row}."
    return f"{row} was not stopped."


def _pause(request: HttpRequest, row: Partition) -> str:
    reason = request.POST.get("reason", "").strip()
    if not partitions.pause(row, reason=reason, by=cast("User", request.user)):
        return f"{row} was not active."
    return f"Paused {row}." + (f" Reason: {reason}" if reason else "")
