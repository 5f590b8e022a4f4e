"""The success rate over time by one breakdown, and what fell in the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.utils.safestring import SafeString

from configuration.changes import marks_of
from ingestion.overview import links
from ingestion.overview.falls import WORDS
from ingestion.overview.figures import Delta, in_points, percents
from ingestion.overview.payments import CHANNEL, METHOD, PROCESSOR, Outcomes
from ingestion.overview.reading import Overview
from ingestion.overview.spans import Span
from payflow.lib.pages.charts import MOST_LINES, Line, line_chart, sparkline

#: name in the address -> column
BREAKDOWNS: Final[Mapping[str, str]] = {
    "channel": CHANNEL,
    "method": METHOD,
    "processor": PROCESSOR,
}
DEFAULT: Final = "channel"
#: rows beside the chart, and largest falls under them
_ROWS: Final = 6
_FALLS: Final = 3
#: percent points, and payments, under which a fall is noise
_LEAST_FALL: Final = 1.0
_LEAST_PAYMENTS: Final = 30
#: the value axis begins here, unless something is worse
_FLOOR: Final = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One group of a breakdown against last week."""

    name: str
    url: str
    payments: int
    success: str
    change: Delta
    spark: str = ""
    #: of which breakdown, among the falls of others
    word: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessCard:
    """Chart (empty without decided payments), its rows, and falls elsewhere."""

    chart: SafeString
    rows: Sequence[Row]
    n_others: int
    falls: Sequence[Row]


def success_card(overview: Overview, *, by: str) -> SuccessCard | None:
    """None when the payments, or the processors where they are asked for, could not be read."""
    if overview.payments is None or (by == "processor" and overview.processors is None):
        return None
    dimension = BREAKDOWNS[by]
    groups = _ranked(_groups(overview, dimension))
    return SuccessCard(
        chart=_chart(overview, dimension, groups),
        rows=[_row(overview, dimension, name) for name in list(groups)[:_ROWS]],
        n_others=max(0, len(groups) - _ROWS),
        falls=_falls(overview, but=dimension),
    )


def _groups(overview: Overview, dimension: str, *, last_week: bool = False) -> dict[str, Outcomes]:
    if dimension == PROCESSOR:
        processors = overview.processors
        if processors is None:
            return {}
        return processors.last_week if last_week else processors.now
    if overview.payments is None:
        return {}
    payments = overview.payments.last_week if last_week else overview.payments.now
    return payments.by[dimension]


def _ranked(groups: Mapping[str, Outcomes]) -> dict[str, Outcomes]:
    """Those with decided payments, most first."""
    names = [name for name, outcomes in groups.items() if outcomes.decided]
    return {name: groups[name] for name in sorted(names, key=lambda n: (-groups[n].decided, n))}


def _chart(overview: Overview, dimension: str, groups: Mapping[str, Outcomes]) -> SafeString:
    if not groups or overview.payments is None:
        return SafeString("")
    span = overview.span
    lines = [
        _line(span, name or "not stated", outcomes, **{dimension: name})
        for name, outcomes in _most(groups).items()
    ]
    past = overview.payments.last_week.all
    if past.decided:
        lines.append(Line("all, last week", past.successes, is_comparison=True))
    known = [value for line in lines for value in line.values if value is not None]
    return line_chart(
        lines,
        times=span.starts,
        step_s=span.step_s,
        label=f"Success rate by {WORDS[dimension].lower()}",
        unit="%",
        marks=marks_of(overview.changes or (), since=span.since, until=span.until),
        floor=min([_FLOOR, *known]),
        height=260,
    )


def _most(groups: Mapping[str, Outcomes]) -> dict[str, Outcomes]:
    """As many as a chart takes; the rest added up as "n others"."""
    if len(groups) <= MOST_LINES:
        return dict(groups)
    names = list(groups)
    shown = {name: groups[name] for name in names[: MOST_LINES - 1]}
    rest = [groups[name] for name in names[MOST_LINES - 1 :]]
    return shown | {f"{len(rest)} others": sum(rest[1:], rest[0])}


def _line(span: Span, name: str, outcomes: Outcomes, **filters: str) -> Line:
    if name.endswith(" others"):
        filters = {}
    urls = [links.transactions(start, start + span.step, **filters) for start in span.starts]
    return Line(name, outcomes.successes, urls)


def _row(overview: Overview, dimension: str, name: str, *, word: str = "") -> Row:
    outcomes = _groups(overview, dimension)[name]
    before = _groups(overview, dimension, last_week=True).get(name)
    change = in_points(outcomes.success, before.success if before else None)
    span = overview.span
    return Row(
        name=name or "not stated",
        url=links.transactions(
            span.since, span.until, payment_status="failed", **{dimension: name}
        ),
        payments=outcomes.decided,
        success=percents(outcomes.success),
        change=change,
        spark=sparkline(outcomes.successes, kind=change.kind or "neutral"),
        word=word,
    )


def _falls(overview: Overview, *, but: str) -> list[Row]:
    """The largest falls against last week among the breakdowns that the chart does not show."""
    found = []
    for dimension in BREAKDOWNS.values():
        if dimension == but:
            continue
        before = _groups(overview, dimension, last_week=True)
        for name, outcomes in _groups(overview, dimension).items():
            now, past = outcomes.success, before[name].success if name in before else None
            if now is None or past is None or outcomes.decided < _LEAST_PAYMENTS:
                continue
            if past - now >= _LEAST_FALL:
                found.append((past - now, dimension, name))
    found.sort(reverse=True)
    return [
        _row(overview, dimension, name, word=WORDS[dimension].lower())
        for _, dimension, name in found[:_FALLS]
    ]
