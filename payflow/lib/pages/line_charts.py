"""Lines over time as SVG made on the server; charts.py says how the pieces lie on each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from payflow.lib.pages.axes import (
    Scale,
    chart_id,
    interval_text,
    tick_text,
    time_ticks,
    value_scale,
    value_text,
)
from payflow.lib.pages.display import joined

#: lines that can be told apart by colour and dash; more become "n others" before they come here
MOST_LINES: Final = 5
#: pixels between two labels at the right end, at least
_LABEL_PX: Final = 16


@dataclass(frozen=True, slots=True)
class Line:
    """A name and one value per interval, None where there was nothing.

    `urls` are the pages behind the values, one per value or none. `is_comparison` draws it thin
    and dotted, without a label at its end: the same line of another time.
    """

    name: str
    values: Sequence[float | None]
    urls: Sequence[str] = ()
    is_comparison: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at `at` (0 to 1 of the time axis), and the page about it."""

    at: float
    label: str
    url: str = ""


@dataclass(slots=True)
class _End:
    """A label at the right end, `y` pixels from the top."""

    y: float
    style: str
    name: str
    value: str


def line_chart(
    lines: Sequence[Line],
    *,
    times: Sequence[datetime],
    step_s: int,
    label: str,
    unit: str,
    marks: Sequence[Mark] = (),
    marks_are: str = "",
    floor: float | None = None,
    height: int = 240,
) -> SafeString:
    """Lines over time: dash and name tell them apart, not colour alone.

    `times` are the starts of intervals of `step_s` seconds, in order and without gaps; the axis
    spans all of them, each value stands in the middle of its interval. `unit` stands behind every
    number (`%`, `ms`, a currency, or nothing). `marks_are` says what the marks mean, where they are
    not changes of the configuration alone. `floor`: where the value axis may begin instead of
    at zero. `label` names the chart for who cannot see it.

    Raises:
        ValueError: More than five lines besides comparisons, or values that are not one per time.
    """
    _check(lines, times)
    scale = value_scale(
        [value for line in lines for value in line.values if value is not None],
        unit=unit,
        floor=floor,
    )
    return format_html(
        '<figure class="pf-chart" data-chart="lines" aria-label="{}"><div class="pf-plotgrid wide">'
        '{}<svg class="ya" width="46" height="{}" aria-hidden="true">{}</svg>{}'
        '<svg class="pf-end" width="100%" height="{}" aria-hidden="true">{}</svg>'
        '<svg class="xa" width="100%" height="20" aria-hidden="true">{}</svg></div>{}{}</figure>',
        label,
        mark_row(marks),
        height,
        _tick_column(scale, unit),
        _line_plot(lines, scale, marks, label, height),
        height,
        _end_labels(lines, scale, unit, height),
        _tick_row(times, step_s),
        _legend(lines, marks, marks_are),
        _line_table(lines, scale, times, step_s, unit),
    )


def sparkline(values: Sequence[float | None], *, kind: str = "neutral") -> SafeString:
    """A trend as large as a word: its own lowest to highest value, gaps left open.

    Kinds: neutral, bad, warn.
    """
    known = [value for value in values if value is not None]
    if not known:
        return SafeString('<svg class="pf-spark" aria-hidden="true"></svg>')
    low, high = min(known), max(known)
    scale = Scale(low, high if high > low else low + 1, ())
    return format_html(
        '<svg class="pf-spark {}" viewBox="0 0 1000 1000" preserveAspectRatio="none" '
        'aria-hidden="true"><path class="a" d="{}"/><path d="{}"/></svg>',
        kind,
        _areas(values, scale),
        _path(values, scale),
    )


def _check(lines: Sequence[Line], times: Sequence[datetime]) -> None:
    if sum(not line.is_comparison for line in lines) > MOST_LINES:
        raise ValueError(f"a chart takes at most {MOST_LINES} lines")
    for line in lines:
        if len(line.values) != len(times) or len(line.urls) not in (0, len(times)):
            raise ValueError(f"{line.name}: as many values as times are wanted, and as many urls")


