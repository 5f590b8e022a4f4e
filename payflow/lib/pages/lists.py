"""Lists over tables of any size: never count, never sort what no index sorts, page by key.

A page is found by the key of the row it follows, not by its number: page 10,000 costs what page 1
costs. A search that no index helps is given up after a few seconds, and the page says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Protocol, cast

from django.db import OperationalError, connection, transaction
from django.db.models import Model, Q, QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest
from psycopg.errors import QueryCanceled
from unfold.views import ChangeList

#: milliseconds after which a list gives up: longer is no answer for a person
PATIENCE_MS: Final = 4000
_PATIENCE = "SELECT set_config('statement_timeout', %s, true)"
_ESTIMATE = """
SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint FROM pg_class c
WHERE c.relkind = 'r' AND (c.oid = %(table)s::regclass
    OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = %(table)s::regclass))
"""


def estimated_rows(table: str) -> int:
    """Rows of a table and its leaves as PostgreSQL's statistics know them: counting would scan."""
    with connection.cursor() as cursor:
        cursor.execute(_ESTIMATE, {"table": table})
        number: int = cursor.fetchone()[0]
        return number


class KeysetModel(Protocol):
    """What a list asks of its admin: the columns it descends by, the primary key last."""

    def list_keys(self, params: Mapping[str, Any]) -> Sequence[str]: ...


class NoPaginator:
    """What Django's list view asks of a paginator, without counting anything."""

    template_name = "payflow/keyset_pagination.html"

    def __init__(self, per_page: int) -> None:
        self.per_page = per_page
        self.num_pages = 1


class KeysetChangeList(ChangeList):
    """A list in the descending order of an index that ends with the primary key."""

    too_slow = False
    before: str | None = None
    after: str | None = None

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[Model]:
        for name in ("before", "after"):
            if name in self.params:
                setattr(self, name, self.params.pop(name))
                self.filter_params.pop(name, None)
        queryset: QuerySet[Model] = super().get_queryset(request, exclude_parameters)
        return queryset

    def get_ordering(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[Model],  # noqa: ARG002
    ) -> list[str | Combinable]:
        self.keys: Sequence[str] = cast("KeysetModel", self.model_admin).list_keys(self.params)
        return [f"-{key}" for key in self.keys]

    def get_ordering_field_columns(self) -> dict[int, Literal["desc", "asc"]]:
        return {}

    def get_results(self, request: HttpRequest) -> None:  # noqa: ARG002
        rows = self._fetch()
        backwards = bool(self.after)
        has_more = len(rows) > self.list_per_page
        rows = rows[: self.list_per_page]
        if backwards:
            rows.reverse()
        has_newer, has_older = (has_more, True) if backwards else (bool(self.before), has_more)
        self.newer_url = self._url(after=rows[0].pk) if rows and has_newer else ""
        self.older_url = self._url(before=rows[-1].pk) if rows and has_older else ""
        self.first_url = self.get_query_string(remove=["before", "after"])
        self.result_list = rows
        self.result_count = self.full_result_count = len(rows)
        self.show_full_result_count = False
        self.show_admin_actions = False
        self.can_show_all = self.multi_page = False
        self.paginator = NoPaginator(self.list_per_page)
        self.last_hour_url = self.get_query_string({"arrived": "1h"}, remove=["before", "after"])
        self.summary = "" if self.query or self.has_active_filters else self._summary()

    def _summary(self) -> str:
        rows = estimated_rows(self.opts.db_table)
        return f"about {rows:,} {self.opts.verbose_name_plural}" if rows else ""

    def _fetch(self) -> list[Model]:
        """One row more than a page holds; nothing, and `too_slow`, when it takes too long."""
        queryset = self.queryset
        if self.after:
            queryset = queryset.filter(self._beyond("gt", self.after)).order_by(*self.keys)
        elif self.before:
            queryset = queryset.filter(self._beyond("lt", self.before))
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(
                    "SELECT set_config('statement_timeout', %s, true)", [str(PATIENCE_MS)]
                )
                return list(queryset[: self.list_per_page + 1])
        except OperationalError as exc:
            if not isinstance(exc.__cause__, QueryCanceled):
                raise
            self.too_slow = True
            return []

    def _beyond(self, comparison: str, key: str) -> Q:
        """Rows on one side of the row with this primary key; the first page if it is gone."""
        try:
            at = self.root_queryset.filter(pk=key).values_list(*self.keys).first()
        except (ValueError, OverflowError):
            at = None
        if at is None:
            return Q()
        beyond, equal = Q(), Q()
        for name, value in zip(self.keys, at, strict=True):
            beyond |= equal & Q(**{f"{name}__{comparison}": value})
            equal &= Q(**{name: value})
        # the first key alone lets the index begin in the right place
        return Q(**{f"{self.keys[0]}__{comparison}e": at[0]}) & beyond

    def _url(self, **cursor: Any) -> str:
        url: str = self.get_query_string(
            {name: str(value) for name, value in cursor.items()}, remove=["before", "after"]
        )
        return url
