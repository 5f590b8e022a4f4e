"""The overview: the first page after login, and the part of it that fetches itself anew."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.contrib.admin.sites import site
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_GET

from ingestion.overview import cards
from ingestion.overview.kpis import kpis
from ingestion.overview.reading import Overview, overview_of, refresh_s
from ingestion.overview.spans import CUSTOM, RANGES, BadRangeError, Span, address, read_span
from ingestion.overview.success import BREAKDOWNS, DEFAULT, success_card
from payflow.lib.pages.axes import span_of_time

_PERMISSION: Final = "ingestion.view_batch"
_ATTENTION: Final = 3


def overview_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's callback for the index page: what admin/index.html shows."""
    if not request.user.has_perm(_PERMISSION):
        return {**context, "may_see": False}
    return {**context, "may_see": True, **_shown(request.GET)}


@require_GET
@gzip_page
def overview_fragment(request: HttpRequest) -> HttpResponse:
    """The body of the overview; payflow.js fetches it every few seconds.

    Compressed to a tenth. It holds no secret (forms and their tokens are in the page around it), so
    its length tells nobody anything.
    """
    if not request.user.has_perm(_PERMISSION):
        raise PermissionDenied
    return render(request, "payflow/overview_body.html", _shown(request.GET))


def _shown(params: Mapping[str, str]) -> dict[str, Any]:
    """Everything that the templates show, of the range and breakdown in the address."""
    now = timezone.now()
    problem = ""
    try:
        span = read_span(params, now=now)
    except BadRangeError as exc:
        problem = str(exc)
        span = read_span({}, now=now)
    by = params.get("by", DEFAULT)
    by = by if by in BREAKDOWNS else DEFAULT
    return {**_range(span, by=by, problem=problem), **_cards(overview_of(span), by=by, now=now)}


def _range(span: Span, *, by: str, problem: str) -> dict[str, Any]:
    """The bar above the cards; a breakdown stays when the range changes, and the other way."""
    more = "" if by == DEFAULT else by
    local = timezone.localtime
    ranges = [
        (label, f"?range={name}" + (f"&by={more}" if more else ""), span.name == name)
        for name, (label, _, _) in RANGES.items()
    ]
    breakdowns = [
        (name.capitalize(), address(span, by="" if name == DEFAULT else name), name == by)
        for name in BREAKDOWNS
    ]
    return {
        "span": span,
        "range_problem": problem,
        "range_text": span_of_time(span.since, min(span.until, span.now)),
        "ranges": ranges,
        "breakdowns": breakdowns,
        "by": by,
        "is_custom": span.name == CUSTOM,
        "from_value": f"{local(span.since):%Y-%m-%dT%H:%M}",
        "to_value": f"{local(span.until):%Y-%m-%dT%H:%M}",
        "live_query": address(span, by=more),
        "refresh_s": refresh_s(span),
        "zone": local().tzname(),
    }


def _cards(overview: Overview, *, by: str, now: datetime) -> dict[str, Any]:
    attention = overview.attention or []
    return {
        "age_s": round((now - overview.span.now).total_seconds()),
        "overview": overview,
        "attention": attention[:_ATTENTION],
        "attention_is_broken": overview.attention is None,
        "more_attention": max(0, len(attention) - _ATTENTION),
        "kpis": kpis(overview),
        "success": success_card(overview, by=by),
        "reasons": cards.reasons(overview),
        "amounts": cards.amounts(overview),
        "findings": cards.findings(overview),
        "severities": cards.severities(overview),
        "dead_groups": cards.dead_groups(overview),
        "latency_chart": cards.latency_chart(overview),
        "taken_in": cards.taken_in(overview),
        "failed_total": sum(overview.failures.now.values()) if overview.failures else 0,
    }


overview_live = site.admin_view(overview_fragment)
