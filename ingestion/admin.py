"""Pages of the path's own rows: partitions, batches, archive files and drainers."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import display

import ingestion.job_admin
import ingestion.shadow.admin
import ingestion.simulation_admin
import ingestion.source_page.admin  # noqa: F401  these register their pages
from ingestion import archive_page, batch_page, drainer_page, partition_page, partitions
from ingestion.filters import ContentFilter, PartitionFilter
from ingestion.models import DRAINER_ALIVE_S, ArchiveFile, Batch, Drainer, Partition
from ingestion.passport.admin import PassportAdmin
from metrics.models import NormalizedTransaction
from payflow.lib.pages.admin import Empty, KeysetAdmin, ReadOnlyAdmin
from payflow.lib.pages.detail import Confirmation, Detail
from payflow.lib.pages.display import (
    count,
    moment,
    mono,
    pill,
    row_link,
    row_url,
    size,
    span,
)
from payflow.lib.pages.filters import ArrivedFilter

# the list is metrics'; the page of a transaction needs all that is here
admin.site.register(NormalizedTransaction, PassportAdmin)


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
        resume = path(
            "<int:partition_id>/resume/",
            self.admin_site.admin_view(self.resume_view),
            name="ingestion_partition_resume",
        )
        return [resume, *super().get_urls()]

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
            main=[partition_page.state_card(row), partition_page.batches_card(row)],
            side=[partition_page.coordinates_card(row), partition_page.lease_card(row)],
        )

    def resume_view(self, request: HttpRequest, partition_id: int) -> HttpResponse:
        if not request.user.has_perm("ingestion.change_partition"):
            raise PermissionDenied
        row = Partition.objects.select_related("source").filter(pk=partition_id).first()
        if row is None:
            raise Http404
        is_file = row.source.broker_type == "file"
        confirmation = Confirmation(
            title=f"Resume {row}",
            text="It is read on from the next message. If the cause is still there, it stops "
            "again; nothing is skipped."
            + (" Then give the file to manage.py ingest_file again." if is_file else ""),
            label="Resume",
            back=row_url("ingestion.partition", row.pk),
            facts=[
                ("Stopped", moment(row.stopped_at)),
                ("Why", row.stopped_reason or "it is not stopped"),
                ("Next message", mono(row.position)),
                ("Events waiting", count(row.lag_events)),
            ],
        )
        return self.confirm(request, row, confirmation, lambda: _resume(row))


def _resume(row: Partition) -> str:
    return f"Resumed {row}." if partitions.resume(row) else f"{row} was not stopped."


@admin.register(Batch)
class BatchAdmin(KeysetAdmin):
    list_display = (
        "batch", "committed", "source", "partition_", "n_messages", "n_accepted", "n_failed",
        "n_duplicates", "n_late", "n_time",
    )  # fmt: skip
    list_filter = (
        ArrivedFilter,
        ("partition__source", RelatedDropdownFilter),
        PartitionFilter,
        ContentFilter,
    )
    list_select_related = ("partition__source", "bundle")
    empty = Empty(
        title="No batches yet",
        text="Each commit of a worker is one. Start one beside this server:",
        command="manage.py drain",
        icon="package_2",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("partition__source", "bundle")

    @display(description="batch")
    def batch(self, row: Batch) -> SafeString:
        return mono(row.pk)

    @display(description="committed")
    def committed(self, row: Batch) -> SafeString:
        return moment(row.committed_at)

    @display(description="source")
    def source(self, row: Batch) -> str:
        return row.partition.source.name

    @display(description="partition")
    def partition_(self, row: Batch) -> SafeString:
        return row_link(
            "ingestion.partition",
            row.partition_id,
            mono(row.partition.label or row.partition.name, shorten=20),
        )

    @display(description="messages")
    def n_messages(self, row: Batch) -> str:
        return count(row.messages)

    @display(description="accepted")
    def n_accepted(self, row: Batch) -> str:
        return count(row.accepted)

    @display(description="failed")
    def n_failed(self, row: Batch) -> str:
        return count(row.failed)

    @display(description="duplicates")
    def n_duplicates(self, row: Batch) -> str:
        return count(row.duplicates)

    @display(description="late")
    def n_late(self, row: Batch) -> str:
        return count(row.late)

    @display(description="arrival to commit")
    def n_time(self, row: Batch) -> str:
        return span((row.committed_at - row.received_at).total_seconds())

    def detail(self, request: HttpRequest, row: Batch) -> Detail:  # noqa: ARG002
        return batch_page.detail(row)


@admin.register(ArchiveFile)
class ArchiveFileAdmin(KeysetAdmin):
    list_display = ("name", "written", "n_rows", "n_size", "first_event", "last_event", "state")
    #: paths begin with the day of arrival, and their index is the only one
    keys = ("path",)
    search_fields = ("path",)
    search_help_text = "Path, whole"
    search_scope = "Paths are compared as a whole."
    empty = Empty(
        title="The archive is empty",
        text="Each batch writes one object with the bytes of its messages, card numbers masked.",
        icon="inventory_2",
    )

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[Any],
        search_term: str,
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        return (queryset.filter(pk=term) if term else queryset), False

    @display(description="object")
    def name(self, row: ArchiveFile) -> SafeString:
        return mono(row.path, shorten=60)

    @display(description="written")
    def written(self, row: ArchiveFile) -> SafeString:
        return moment(row.created_at)

    @display(description="rows")
    def n_rows(self, row: ArchiveFile) -> str:
        return count(row.rows)

    @display(description="size")
    def n_size(self, row: ArchiveFile) -> str:
        return size(row.size)

    @display(description="first event")
    def first_event(self, row: ArchiveFile) -> SafeString:
        return moment(row.min_occurred_at)

    @display(description="last event")
    def last_event(self, row: ArchiveFile) -> SafeString:
        return moment(row.max_occurred_at)

    @display(description="state")
    def state(self, row: ArchiveFile) -> SafeString:
        return pill("info", "Superseded") if row.superseded_at else pill("ok", "Counts")

    def detail(self, request: HttpRequest, row: ArchiveFile) -> Detail:
        return archive_page.detail(request, row)


@admin.register(Drainer)
class DrainerAdmin(ReadOnlyAdmin):
    list_display = ("name", "state", "started", "seen", "bundles_")
    ordering = ("-seen_at", "slot")
    empty = Empty(
        title="No drainer has ever run",
        text="A drainer is a worker process that takes messages. Start one:",
        command="manage.py drain",
        icon="memory",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Live ones and those that died; free slots are no drainers."""
        return super().get_queryset(request).exclude(owner="")

    @display(description="drainer")
    def name(self, row: Drainer) -> SafeString:
        return mono(row.owner or f"slot {row.slot}")

    @display(description="state")
    def state(self, row: Drainer) -> SafeString:
        silent = (timezone.now() - row.seen_at).total_seconds() if row.seen_at else None
        if silent is not None and silent < DRAINER_ALIVE_S:
            return pill("ok", "Alive")
        return pill("bad", f"Silent for {span(silent)}")

    @display(description="started")
    def started(self, row: Drainer) -> SafeString:
        return moment(row.started_at)

    @display(description="seen")
    def seen(self, row: Drainer) -> SafeString:
        return moment(row.seen_at)

    @display(description="runs")
    def bundles_(self, row: Drainer) -> str:
        return ", ".join(f"{source}: bundle {bundle}" for source, bundle in row.bundles.items())

    def detail(self, request: HttpRequest, row: Drainer) -> Detail:  # noqa: ARG002
        return drainer_page.detail(row, state=self.state(row))
