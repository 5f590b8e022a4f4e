"""Pages of sources; those of versions are in version_admin.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.apps import apps
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from unfold.decorators import display

from configuration import (
    activation_page,
    bundle_admin,
    remote_admin,
    route_page,
    source_page,
    sources,
    version_admin,
)
from configuration.bundling import refresh_bundle
from configuration.forms import SourceForm
from configuration.models import Source
from payflow.lib.pages.admin import Empty, PageAdmin
from payflow.lib.pages.detail import Confirmation, Detail
from payflow.lib.pages.display import (
    count,
    moment,
    row_url,
)

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: the admin finds its pages in this module alone
__all__ = ("SourceAdmin", "activation_page", "bundle_admin", "remote_admin", "version_admin")


@admin.register(Source)
class SourceAdmin(PageAdmin):
    form = SourceForm
    list_display = ("name", "state", "broker_type", "schema", "partitions", "paused_reason")
    list_select_related = ("active_bundle",)
    search_fields = ("name",)
    search_scope = "Sources are found by a part of their name."
    ordering = ("name",)
    empty = Empty(
        title="No source yet",
        text="A source is a broker connection and topic whose messages payflow takes.",
        icon="sensors",
    )

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        """Its settings belong to running drainers: a new source takes their place."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        """Batches, bundles and failed items name their source for as long as they are kept."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        refresh_bundle(obj)

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:  # noqa: ARG002
        return HttpResponseRedirect(row_url("configuration.source", obj.pk))

    def get_urls(self) -> list[URLPattern]:
        views = (
            ("pause", self.pause_view),
            ("resume", self.resume_view),
            ("routes", self.routes_view),
        )
        return [
            *(
                path(
                    f"<int:source_id>/{name}/",
                    self.admin_site.admin_view(view),
                    name=f"configuration_source_{name}",
                )
                for name, view in views
            ),
            *super().get_urls(),
        ]

    @display(description="state")
    def state(self, row: Source) -> SafeString:
        return source_page.source_pill(row)

    @display(description="schema")
    def schema(self, row: Source) -> str:
        if row.active_bundle is None:
            return row.schema_name
        return ", ".join(row.active_bundle.schema_labels)

    @display(description="partitions")
    def partitions(self, row: Source) -> str:
        return count(apps.get_model("ingestion.Partition").objects.filter(source=row).count())

    def detail(self, request: HttpRequest, row: Source) -> Detail:
        return Detail(
            title=row.name,
            state=source_page.source_pill(row),
            meta=[row.broker_type, *source_page.reads_by(row)],
            notices=source_page.notices(row),
            buttons=source_page.buttons(request, row),
            main=[*source_page.routes_cards(row), source_page.partitions_card(row)],
            side=[
                source_page.connection_card(row),
                source_page.bundles_card(row),
                source_page.failures_card(row),
            ],
        )

    def pause_view(self, request: HttpRequest, source_id: int) -> HttpResponse:
        row = self._changeable(request, source_id)
        return self.confirm(
            request,
            row,
            Confirmation(
                title=f"Pause {row.name}",
                text="Drainers give its partitions back within a second. Nothing is lost: the "
                "broker keeps the messages for as long as it is set up to.",
                label="Pause",
                back=row_url("configuration.source", row.pk),
                facts=source_page.waiting(row),
                asks_reason=True,
            ),
            lambda: self._pause(row, request.POST.get("reason", "").strip()),
        )

    def resume_view(self, request: HttpRequest, source_id: int) -> HttpResponse:
        row = self._changeable(request, source_id)
        return self.confirm(
            request,
            row,
            Confirmation(
                title=f"Resume {row.name}",
                text="Drainers take its partitions again, from where each stands.",
                label="Resume",
                back=row_url("configuration.source", row.pk),
                facts=[("Paused", moment(row.paused_at)), *source_page.waiting(row)],
            ),
            lambda: self._resume(row),
        )

    def routes_view(self, request: HttpRequest, source_id: int) -> HttpResponse:
        """Change which messages go to which schema."""
        row = self._changeable(request, source_id)
        edit = route_page.RouteEdit(text=route_page.table_text(row), problems=[])
        if request.method == "POST":
            edit = route_page.save_text(
                row, request.POST.get("routes", ""), by=cast("User", request.user)
            )
            if not edit.problems:
                messages.success(request, f"The routes of {row.name} are live.")
                return HttpResponseRedirect(row_url("configuration.source", row.pk))
        return self.render_page(
            request,
            "payflow/source_routes.html",
            row,
            edit=edit,
            most=route_page.MAX_TEXT,
            example=route_page.EXAMPLE,
        )

    def _changeable(self, request: HttpRequest, source_id: int) -> Source:
        if not request.user.has_perm("configuration.change_source"):
            raise PermissionDenied
        row = Source.objects.filter(pk=source_id).first()
        if row is None:
            raise Http404
        return row

    def _pause(self, row: Source, reason: str) -> str:
        sources.pause(row, reason=reason)
        return f"Paused {row.name}." + (f" Reason: {reason}" if reason else "")

    def _resume(self, row: Source) -> str:
        sources.resume(row)
        return f"Resumed {row.name}."
