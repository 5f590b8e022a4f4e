"""Filters that an index serves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import DropdownFilter

from payflow.lib.event_id import first_id_at

_RANGES: Final = {
    "5m": ("Last 5 minutes", timedelta(minutes=5)),
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("Last 24 hours", timedelta(days=1)),
    "7d": ("Last 7 days", timedelta(days=7)),
}


class ArrivedFilter(DropdownFilter):
    """A time of arrival is a range of ids: the primary key serves it."""

    title = "arrival"
    parameter_name = "arrived"
    all_option = ["", "Any time"]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [(key, label) for key, (label, _) in _RANGES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:  # noqa: ARG002
        chosen = _RANGES.get(self.value() or "")
        if chosen is None:
            return queryset
        return queryset.filter(id__gte=first_id_at(timezone.now() - chosen[1]))
