"""Shadows as the admin shows them: the list, the comparison, start and stop."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from configuration.models import ConfigurationVersion
from ingestion.shadow.lifecycle import sources_of, start, stop
from ingestion.shadow.models import Shadow
from ingestion.shadow.page import cards, figures, is_silent, state_pill
from ingestion.shadow.reading import compare
from payflow.lib.errors import ConfigurationError
from payflow.lib.pages.admin import Empty, ReadOnlyAdmin
from payflow.lib.pages.display import count, moment, row_url

PERMISSION: Final = "configuration.shadow_configurationversion"
REFRESH_S: Final = 5
_VERSION: Final = "configuration.configurationversion"


@admin.register(Shadow)
class ShadowAdmin(ReadOnlyAdmin):
    list_display = ("draft", "kind", "state_", "began", "n_events", "n_skipped", "n_cpu")
    list_filter = (("state", ChoicesDropdownFilter),)
    list_select_related = ("version",)
    search_fields = ("version__name",)
    search_scope = "Shadows are found by a part of their rule set's name."
    empty = Empty(
        title="No shadow has run yet",
        text="A draft of metric or compliance rules can see live events beside the active rules "
        "for a time. It is started on the page of the draft.",
        icon="contrast",
    )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        name = "ingestion_shadow"
        return [
            path(
                "of/<int:version_id>/start/",
                view(require_POST(self.start_view)),
                name=f"{name}_start",
            ),
            path("<int:pk>/stop/", view(require_POST(self.stop_view)), name=f"{name}_stop"),
            path("<int:pk>/live/", view(require_GET(self.live_view)), name=f"{name}_live"),
            *super().get_urls(),
        ]

    @display(description="draft")
    def draft(self, row: Shadow) -> str:
        return str(row.version)

    @display(description="kind")
    def kind(self, row: Shadow) -> str:
        return row.version.get_kind_display()

    @display(description="state")
    def state_(self, row: Shadow) -> SafeString:
        return state_pill(row)

    @display(description="began")
    def began(self, row: Shadow) -> SafeString:
        return moment(row.started_at)

    @display(description="events seen")
    def n_events(self, row: Shadow) -> str:
        return count(row.events)

    @display(description="left out")
    def n_skipped(self, row: Shadow) -> str:
        return count(row.skipped)

    @display(description="CPU, s")
    def n_cpu(self, row: Shadow) -> str:
        return f"{row.cpu_ms / 1000:,.1f}"

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",  # noqa: ARG002  Django's signature
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        if row is None:
            messages.warning(request, f"There is no shadow {object_id} (any more).")
            return redirect(self.list_url())
        context = {
            **_shown(row),
            "version_url": row_url(_VERSION, row.version_id),
            "was_changed": row.version.is_draft and row.version.checksum != row.checksum,
            "may_shadow": request.user.has_perm(PERMISSION),
            "zone": timezone.localtime().tzname(),
            "refresh_s": REFRESH_S,
            **(extra_context or {}),
        }
        return self.render_page(request, "payflow/shadow.html", row, **context)

    def live_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that fetches itself anew."""
        row = get_object_or_404(Shadow.objects.select_related("version", "started_by"), pk=pk)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        return render(request, "payflow/shadow_body.html", _shown(row))

    def start_view(self, request: HttpRequest, version_id: int) -> HttpResponse:
        """Run a draft beside the live rules; what speaks against it is said on its own page."""
        if not request.user.has_perm(PERMISSION):
            raise PermissionDenied
        version = get_object_or_404(ConfigurationVersion, pk=version_id)
        minutes, share = request.POST.get("minutes", ""), request.POST.get("share", "")
        try:
            shadow = start(
                version, minutes=_number(minutes), share=_number(share), by=_user(request)
            )
        except ConfigurationError as exc:
            for problem in exc.problems:
                messages.error(request, str(problem) if problem.pointer else problem.message)
            return redirect(row_url(_VERSION, version.pk))
        messages.success(request, f"{version} runs beside the live rules.")
        return redirect(row_url("ingestion.shadow", shadow.pk))

    def stop_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not request.user.has_perm(PERMISSION):
            raise PermissionDenied
        shadow = get_object_or_404(Shadow.objects.select_related("version"), pk=pk)
        done = stop(shadow, by=_user(request))
        text = f"Stopped the shadow of {shadow.version}; what it saw stays."
        messages.success(request, text if done else "It had ended already.")
        return redirect(row_url("ingestion.shadow", shadow.pk))


def _shown(row: Shadow) -> dict[str, Any]:
    sources = ", ".join(source.name for source in sources_of(row.version))
    return {
        "shadow": row,
        "state": state_pill(row),
        "is_silent": is_silent(row),
        "figures": figures(row),
        "cards": cards(row, compare(row)),
        "sources": f"events of {sources}" if sources else "no source uses these rules now",
        "at": timezone.localtime(),
    }


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def _user(request: HttpRequest) -> Any:
    return request.user
