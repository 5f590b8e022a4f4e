"""Filters of the list of sources."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import DropdownFilter

from ingestion.models import Partition
from ingestion.source_models import SourceConnection
from ingestion.source_page.brokers import brokers
from ingestion.source_page.reading import CONNECTION_LASTS


class BrokerFilter(DropdownFilter):
    """Sources of one type of broker."""

    title, parameter_name = "broker", "broker"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [(name, broker.label) for name, broker in brokers().items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:  # noqa: ARG002
        value = self.value()
        return queryset.filter(broker_type=value) if value else queryset


class StateFilter(DropdownFilter):
    """Sources that somebody should look at, and those that run."""

    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [
            ("running", "Running"),
            ("paused", "Paused"),
            ("halted", "With stopped or paused partitions"),
            ("not_connected", "Not connected"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:  # noqa: ARG002
        partitions = Partition.objects.filter(source=OuterRef("pk"))
        halted = Exists(partitions.filter(state__in=("stopped", "paused")))
        live = SourceConnection.objects.filter(
            source=OuterRef("pk"), seen_at__gt=timezone.now() - CONNECTION_LASTS
        )
        cut_off = Exists(live.filter(failing_since__isnull=False)) & ~Exists(
            live.filter(connected_since__isnull=False)
        )
        leased = Exists(partitions.filter(state="active", leased_until__gt=timezone.now()))
        conditions = {
            "running": Q(leased) & ~Q(cut_off) & Q(paused_at=None),
            "paused": Q(paused_at__isnull=False),
            "halted": Q(halted),
            "not_connected": Q(cut_off) & Q(paused_at=None),
        }
        chosen = conditions.get(self.value() or "")
        return queryset if chosen is None else queryset.filter(chosen)
