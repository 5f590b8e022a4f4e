"""Filters that an index serves."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib.admin.options import IncorrectLookupParameters
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


_BETWEEN: Final = ".."


def arrived_between(since: datetime, until: datetime) -> str:
    """The value of ArrivedFilter for a range of local times, the end excluded."""
    low, high = timezone.localtime(since), timezone.localtime(until)
    return f"{low:%Y-%m-%dT%H:%M:%S}{_BETWEEN}{high:%Y-%m-%dT%H:%M:%S}"


class ArrivedFilter(DropdownFilter):
    """A time of arrival is a range of ids: the primary key serves it.

    Beside the last hours and days it takes a range of two local times, which pages link to.
    """

    title = "arrival"
    parameter_name = "arrived"
    all_option = ["", "Any time"]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        offered = [(key, label) for key, (label, _) in _RANGES.items()]
        chosen = request.GET.get("arrived", "")
        if _BETWEEN in chosen:
            low, _, high = chosen.replace("T", " ").partition(_BETWEEN)
            offered.append((chosen, f"{low[:19]} to {high[:19]}"))
        return offered

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:  # noqa: ARG002
        value = self.value() or ""
        if _BETWEEN in value:
            since, until = _parse(value)
            return queryset.filter(id__gte=first_id_at(since), id__lt=first_id_at(until))
        chosen = _RANGES.get(value)
        if chosen is None:
            return queryset
        return queryset.filter(id__gte=first_id_at(timezone.now() - chosen[1]))


def _parse(value: str) -> tuple[datetime, datetime]:
    low, _, high = value.partition(_BETWEEN)
    try:
        since, until = datetime.fromisoformat(low), datetime.fromisoformat(high)
        return timezone.make_aware(since), timezone.make_aware(until)
    except (ValueError, OverflowError) as exc:
        raise IncorrectLookupParameters from exc
