"""The list of sources, the page of each, and what a person does there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin, messages
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse, reverse_lazy
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_GET
from unfold.decorators import display

from configuration import route_page, source_page, sources
from configuration.models import Source
from ingestion.push.page import push_card
from ingestion.source_page.body import REFRESH_S, body_of
from ingestion.source_page.brokers import label_of
from ingestion.source_page.filters import BrokerFilter, StateFilter
from ingestion.source_page.form_views import FormViews
from ingestion.source_page.reading import Summary, summaries_of
from ingestion.source_page.state import health_of
from payflow.lib.pages.admin import Empty
from payflow.lib.pages.detail import Button, Confirmation, Detail
from payflow.lib.pages.display import count, moment, rate, row_url, span

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDetail(Detail):
    """The page of a source: what lives in it, and where its connection is tested."""

    body: dict[str, Any]
    #: "" for who may not, and for files
    test_url: str


@admin.register(Source)
class SourceAdmin(FormViews):
    """Sources: their state is the path's, so the page is here and not in configuration."""

    page_template = "payflow/source.html"
    list_display = (
        "name", "state", "broker", "n_rate", "n_lag", "n_lag_time", "n_partitions", "schema",
    )  # fmt: skip
    list_filter = (StateFilter, BrokerFilter)
    list_select_related = ("active_bundle",)
    search_fields = ("name",)
    search_scope = "Sources are found by a part of their name."
    ordering = ("name",)
    empty = Empty(
        title="No source yet",
        text="A source is a broker connection and topic whose messages payflow takes. Add one "
        "here, or from a file:",
        command="manage.py sources apply source.yaml",
        button=Button(
            label="New source…", url=cast("str", reverse_lazy("admin:configuration_source_add"))
        ),
        icon="sensors",
    )

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        """Django's own form would change what checkpoints belong to: ours knows better."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        """Batches, bundles and failed items name their source for as long as they are kept."""
        return False

    def get_urls(self) -> list[URLPattern]:
        views = {
            "live": self.live_view,
            "pause": self.pause_view,
            "resume": self.resume_view,
            "routes": self.routes_view,
            "settings": self.settings_view,
            "test": self.test_view,
        }
        own = [
            path(
                f"<int:source_id>/{name}/",
                self.admin_site.admin_view(view),
                name=f"configuration_source_{name}",
            )
            for name, view in views.items()
        ]
        test = self.admin_site.admin_view(self.test_new_view)
        return [
            path("add/test/", test, name="configuration_source_test_new"),
            *own,
            *super().get_urls(),
        ]

    # --- the list ---

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Rows carry what the tables say of them: two queries for the page, not two a row."""
        found = super().get_changelist_instance(request)
        found.result_list = list(found.result_list)
        summaries = summaries_of([row.pk for row in found.result_list], now=timezone.now())
        for row in found.result_list:
            row.summary = summaries[row.pk]
        return found

    @display(description="state")
    def state(self, row: Any) -> SafeString:
        return health_of(row, row.summary).pill

    @display(description="broker")
    def broker(self, row: Source) -> str:
        return label_of(row.broker_type)

    @display(description="rate")
    def n_rate(self, row: Any) -> str:
        return f"{rate(row.summary.rate)} /s"

    @display(description="lag, events")
    def n_lag(self, row: Any) -> str:
        return count(row.summary.lag_events)

    @display(description="lag, time")
    def n_lag_time(self, row: Any) -> str:
        return span(row.summary.lag_seconds)

    @display(description="partitions")
    def n_partitions(self, row: Any) -> str:
        return count(row.summary.partitions)

    @display(description="schema")
    def schema(self, row: Source) -> str:
        if row.active_bundle is None:
            return row.schema_name
        return ", ".join(row.active_bundle.schema_labels)

    # --- the page ---

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        extra = {"refresh_s": REFRESH_S, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, extra)

    def detail(self, request: HttpRequest, row: Source) -> Detail:
        may_change = request.user.has_perm("configuration.change_source")
        is_file = row.broker_type == "file"
        edit_url = _url("settings", row) if may_change and not is_file else ""
        return SourceDetail(
            title=row.name,
            buttons=_buttons(row) if may_change else [],
            main=[*source_page.routes_cards(row)],
            side=[
                source_page.connection_card(
                    row, broker=label_of(row.broker_type), edit_url=edit_url
                ),
                *filter(None, [push_card(request, row)]),
                source_page.bundles_card(row),
                source_page.failures_card(row),
            ],
            body=body_of(request, row),
            test_url=_url("test", row) if may_change and not is_file else "",
        )

    @method_decorator(require_GET)
    @method_decorator(gzip_page)
    def live_view(self, request: HttpRequest, source_id: int) -> HttpResponse:
        """The part of the page that fetches itself anew; it holds no secret and no form."""
        row = self._viewable(request, source_id)
        return render(request, "payflow/source_body.html", {"body": body_of(request, row)})

    # --- what a person does ---

    def pause_view(self, request: HttpRequest, source_id: int) -> HttpResponse:
        row = self._changeable(request, source_id)
        return self.confirm(
            request,
            row,
            Confirmation(
                title=f"Pause {row.name}",
                text="Workers give its partitions back within a second. Nothing is lost: the "
                "broker keeps the messages for as long as it is set up to.",
                label="Pause",
                back=row_url("configuration.source", row.pk),
                facts=_waiting(row),
                asks_reason=True,
            ),
            lambda: _pause(request, row),
        )

    def resume_view(self, request: HttpRequest, source_id: int) -> HttpResponse:
        row = self._changeable(request, source_id)
        return self.confirm(
            request,
            row,
            Confirmation(
                title=f"Resume {row.name}",
                text="Workers take its partitions again, from where each stands.",
                label="Resume",
                back=row_url("configuration.source", row.pk),
                facts=[
                    ("Paused", moment(row.paused_at)),
                    ("Why", row.paused_reason or "no reason was given"),
                    *_waiting(row),
                ],
            ),
            lambda: _resume(request, row),
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


def _url(action: str, row: Source) -> str:
    return reverse(f"admin:configuration_source_{action}", args=[row.pk])


def _buttons(row: Source) -> list[Button]:
    """Beside the test of its connection, which stands first."""
    routes = Button(label="Routes…", url=_url("routes", row), icon="alt_route")
    if row.broker_type == "file":
        return [routes]
    return [
        routes,
        Button(label="Edit settings…", url=_url("settings", row), icon="tune"),
        Button(label="Resume…", url=_url("resume", row), icon="play_arrow", kind="p")
        if row.paused_at
        else Button(label="Pause…", url=_url("pause", row), icon="pause"),
    ]


def _waiting(row: Source) -> list[tuple[str, Any]]:
    summary: Summary = summaries_of([row.pk], now=timezone.now())[row.pk]
    halted = summary.stopped + summary.paused
    return [
        ("Partitions", f"{count(summary.partitions)}, of which {count(halted)} stand still")
        if halted
        else ("Partitions", count(summary.partitions)),
        ("Events waiting", count(summary.lag_events)),
    ]


def _pause(request: HttpRequest, row: Source) -> str:
    reason = request.POST.get("reason", "").strip()
    if not sources.pause(row, reason=reason, by=cast("User", request.user)):
        return f"{row.name} was paused already."
    return f"Paused {row.name}." + (f" Reason: {reason}" if reason else "")


def _resume(request: HttpRequest, row: Source) -> str:
    if not sources.resume(row, by=cast("User", request.user)):
        return f"{row.name} was not paused."
    return f"Resumed {row.name}."
