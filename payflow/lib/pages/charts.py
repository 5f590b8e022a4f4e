"""Charts as SVG made on the server: complete at the first paint, no library, no inline style.

An inner SVG without aspect ratio stretches bars and lines; text and grid are in the outer ones,
placed in percent. The table under a chart holds its data: payflow.js reads its values from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from payflow.lib.pages.axes import chart_id
from payflow.lib.pages.display import count
from payflow.lib.pages.line_charts import (
    MOST_LINES,
    Line,
    Mark,
    line_chart,
    mark_legend,
    mark_lines,
    mark_row,
    sparkline,
)

__all__ = [
    "MOST_LINES",
    "Bar",
    "Line",
    "Mark",
    "bar_chart",
    "line_chart",
    "nice_top",
    "share_bar",
    "sparkline",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar: what its interval is called, its value, and the page with what is behind it."""

    label: str
    value: int
    url: str = ""
    #: text under the axis, on a few bars only
    tick: str = ""


def bar_chart(
    bars: Sequence[Bar], *, label: str, unit: str, height: int = 180, marks: Sequence[Mark] = ()
) -> SafeString:
    """Bars over time; zero is a gap. `label` names the chart for who cannot see it."""
    top = nice_top(max((bar.value for bar in bars), default=0))
    return format_html(
        '<figure class="pf-chart" data-chart aria-label="{}"><div class="pf-plotgrid">'
        '{}<svg class="ya" width="46" height="{}" aria-hidden="true">{}</svg>'
        '<div class="pf-plot" tabindex="0" role="group" aria-roledescription="chart" '
        'id="{}" aria-label="{}. Arrow keys read the values, Enter opens the interval.">'
        '<svg width="100%" height="{}" aria-hidden="true">{}<svg viewBox="0 0 1000 1000" '
        'preserveAspectRatio="none" width="100%" height="100%">{}</svg>{}</svg></div>'
        '<svg class="xa" width="100%" height="20" aria-hidden="true">{}</svg></div>{}{}</figure>',
        label,
        mark_row(marks),
        height,
        _value_axis(top),
        chart_id(label),
        label,
        height,
        _grid(),
        _columns(bars, top),
        mark_lines(marks),
        _time_axis(bars),
        format_html('<ul class="pf-legend">{}</ul>', mark_legend(marks)) if marks else "",
        _table(bars, unit),
    )


def share_bar(share: float) -> SafeString:
    """A thin bar for a share between 0 and 1."""
    return format_html(
        '<svg class="pf-hbar" aria-hidden="true"><rect class="track" width="100%" height="6" '
        'rx="3"/><rect class="part" width="{}%" height="6" rx="3"/></svg>',
        f"{max(0.6, share * 100):.1f}",
    )


def nice_top(highest: int) -> int:
    """The end of a value axis with four steps: the next 4, 8, 20 or 40 times a power of ten."""
    power = 1
    while True:
        for factor in (4, 8, 20, 40):
            if highest <= factor * power:
                return factor * power
        power *= 10


def _value_axis(top: int) -> SafeString:
    return format_html_join(
        "",
        '<text x="38" y="{}%" dy="4" text-anchor="end">{}</text>',
        ((100 - 25 * step, count(top * step // 4)) for step in range(5)),
    )


def _grid() -> SafeString:
    return format_html_join(
        "",
        '<line class="g" x1="0" x2="100%" y1="{}%" y2="{}%"/>',
        ((25 * step, 25 * step) for step in range(5)),
    )


def _columns(bars: Sequence[Bar], top: int) -> SafeString:
    """Each bar, and over it the invisible column that lights up under the pointer."""
    width = 1000 / max(1, len(bars))
    rows = []
    for number, bar in enumerate(bars):
        height = max(6.0, 1000 * bar.value / top) if bar.value else 0.0
        x = number * width
        rows.append(
            (
                f"{x + width * 0.14:.1f}",
                f"{1000 - height:.1f}",
                f"{width * 0.72:.1f}",
                f"{height:.1f}",
                f"{x:.1f}",
                f"{width:.1f}",
            )
        )
    return format_html_join(
        "",
        '<rect class="bar" x="{}" y="{}" width="{}" height="{}"/>'
        '<rect class="hot" x="{}" y="0" width="{}" height="1000"/>',
        rows,
    )


def _time_axis(bars: Sequence[Bar]) -> SafeString:
    width = 100 / max(1, len(bars))
    return format_html_join(
        "",
        '<text x="{}%" y="15" text-anchor="middle">{}</text>',
        (
            (f"{(number + 0.5) * width:.2f}", bar.tick)
            for number, bar in enumerate(bars)
            if bar.tick and 2 <= number <= len(bars) - 3
        ),
    )


def _table(bars: Sequence[Bar], unit: str) -> SafeString:
    rows = format_html_join(
        "",
        '<tr><td><a href="{}">{}</a></td><td>{}</td></tr>',
        ((bar.url, bar.label, count(bar.value) if bar.value else "no events") for bar in bars),
    )
    return format_html(
        '<details class="pf-data"><summary>Show as table</summary><table class="pf-table"><thead>'
        '<tr><th scope="col">From</th><th scope="col">{}</th></tr></thead><tbody>{}</tbody>'
        "</table></details>",
        unit.capitalize(),
        rows,
    )
