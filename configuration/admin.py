"""Pages of sources, versions and bundles.

Versions change by a new version, bundles by activation: both are only looked at here.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from configuration import source_page, sources
from configuration.forms import SourceForm
from configuration.models import Bundle, ConfigurationVersion, Source
from configuration.versions import USED_BY, refresh_bundle
from payflow.lib.pages.admin import Empty, PageAdmin, ReadOnlyAdmin
from payflow.lib.pages.detail import Card, Confirmation, Detail
from payflow.lib.pages.display import (
    count,
    moment,
    mono,
    pill,
    pretty_json,
    row_link,
    row_url,
)

_VERSION_KINDS = {"active": "ok", "draft": "info", "retired": ""}


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
        views = (("pause", self.pause_view), ("resume", self.resume_view))
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
        return f"{row.schema_name} v{row.active_bundle.schema['version']}"

    @display(description="partitions")
    def partitions(self, row: Source) -> str:
        return count(apps.get_model("ingestion.Partition").objects.filter(source=row).count())

    def detail(self, request: HttpRequest, row: Source) -> Detail:
        return Detail(
            title=row.name,
            state=source_page.source_pill(row),
            meta=[
                row.broker_type,
                f"schema {self.schema(row)}",
                f"metrics {row.metrics_name}",
                f"compliance {row.compliance_name}",
            ],
            notices=source_page.notices(row),
            buttons=source_page.buttons(request, row),
            main=[source_page.partitions_card(row)],
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


@admin.register(ConfigurationVersion)
class ConfigurationVersionAdmin(ReadOnlyAdmin):
    list_display = ("version", "kind", "state", "activated", "created", "author", "note")
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("status", ChoicesDropdownFilter),
    )
    list_select_related = ("author",)
    search_fields = ("name",)
    search_scope = "Versions are found by a part of their name."
    empty = Empty(
        title="No version yet",
        text="The shipped schemas and rules become the first ones with:",
        command="manage.py load_defaults",
        icon="schema",
    )

    @display(description="version")
    def version(self, row: ConfigurationVersion) -> str:
        return str(row)

    @display(description="state")
    def state(self, row: ConfigurationVersion) -> SafeString:
        return pill(_VERSION_KINDS[row.status], row.get_status_display())

    @display(description="activated")
    def activated(self, row: ConfigurationVersion) -> SafeString:
        return moment(row.activated_at)

    @display(description="created")
    def created(self, row: ConfigurationVersion) -> SafeString:
        return moment(row.created_at)

    def detail(self, request: HttpRequest, row: ConfigurationVersion) -> Detail:  # noqa: ARG002
        users = Source.objects.filter(**{USED_BY[row.kind]: row.name})
        return Detail(
            title=str(row),
            state=self.state(row),
            meta=[row.get_kind_display(), row.note or "no note"],
            main=[Card(title="Document", html=pretty_json(row.document))],
            side=[
                Card(
                    title="Version",
                    facts=[
                        ("Created", moment(row.created_at)),
                        ("Author", str(row.author) if row.author else "shipped"),
                        ("Activated", moment(row.activated_at)),
                        ("SHA-256", mono(row.checksum, shorten=17)),
                    ],
                ),
                Card(
                    title="Used by",
                    facts=[
                        (
                            row_link("configuration.source", source.pk, source.name),
                            source_page.source_pill(source),
                        )
                        for source in users
                    ],
                    empty="No source uses this name.",
                ),
            ],
        )


@admin.register(Bundle)
class BundleAdmin(ReadOnlyAdmin):
    list_display = ("short_hash", "source", "schema", "metrics", "is_active", "created")
    list_filter = (("source", RelatedDropdownFilter),)
    list_select_related = ("source",)
    empty = Empty(
        title="No bundle yet",
        text="A bundle is what evaluation needs for one source. It follows from what is active.",
        icon="deployed_code",
    )

    @display(description="bundle")
    def short_hash(self, row: Bundle) -> SafeString:
        return mono(row.hash[:12])

    @display(description="schema")
    def schema(self, row: Bundle) -> str:
        return f"{row.schema['name']} v{row.schema['version']}"

    @display(description="metrics")
    def metrics(self, row: Bundle) -> str:
        return f"{row.content['metrics']['name']} v{row.content['metrics']['version']}"

    @display(description="state")
    def is_active(self, row: Bundle) -> SafeString:
        return pill("ok", "Active") if row.source.active_bundle_id == row.pk else pill("", "Past")

    @display(description="created")
    def created(self, row: Bundle) -> SafeString:
        return moment(row.created_at)

    def detail(self, request: HttpRequest, row: Bundle) -> Detail:  # noqa: ARG002
        return Detail(
            title=mono(row.hash[:12]),
            state=self.is_active(row),
            meta=[self.schema(row), self.metrics(row)],
            main=[Card(title="Content", html=pretty_json(row.content))],
            side=[
                Card(
                    title="Bundle",
                    facts=[
                        ("Source", row_link("configuration.source", row.source_id, row.source)),
                        ("Created", moment(row.created_at)),
                        ("Engine version", str(row.content["engine_version"])),
                        ("SHA-256", mono(row.hash, shorten=17)),
                    ],
                )
            ],
        )
