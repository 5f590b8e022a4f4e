"""Filters of the lists of failed items and their groups."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from deadletter.models import FailureGroup


class ReasonFilter(DropdownFilter):
    """A reason is that of the groups, which are few; an index finds the items of a group."""

    title, parameter_name = "reason", "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        reasons = FailureGroup.objects.order_by("reason").values_list("reason", flat=True)
        return [(reason, reason) for reason in reasons.distinct()]

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:  # noqa: ARG002
        if not self.value():
            return queryset
        groups = FailureGroup.objects.filter(reason=self.value())
        return queryset.filter(group_id__in=list(groups.values_list("pk", flat=True)))


class GroupFilter(DropdownFilter):
    """The items of one group, whose page links here."""

    title, parameter_name = "group", "group"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        chosen = self._chosen(request.GET.get("group", ""))
        return [(str(chosen.pk), str(chosen))] if chosen else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:  # noqa: ARG002
        if not self.value():
            return queryset
        return queryset.filter(group=self._chosen(self.value() or ""))

    def _chosen(self, key: str) -> FailureGroup | None:
        if not key:
            return None
        try:
            return FailureGroup.objects.filter(pk=uuid.UUID(key)).first()
        except ValueError as exc:
            raise IncorrectLookupParameters from exc
