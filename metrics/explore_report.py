"""What Explore shows of a state: charts, and a table of groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from metrics.explore_charts import Chart, charts_of
from metrics.explore_links import events_url
from metrics.explore_metrics import Kind
from metrics.explore_numbers import (
    Number,
    change,
    currency_of,
    main_number,
    numbers_of,
    shown,
)
from metrics.explore_state import State
from metrics.series import TOP_GROUPS, Group, Series, read_series, value_of
from payflow.lib.pages.display import DASH
from payflow.lib.pages.line_charts import sparkline

#: rows of the table until all are asked for
FEW_ROWS: Final = 50
#: points of a trend in the table
TREND_POINTS: Final = 24
#: currencies that are offered where one has to be chosen
_CURRENCIES: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One group in the table."""

    names: Sequence[str]
    url: str
    trend: Any
    #: each number of the metric with its text
    labelled: Sequence[tuple[Number, Any]]
    before: Any
    #: sign, word for screen readers, text
    change: tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A state and what was read for it."""

    state: State
    series: Series
    charts: Sequence[Chart]
    numbers: Sequence[Number]
    rows: Sequence[Row]
    #: groups of the range that have no row of their own
    more: int
    #: currencies of the range, the one with most events first; empty where none has to be chosen
    currencies: Sequence[str]


def make_report(state: State) -> Report:
    """Read all that the page shows. Raises SeriesTooLong."""
    currencies = _currencies(state)
    if currencies and "currency" not in state.filters:
        state = replace(state, filters={**state.filters, "currency": currencies[0]})
    keep = TOP_GROUPS if state.is_all_rows else FEW_ROWS
    series = read(state, keep=keep)
    before = read_before(state, keep=TOP_GROUPS) if state.compare else None
    return Report(
        state=state,
        series=series,
        charts=charts_of(state, series, before),
        numbers=numbers_of(state.metric),
        rows=_rows(state, series, before),
        more=sum(group.members for group in series.others),
        currencies=currencies,
    )


def read(state: State, *, keep: int) -> Series:
    """The series of a state."""
    return read_series(
        state.metric.name,
        since=state.since,
        until=state.until,
        step_s=state.step_s,
        group_by=state.group_by,
        filters=state.filters,
        keep=keep,
    )


def read_before(state: State, *, keep: int) -> Series:
    """The series that a state is compared with."""
    shift = state.shift
    return read(replace(state, since=state.since - shift, until=state.until - shift), keep=keep)


def _currencies(state: State) -> list[str]:
    """Amounts of groups are read in one currency: a chart of several would be of none."""
    others = [name for name in state.group_by if name != "currency"]
    if not state.metric.is_money or not others:
        return []
    filters = {name: value for name, value in state.filters.items() if name != "currency"}
    asked = replace(state, group_by=("currency",), filters=filters)
    return [group.key["currency"] for group in read(asked, keep=_CURRENCIES).groups]


def _rows(state: State, series: Series, before: Series | None) -> list[Row]:
    then = {tuple(group.key.values()): group for group in (before.groups if before else ())}
    found = [
        _row(state, series, group, then.get(tuple(group.key.values()))) for group in series.groups
    ]
    for group in series.others:
        # the others of another range are other groups: no change is told
        row = _row(state, series, group, None)
        name = f"{group.members:,} others"
        blank = [""] * (len(series.group_by) - 1 - len(group.key))
        found.append(replace(row, names=[name, *blank, *group.key.values()]))
    return found


def _row(state: State, series: Series, group: Group, before: Group | None) -> Row:
    metric, currency = state.metric, currency_of(group, state.filters)
    numbers, main = numbers_of(metric), main_number(metric)
    values = [value_of(group.cells.get(start), metric.kind) for start in series.starts]
    then = _first(before, main)
    return Row(
        names=[group.key.get(name, "") or DASH for name in series.group_by],
        url=events_url(
            metric, {**state.filters, **group.key}, since=series.since, until=series.until
        ),
        trend=sparkline(_thinned(values)),
        labelled=[
            (number, shown(number.read(group.whole), number, metric, currency))
            for number in numbers
        ],
        before=shown(then, main, metric, currency),
        change=change(_first(group, main), then, is_share=metric.kind is Kind.RATE),
    )


def _thinned(values: Sequence[Decimal | None]) -> list[float | None]:
    """At most TREND_POINTS averages of neighbours: more is noise at the size of a word."""
    width = -(-len(values) // TREND_POINTS)
    thin: list[float | None] = []
    for start in range(0, len(values), width):
        known = [value for value in values[start : start + width] if value is not None]
        thin.append(float(sum(known) / len(known)) if known else None)
    return thin


def _first(group: Group | None, number: Number) -> Decimal | None:
    value = number.read(group.whole) if group else None
    return None if value is None else Decimal(value)


def filter_values(state: State, series: Series) -> Mapping[str, list[str]]:
    """Values that the filters offer: those of the groups that are shown."""
    return {
        name: sorted({group.key[name] for group in series.groups if group.key.get(name)})
        for name in series.group_by
        if name in state.metric.dimensions
    }
