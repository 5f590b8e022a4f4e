"""The overview: the first page after login, and the part of it that fetches itself anew."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.contrib.admin.sites import site
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from ingestion.overview import Overview, Window, read_overview
from payflow.lib.pages.charts import Bar, bar_chart
from payflow.lib.pages.display import list_url

#: seconds that all viewers share what was read
_KEEP_S: Final = 2
REFRESH_S: Final = 5
_PERMISSION: Final = "ingestion.view_batch"
_ATTENTION: Final = 3


def overview_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's callback for the index page: what admin/index.html shows."""
    if not request.user.has_perm(_PERMISSION):
        return {**context, "may_see": False}
    return {**context, "may_see": True, "refresh_s": REFRESH_S, **_shown()}


@require_GET
def overview_fragment(request: HttpRequest) -> HttpResponse:
    """The body of the overview; payflow.js fetches it every few seconds."""
    if not request.user.has_perm(_PERMISSION):
        raise PermissionDenied
    return render(request, "payflow/overview_body.html", _shown())


def _shown() -> dict[str, Any]:
    overview: Overview | None = cache.get("overview")
    if overview is None:
        overview = read_overview()
        cache.set("overview", overview, _KEEP_S)
    return {
        "overview": overview,
        "attention": overview.attention[:_ATTENTION],
        "more_attention": max(0, len(overview.attention) - _ATTENTION),
        "chart": _chart(overview),
        "zone": timezone.localtime().tzname(),
    }


def _chart(overview: Overview) -> Any:
    if not any(window.count for window in overview.windows):
        return ""
    return bar_chart(
        [_bar(window) for window in overview.windows],
        label="Accepted events per five minutes of event time, last six hours",
        unit="accepted",
        height=200,
    )


def _bar(window: Window) -> Bar:
    end = window.start + timedelta(minutes=5)
    return Bar(
        label=f"{window.start:%H:%M}",
        value=window.count,
        tick=f"{window.start:%H:%M}" if window.start.minute == 0 else "",
        url=list_url(
            "metrics.normalizedtransaction",
            occurred_at_from_0=f"{window.start:%Y-%m-%d}",
            occurred_at_from_1=f"{window.start:%H:%M:%S}",
            occurred_at_to_0=f"{end:%Y-%m-%d}",
            occurred_at_to_1=f"{end:%H:%M:%S}",
        ),
    )


overview_live = site.admin_view(overview_fragment)
