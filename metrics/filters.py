"""Filters of the transactions' list."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any, Final

from django.apps import apps
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import DropdownFilter, RangeDateTimeFilter, TextFilter

from configuration.models import ConfigurationVersion, Source
from metrics.dimensions import known_groups, known_values
from metrics.search import find_customer

_LATEST: Final = {
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("Last 24 hours", timedelta(days=1)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
}


class DimensionFilter(DropdownFilter):
    """One of the dimensions of the roll-ups; the values are those seen lately."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [(value, value) for value in known_values(self.parameter_name or "")]

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:  # noqa: ARG002
        value = self.value()
        return queryset.filter(**{str(self.parameter_name): value}) if value else queryset


class StatusFilter(DimensionFilter):
    title, parameter_name = "status", "payment_status"


class CurrencyFilter(DimensionFilter):
    title, parameter_name = "currency", "currency"


class MethodFilter(DimensionFilter):
    title, parameter_name = "payment method", "payment_method"


class ChannelFilter(DimensionFilter):
    title, parameter_name = "channel", "channel"


class ProcessorFilter(DropdownFilter):
    """Those of the last day's payments, by the built-in metric of processors."""

    title, parameter_name = "processor", "processor"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        names = known_groups("processor_success", "processor")
        chosen = request.GET.get("processor", "")
        return [(name, name) for name in sorted({*names, chosen} - {""})]

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:  # noqa: ARG002
        return queryset.filter(processor=self.value()) if self.value() else queryset


class ErrorCodeFilter(DropdownFilter):
    """Those of the last day's failed payments, by the built-in metric of failures."""

    title, parameter_name = "error code", "error_code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        names = known_groups("payment_failures", "error_code")
        chosen = request.GET.get("error_code", "")
        return [(name, name) for name in sorted({*names, chosen} - {""})]

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:  # noqa: ARG002
        return queryset.filter(error_code=self.value()) if self.value() else queryset


class SourceFilter(DropdownFilter):
    """Transactions know their batch, batches their partition, partitions their source."""

    title, parameter_name = "source", "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [(name, name) for name in Source.objects.values_list("name", flat=True)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:  # noqa: ARG002
        if not self.value():
            return queryset
        batches = apps.get_model("ingestion.Batch").objects
        return queryset.filter(
            batch__in=batches.filter(partition__source__name=self.value()).values("id")
        )


class BatchFilter(DropdownFilter):
    """The rows of one batch, which links here: a range of ids."""

    title, parameter_name = "batch", "batch"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        chosen = request.GET.get("batch", "")
        return [(chosen, chosen)] if chosen else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:  # noqa: ARG002
        if not self.value():
            return queryset
        try:
            batch = apps.get_model("ingestion.Batch").objects.filter(pk=str(self.value())).first()
        except (ValueError, OverflowError) as exc:
            raise IncorrectLookupParameters from exc
        if batch is None:
            return queryset.none()
        return queryset.filter(id__gte=batch.pk, id__lte=batch.last_id, batch=batch.pk)


class IdFilter(TextFilter):
    """One id, whole. No index serves merchants: pages link here with a time of arrival."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:  # noqa: ARG002
        value = (self.value() or "").strip()
        return queryset.filter(**{str(self.parameter_name): value}) if value else queryset


class MerchantFilter(IdFilter):
    title, parameter_name = "merchant", "merchant_id"


class CustomerFilter(IdFilter):
    """Found by the index of customers, the latest first; together with any other filter."""

    title, parameter_name = "customer", "customer_id"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:  # noqa: ARG002
        value = (self.value() or "").strip()
        return queryset.filter(pk__in=find_customer(value)) if value else queryset


class RuleFilter(DropdownFilter):
    """One compliance rule; offered are those that are live, and the one that is chosen."""

    title, parameter_name = "rule", "rule"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        live = ConfigurationVersion.objects.filter(kind="compliance", status="active")
        documents = live.values_list("document", flat=True)
        names = {rule["name"] for document in documents for rule in document.get("rules", [])}
        return [(name, name) for name in sorted(names | {request.GET.get("rule", "")}) if name]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:  # noqa: ARG002
        value = self.value()
        return queryset.filter(rule=value) if value else queryset


class HappenedFilter(DropdownFilter):
    """The latest by event time. Its parameter is that of arrival: lists link to the last hour."""

    title, parameter_name = "event time", "arrived"
    all_option = ["", "Any time"]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [(key, label) for key, (label, _) in _LATEST.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:  # noqa: ARG002
        chosen = _LATEST.get(self.value() or "")
        if chosen is None:
            return queryset
        return queryset.filter(occurred_at__gte=timezone.now() - chosen[1])


class OccurredFilter(RangeDateTimeFilter):
    """Event time in the local zone, the end excluded; a day without a time is a whole day."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:  # noqa: ARG002
        since, until = self._bound("from"), self._bound("to")
        if since:
            queryset = queryset.filter(occurred_at__gte=since)
        return queryset.filter(occurred_at__lt=until) if until else queryset

    def _bound(self, end: str) -> datetime | None:
        day = self.used_parameters.get(f"occurred_at_{end}_0")
        clock = self.used_parameters.get(f"occurred_at_{end}_1")
        if not day:
            return None
        try:
            midnight = datetime.combine(date.fromisoformat(str(day)), time())
            if clock:
                moment = datetime.combine(midnight, time.fromisoformat(str(clock)))
            else:
                moment = midnight + timedelta(days=end == "to")
            return timezone.make_aware(moment)
        except (ValueError, OverflowError) as exc:
            raise IncorrectLookupParameters from exc


#: parameters of OccurredFilter: with any of them the list is in the order of event time
OCCURRED: Final = tuple(f"occurred_at_{end}_{part}" for end in ("from", "to") for part in (0, 1))
