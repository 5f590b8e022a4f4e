"""Filters of the batches' list."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from ingestion.models import Partition


class PartitionFilter(DropdownFilter):
    """The batches of one partition, whose page links here."""

    title, parameter_name = "partition", "partition"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        chosen = request.GET.get("partition", "")
        rows = (
            Partition.objects.select_related("source").filter(pk=chosen)
            if chosen.isdecimal()
            else []
        )
        return [(str(row.pk), str(row)) for row in rows]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:  # noqa: ARG002
        value = self.value() or ""
        return queryset.filter(partition=int(value)) if value.isdecimal() else queryset


class ContentFilter(DropdownFilter):
    """Batches in which something is worth a look."""

    title, parameter_name = "content", "with"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [
            ("failed", "Failed items"),
            ("duplicates", "Duplicates"),
            ("late", "Late events"),
            ("rules", "Rules that failed"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:  # noqa: ARG002
        value = self.value()
        if value == "rules":
            return queryset.filter(rule_failures__isnull=False)
        if value in ("failed", "duplicates", "late"):
            return queryset.filter(**{f"{value}__gt": 0})
        return queryset
