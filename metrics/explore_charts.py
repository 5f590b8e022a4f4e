"""The charts of Explore: the lines of each kind, the range before them, and what was activated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from configuration.changes import Change, changes_between, marks_of
from metrics.explore_links import events_url
from metrics.explore_metrics import Kind
from metrics.explore_numbers import currency_of
from metrics.explore_state import COMPARISONS, State
from metrics.series import Cell, Group, Series, read_series, value_of
from payflow.lib.pages.display import DASH, list_url
from payflow.lib.pages.line_charts import MOST_LINES, Line, Mark, line_chart

#: more groups than this: only the largest has its comparison drawn, dotted lines look alike
_FEW: Final = 2

Read = Callable[[Cell], Decimal | None]
#: kind -> name and value of each line of one group; other kinds have one line
_LINES: Final[dict[Kind, tuple[tuple[str, Read], ...]]] = {
    Kind.HISTOGRAM: (
        ("p50", lambda cell: cell.p50),
        ("p95", lambda cell: cell.p95),
        ("p99", lambda cell: cell.p99),
    ),
    Kind.GAUGE: (
        ("max", lambda cell: cell.high),
        ("last", lambda cell: cell.last),
        ("min", lambda cell: cell.low),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart and what it is of."""

    title: str
    html: Any


def charts_of(state: State, series: Series, before: Series | None) -> list[Chart]:
    """The charts of a series: amounts of each currency have one of their own."""
    if not series.groups:
        return []
    marks = _marks(series)
    if state.metric.is_money and set(series.group_by) == {"currency"}:
        charts = []
        for group in series.groups[:MOST_LINES]:
            charts += _of_one(state, series, group, _same(before, group), marks)
        return charts
    if not series.group_by:
        [group] = series.groups
        return _of_one(state, series, group, _same(before, group), marks)
    return [_of_groups(state, series, before, marks)]


def _same(before: Series | None, group: Group) -> Group | None:
    groups = before.groups if before else ()
    return next((other for other in groups if other.key == group.key), None)


def _of_one(
    state: State, series: Series, group: Group, before: Group | None, marks: Sequence[Mark]
) -> list[Chart]:
    """The lines of one group; under the quantiles of a HISTOGRAM its number of events."""
    metric, currency = state.metric, currency_of(group, state.filters)
    title = currency if "currency" in series.group_by else ""
    found = []
    for name, read in _LINES.get(metric.kind, (("", None),)):
        label = name or currency or metric.name
        line = _line(state, series, group, label, read)
        if any(value is not None for value in line.values):
            found.append(line)
            found += _compared(state, series, before, label, read)
    chart = _chart(state, series, found, marks, unit=_unit(state, currency), title=title)
    if metric.kind is not Kind.HISTOGRAM:
        return [chart]
    events = _line(state, series, group, "events", lambda cell: Decimal(cell.transactions))
    title = f"{title} events".strip().capitalize() if not title else f"{title}, events"
    return [chart, _chart(state, series, [events], (), unit="", title=title, height=110)]


def _of_groups(state: State, series: Series, before: Series | None, marks: Sequence[Mark]) -> Chart:
    """The five largest groups; the others, dotted, as one."""
    drawn = series
    if len(series.groups) > MOST_LINES or series.others:
        drawn = read_series(
            state.metric.name,
            since=series.since,
            until=series.until,
            step_s=series.step_s,
            group_by=series.group_by,
            filters=series.filters,
            keep=MOST_LINES,
        )
    lines = []
    for number, group in enumerate(drawn.groups):
        label = _label(group)
        lines.append(_line(state, drawn, group, label, None))
        if len(drawn.groups) <= _FEW or number == 0:
            lines += _compared(state, series, _same(before, group), label, None)
    for group in drawn.others:
        currency = f" {group.key['currency']}" if group.key.get("currency") else ""
        line = _line(state, drawn, group, f"{group.members:,} others{currency}", None)
        lines.append(replace(line, is_comparison=True))
    currency = state.filters.get("currency", "")
    return _chart(state, series, lines, marks, unit=_unit(state, currency), title="")


def _label(group: Group) -> str:
    return " · ".join(value or DASH for value in group.key.values())


def _unit(state: State, currency: str) -> str:
    if state.metric.kind is Kind.RATE:
        return "%"
    return currency if state.metric.is_money else state.metric.unit


def _line(state: State, series: Series, group: Group, label: str, read: Read | None) -> Line:
    step = timedelta(seconds=series.step_s)
    values = {**state.filters, **group.key}
    urls = [
        events_url(state.metric, values, since=start, until=start + step) for start in series.starts
    ]
    return Line(label, _values(state, series.starts, group, read), urls)


def _values(
    state: State, starts: Sequence[datetime], group: Group, read: Read | None
) -> list[float | None]:
    kind = state.metric.kind
    scale = 100 if kind is Kind.RATE else 1
    found: list[float | None] = []
    for start in starts:
        cell = group.cells.get(start)
        value = value_of(cell, kind) if read is None else read(cell) if cell else None
        found.append(None if value is None else float(value * scale))
    return found


def _compared(
    state: State, series: Series, before: Group | None, label: str, read: Read | None
) -> list[Line]:
    """The same line of the range before, at the places of this range."""
    if before is None:
        return []
    starts = [start - state.shift for start in series.starts]
    name = f"{label}, {COMPARISONS[state.compare].lower()}"
    return [Line(name, _values(state, starts, before, read), is_comparison=True)]


def _chart(
    state: State,
    series: Series,
    lines: Sequence[Line],
    marks: Sequence[Mark],
    *,
    unit: str,
    title: str,
    height: int = 240,
) -> Chart:
    is_share = unit == "%"
    floor = min((v for line in lines for v in line.values if v is not None), default=0)
    return Chart(
        title=title,
        html=line_chart(
            lines,
            times=series.starts,
            step_s=series.step_s,
            label=f"{state.metric.name} {title}".strip(),
            unit=unit,
            marks=marks,
            floor=floor if is_share else None,
            height=height,
        ),
    )


def _marks(series: Series) -> list[Mark]:
    """What changed, and where a changed rule began to write."""
    versions = list_url("configuration.configurationversion")
    changes = changes_between(series.since, series.until)
    changes += [
        Change(at=version.first, label="rule changed", url=versions)
        for version in series.versions[1:]
    ]
    return marks_of(changes, since=series.since, until=series.until)