def _classes(lines: Sequence[Line]) -> list[str]:
    """The class that gives each line its colour and dash: s1 to s5, or cmp."""
    classes, number = [], 0
    for line in lines:
        number += not line.is_comparison
        classes.append("cmp" if line.is_comparison else f"s{number}")
    return classes


def _runs(values: Sequence[float | None], scale: Scale) -> list[list[tuple[float, float]]]:
    """Points of each stretch without a gap."""
    width = 1000 / max(1, len(values))
    runs: list[list[tuple[float, float]]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(((number + 0.5) * width, scale.place(value)))
    return [run for run in runs if run]


def _path(values: Sequence[float | None], scale: Scale) -> str:
    """A value alone between gaps is a dot: a line of no length with round ends."""
    parts = []
    for run in _runs(values, scale):
        (x, y), *rest = run
        tail = "".join(f"L{x:.1f} {y:.1f}" for x, y in rest) or "h.1"
        parts.append(f"M{x:.1f} {y:.1f}{tail}")
    return "".join(parts)


def _areas(values: Sequence[float | None], scale: Scale) -> str:
    parts = []
    for run in _runs(values, scale):
        body = "".join(f"L{x:.0f} {y:.0f}" for x, y in run)
        parts.append(f"M{run[0][0]:.0f} 1000{body}L{run[-1][0]:.0f} 1000Z")
    return "".join(parts)


def _line_plot(
    lines: Sequence[Line], scale: Scale, marks: Sequence[Mark], label: str, height: int
) -> SafeString:
    grid = format_html_join(
        "",
        '<line class="g" x1="0" x2="100%" y1="{0}%" y2="{0}%"/>',
        ((f"{scale.place(tick) / 10:.2f}",) for tick in scale.ticks),
    )
    paths = format_html_join(
        "",
        '<path class="{}" d="{}"/>',
        zip(_classes(lines), (_path(line.values, scale) for line in lines), strict=True),
    )
    return format_html(
        '<div class="pf-plot" tabindex="0" role="group" aria-roledescription="chart" id="{}" '
        'aria-label="{}. Arrow keys read the values, Enter opens what is behind one.">'
        '<svg width="100%" height="{}" aria-hidden="true">{}<svg viewBox="0 0 1000 1000" '
        'preserveAspectRatio="none" width="100%" height="100%">{}</svg>{}</svg></div>',
        chart_id(label),
        label,
        height,
        grid,
        paths,
        mark_lines(marks),
    )


def mark_lines(marks: Sequence[Mark]) -> SafeString:
    """The vertical of each mark, in the plot."""
    return format_html_join(
        "",
        '<line class="mk" x1="{0}%" x2="{0}%" y1="0" y2="100%"/>',
        ((f"{mark.at * 100:.2f}",) for mark in marks),
    )


def _tick_column(scale: Scale, unit: str) -> SafeString:
    return format_html_join(
        "",
        '<text x="38" y="{}%" dy="4" text-anchor="end">{}</text>',
        (
            (f"{scale.place(tick) / 10:.2f}", tick_text(tick, scale, unit))
            for tick in reversed(scale.ticks)
        ),
    )


def _tick_row(times: Sequence[datetime], step_s: int) -> SafeString:
    if not times:
        return SafeString("")
    ticks = time_ticks(times[0], times[-1] + timedelta(seconds=step_s))
    return format_html_join(
        "",
        '<text x="{}%" y="15" text-anchor="middle"{}>{}</text>',
        (
            (
                f"{tick.at * 100:.2f}",
                SafeString(' class="pf-only-l"' if number % 2 else ""),
                tick.text,
            )
            for number, tick in enumerate(ticks)
        ),
    )


def mark_row(marks: Sequence[Mark]) -> SafeString:
    """Pills over the plot, each at its line; a pill near the right end hangs to the left."""
    pills = []
    for mark in marks:
        width = len(mark.label) * 6.1 + 14
        x = -width + 8 if mark.at > 0.86 else -8 if mark.at < 0.08 else -width / 2
        pills.append(
            (
                f"{mark.at * 100:.2f}",
                mark.url,
                f"{x:.0f}",
                f"{width:.0f}",
                f"{x + width / 2:.0f}",
                mark.label,
            )
        )
    return format_html(
        '<svg class="pf-mkrow" width="100%" height="{}">{}</svg>',
        24 if marks else 2,
        format_html_join(
            "",
            '<svg x="{}%" y="0"><a href="{}"><rect x="{}" y="0" width="{}" height="18" rx="9"/>'
            '<text x="{}" y="13" text-anchor="middle">{}</text></a></svg>',
            pills,
        ),
    )


def _end_labels(lines: Sequence[Line], scale: Scale, unit: str, height: int) -> SafeString:
    """Name and last value at the right end, moved apart where lines end close together."""
    ends = []
    for line, style in zip(lines, _classes(lines), strict=True):
        known = [value for value in line.values if value is not None]
        if known and not line.is_comparison:
            y = scale.place(known[-1]) * height / 1000
            ends.append(_End(y, style, line.name, value_text(known[-1], unit)))
    ends.sort(key=lambda end: end.y)
    _move_apart(ends, height)
    return format_html_join(
        "",
        '<line class="{1}" x1="4" x2="12" y1="{0}" y2="{0}"/>'
        '<text x="17" y="{0}" dy="4"><title>{2} {4}</title>{3} {4}</text>',
        ((f"{end.y:.0f}", end.style, end.name, _shortened(end.name), end.value) for end in ends),
    )


def _move_apart(ends: Sequence[_End], height: int) -> None:
    """Push labels down until they do not touch, then up where they left the plot."""
    for upper, lower in pairwise(ends):
        lower.y = max(lower.y, upper.y + _LABEL_PX)
    limit = float(height)
    for end in reversed(ends):
        end.y = min(end.y, limit)
        limit = end.y - _LABEL_PX


def _shortened(name: str) -> str:
    return name if len(name) <= 14 else f"{name[:13]}\N{HORIZONTAL ELLIPSIS}"


def _legend(lines: Sequence[Line], marks: Sequence[Mark], marks_are: str) -> SafeString:
    """What each line is: always for comparisons and marks, for the others where no label fits."""
    entries = [
        (style, line.name, "" if line.is_comparison else "pf-only-s")
        for style, line in zip(_classes(lines), lines, strict=True)
    ]
    return format_html(
        '<ul class="pf-legend">{}{}</ul>', _entries(entries), mark_legend(marks, marks_are)
    )


def mark_legend(marks: Sequence[Mark], marks_are: str = "") -> SafeString:
    """What the verticals mean, where there are any."""
    meaning = marks_are or "configuration activated or payflow deployed"
    return _entries([("mk", meaning, "")] if marks else [])


def _entries(entries: Sequence[tuple[str, str, str]]) -> SafeString:
    return format_html_join(
        "",
        '<li class="{2}"><svg aria-hidden="true"><line class="{0}" x1="0" x2="20" '
        'y1="4" y2="4"/></svg>{1}</li>',
        entries,
    )


def _line_table(
    lines: Sequence[Line], scale: Scale, times: Sequence[datetime], step_s: int, unit: str
) -> SafeString:
    """The data: a row per interval, a cell per line with its place, its link and its value."""
    heads = format_html_join(
        "",
        '<th scope="col" class="pf-num" data-line="{}">{}</th>',
        zip(_classes(lines), (line.name for line in lines), strict=True),
    )
    rows = format_html_join(
        "",
        "<tr><td>{}</td>{}</tr>",
        (
            (
                interval_text(start, step_s),
                joined((_cell(line, number, scale, unit) for line in lines), ""),
            )
            for number, start in enumerate(times)
        ),
    )
    return format_html(
        '<details class="pf-data"><summary>Show as table</summary><table class="pf-table"><thead>'
        '<tr><th scope="col">From</th>{}</tr></thead><tbody>{}</tbody></table></details>',
        heads,
        rows,
    )


def _cell(line: Line, number: int, scale: Scale, unit: str) -> SafeString:
    value = line.values[number]
    if value is None:
        return SafeString('<td class="pf-num">no events</td>')
    text = value_text(value, unit)
    place = f"{scale.place(value):.0f}"
    if not line.urls:
        return format_html('<td class="pf-num" data-y="{}">{}</td>', place, text)
    return format_html(
        '<td class="pf-num" data-y="{}"><a href="{}">{}</a></td>', place, line.urls[number], text
    )
