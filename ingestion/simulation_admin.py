"""The page Simulator: what runs, and the form that starts, changes and stops it."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from ingestion.simulation_model import MAX_RATE, Simulation
from ingestion.simulation_page import Shown, SimulationForm, title_of
from payflow.lib.pages.admin import Empty, ReadOnlyAdmin
from payflow.lib.pages.display import count

REFRESH_S: Final = 2


@admin.register(Simulation)
class SimulationAdmin(ReadOnlyAdmin):
    """One page for all rows (an installation has one process, so one row); no list, no form."""

    empty = Empty(
        title="No simulator has ever run here",
        text="A process sends the payments; this page tells it what to send. Start it beside this "
        "server:",
        command="manage.py simulate --follow",
        icon="experiment",
    )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("live/", view(require_GET(self.live_view)), name="ingestion_simulation_live"),
            path(
                "<int:pk>/start/",
                view(require_POST(self.start_view)),
                name="ingestion_simulation_start",
            ),
            path(
                "<int:pk>/stop/",
                view(require_POST(self.stop_view)),
                name="ingestion_simulation_stop",
            ),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self._page(request, _rows(), **(extra_context or {}))

    def change_view(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return redirect(self.list_url())

    def live_view(self, request: HttpRequest) -> HttpResponse:
        """The part of the page that fetches itself anew."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {"rows": _rows(), "at": timezone.localtime()}
        return render(request, "payflow/simulator_body.html", context)

    def start_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Want what the form says; the process takes it up within a second."""
        row = self._row(request, pk)
        form = SimulationForm(request.POST)
        if not form.is_valid():
            rows = [Shown(r.row, form if r.row.pk == pk else None) for r in _rows()]
            return self._page(request, rows, status=422)
        wanted = form.cleaned_data
        Simulation.objects.filter(pk=pk).update(
            is_wanted=True, revision=F("revision") + 1, problem="", **wanted
        )
        text = (
            f"{'Changed to' if row.is_wanted else 'Started'} {title_of(wanted['scenario'])}: "
            f"{wanted['rate']:,g} events a second to source {wanted['source']}."
        )
        return self._done(request, row, text)

    def stop_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Want nothing; what was sent stays."""
        row = self._row(request, pk)
        Simulation.objects.filter(pk=pk).update(is_wanted=False, revision=F("revision") + 1)
        text = f"Stopped {title_of(row.scenario)} after {count(row.published)} events."
        return self._done(request, row, text)

    def _row(self, request: HttpRequest, pk: int) -> Simulation:
        if not _may_change(request):
            raise PermissionDenied
        return get_object_or_404(Simulation, pk=pk)

    def _done(self, request: HttpRequest, row: Simulation, text: str) -> HttpResponse:
        self.log_change(request, row, text)
        messages.success(request, text)
        return redirect(self.list_url())

    def _page(
        self, request: HttpRequest, rows: list[Shown], *, status: int = 200, **context: Any
    ) -> TemplateResponse:
        request.current_app = self.admin_site.name
        now = timezone.localtime()
        return TemplateResponse(
            request,
            "payflow/simulator.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": "Simulator",
                "empty": self.empty,
                "media": self.media,
                "rows": rows,
                "may_change": _may_change(request),
                "max_rate": MAX_RATE,
                "refresh_s": REFRESH_S,
                "zone": now.tzname(),
                "at": now,
                **context,
            },
            status=status,
        )


def _may_change(request: HttpRequest) -> bool:
    # asked of the user: the admin class itself lets nobody edit rows in Django's own forms
    return request.user.has_perm("ingestion.change_simulation")


def _rows() -> list[Shown]:
    return [Shown(row) for row in Simulation.objects.select_related("source")]
