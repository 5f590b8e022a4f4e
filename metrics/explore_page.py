"""The page /explore/ and its CSV: windows only, whatever the address says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qsl

from django.contrib.admin.sites import site
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET
from psycopg.errors import QueryCanceled

from metrics.dimensions import DIMENSIONS, known_values
from metrics.explore_csv import csv_lines, file_name, version_text
from metrics.explore_metrics import Metric, known_metrics
from metrics.explore_report import Report, filter_values, make_report, read
from metrics.explore_state import (
    COMPARISONS,
    CUSTOM,
    RANGES,
    State,
    changed,
    read_state,
    utc_text,
    with_metric,
)
from metrics.series import TOP_GROUPS, SeriesTooLong
from payflow.lib.pages.axes import span_of_time
from payflow.lib.pages.display import span

PERMISSION: Final = "metrics.view_metricwindow"
_TOO_SLOW: Final = "Reading this range took too long and was given up. A shorter range is faster."


@require_GET
def explore(request: HttpRequest) -> HttpResponse:
    """The page. What is wrong in the address is said on it, with status 400."""
    metrics, state, problems = _asked(request)
    report = None
    try:
        report = make_report(state)
        state = report.state
    except SeriesTooLong as exc:
        problems.append(str(exc))
    except OperationalError as exc:
        if not isinstance(exc.__cause__, QueryCanceled):
            raise
        problems.append(_TOO_SLOW)
    context = {
        **site.each_context(request),
        "title": "Explore",
        "problems": problems,
        "state": state,
        "share_from": utc_text(state.since),
        "share_to": utc_text(state.until),
        "report": report,
        **_choices(state, metrics),
        **_about(request, state, report),
    }
    status = 400 if problems else 200
    return render(request, "payflow/explore.html", context, status=status)


@require_GET
def explore_csv(request: HttpRequest) -> HttpResponseBase:
    """The same state as CSV: the 1,000 largest groups and the others, each step."""
    _, state, problems = _asked(request)
    if problems:
        return _refused("\n".join(problems))
    try:
        series = read(state, keep=TOP_GROUPS)
    except SeriesTooLong as exc:
        return _refused(str(exc))
    except OperationalError as exc:
        if not isinstance(exc.__cause__, QueryCanceled):
            raise
        return _refused(_TOO_SLOW)
    response = StreamingHttpResponse(csv_lines(state, series), content_type="text/csv")
    response["Content-Disposition"] = f'attachment; filename="{file_name(state)}"'
    return response


def _asked(request: HttpRequest) -> tuple[dict[str, Metric], State, list[str]]:
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    metrics = known_metrics()
    state, problems = read_state(request.GET, metrics, now=timezone.now())
    return metrics, state, problems


def _refused(text: str) -> HttpResponse:
    return HttpResponse(text + "\n", status=400, content_type="text/plain; charset=utf-8")


def _choices(state: State, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """What can be chosen, each with its address."""
    origins: dict[str, list[dict[str, Any]]] = {}
    for metric in metrics.values():
        entry = {
            "metric": metric,
            "url": with_metric(state, metric).query(),
            "is_current": metric.name == state.metric.name,
        }
        origins.setdefault(metric.origin, []).append(entry)
    return {
        "origins": origins,
        "known_count": len(metrics),
        "ranges": [
            (f"{name[:-1]} {name[-1]}", changed(state, range=name), name == state.range)
            for name in RANGES
        ],
        "is_custom": state.range == CUSTOM,
        "kept": [
            (name, value)
            for name, value in parse_qsl(state.query()[1:])
            if name not in {"range", "from", "to"}
        ],
        "from_value": f"{timezone.localtime(state.since):%Y-%m-%dT%H:%M}",
        "to_value": f"{timezone.localtime(state.until):%Y-%m-%dT%H:%M}",
        "comparisons": [(key, name, key == state.compare) for key, name in COMPARISONS.items()],
    }


def _about(request: HttpRequest, state: State, report: Report | None) -> dict[str, Any]:
    """What the cards say besides their numbers."""
    since, until = state.since, state.until
    offered: Mapping[str, list[str]] = {}
    versions: list[Any] = []
    if report is not None:
        since, until = report.series.since, report.series.until
        offered = filter_values(state, report.series)
        versions = [(version_text(v.version), v.first, v.last) for v in report.series.versions]
    return {
        "range_text": span_of_time(since, until),
        "zone": timezone.localtime().tzname(),
        "is_unfinished": until > timezone.now(),
        "step_text": _step_text(state.step_s),
        "dimensions": [
            {
                "name": name,
                "is_grouped": name in state.group_by,
                "value": state.filters.get(name, ""),
                "offered": offered.get(name) or _lately(name),
            }
            for name in state.metric.dimensions
        ],
        "share_url": request.build_absolute_uri(
            reverse("explore") + replace(state, since=since, until=until).query(is_absolute=True)
        ),
        "csv_url": reverse("explore-csv")
        + replace(state, since=since, until=until).query(is_absolute=True),
        "all_rows_url": changed(state, is_all_rows=True),
        "versions": versions,
    }


def _lately(name: str) -> list[str]:
    """Values of a dimension of the roll-ups, as the lists' filters offer them."""
    return known_values(name) if name in DIMENSIONS else []


def _step_text(step_s: int) -> str:
    if step_s % 86_400 == 0:
        days = step_s // 86_400
        return "day (UTC)" if days == 1 else f"{days} days (UTC)"
    return f"{step_s // 60} min" if step_s < 3600 else span(step_s).replace(" 00 min", "")


explore_view = site.admin_view(explore)
explore_csv_view = site.admin_view(explore_csv)
