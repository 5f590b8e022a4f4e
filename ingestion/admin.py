"""Pages of the path's own rows: batches, archive files and drainers."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    RelatedDropdownFilter,
)
from unfold.decorators import display

import ingestion.job_admin
import ingestion.partition_admin
import ingestion.push.admin
import ingestion.shadow.admin
import ingestion.simulation_admin
import ingestion.source_page.admin  # noqa: F401  these register their pages
from ingestion import archive_page, batch_page, drainer_page
from ingestion.filters import ContentFilter, PartitionFilter
from ingestion.models import DRAINER_ALIVE_S, ArchiveFile, Batch, Drainer
from ingestion.passport.admin import PassportAdmin
from metrics.models import NormalizedTransaction
from payflow.lib.pages.admin import Empty, KeysetAdmin, ReadOnlyAdmin
from payflow.lib.pages.detail import Detail
from payflow.lib.pages.display import (
    count,
    moment,
    mono,
    pill,
    row_link,
    size,
    span,
)
from payflow.lib.pages.filters import ArrivedFilter

# the list is metrics'; the page of a transaction needs all that is here
admin.site.register(NormalizedTransaction, PassportAdmin)


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
