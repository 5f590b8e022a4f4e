"""Charts: true to their data, readable without colour, and the same in picture and table."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflow.lib.pages.axes import (
    interval_text,
    span_of_time,
    tick_text,
    time_ticks,
    value_scale,
    value_text,
)
from payflow.lib.pages.charts import Line, Mark, line_chart, sparkline

_START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def _draw(*lines: Line, **changes: Any) -> str:
    points = len(lines[0].values)
    given: dict[str, Any] = {
        "times": [_START + timedelta(minutes=5 * n) for n in range(points)],
        "step_s": 300,
        "label": "Success rate",
        "unit": "%",
    }
    return line_chart(lines, **(given | changes))


@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=20),
    st.none() | st.floats(-1e9, 1e9),
)
def test_a_value_axis_holds_every_value_in_few_round_steps(values, floor):
    """Nothing is drawn outside of the plot."""
    scale = value_scale(values, unit="", floor=floor)

    slack = (scale.high - scale.low) * 1e-6
    assert scale.low - slack <= min(values)
    assert max(values) <= scale.high + slack
    assert 2 <= len(scale.ticks) <= 8


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20), st.floats(0, 100))
def test_percents_end_at_a_hundred(values, floor):
    """A rate above a hundred percent would be a question, not an answer."""
    scale = value_scale(values, unit="%", floor=floor)

    assert scale.high <= 100.0001
    assert scale.high >= max(values) - 1e-6


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (83.64, "%", "83.6 %"),
        (0.123, "%", "0.12 %"),
        (0.0, "%", "0.0 %"),
        (1204.4, "ms", "1,204 ms"),
        (0.9, "s", "0.9 s"),
        (76.3, "s", "76 s"),
        (0.0, "min", "0 min"),
        (12.34, "", "12.3"),
        (0.0123, "", "0.012"),
        (-3.0, "", "−3"),  # noqa: RUF001  the sign that pages print
        (None, "ms", "–"),  # noqa: RUF001
    ],
)
def test_a_value_reads_with_the_digits_that_count(value, unit, text):
    """Unknown is a dash, zero is zero."""
    assert value_text(value, unit) == text


def test_a_gap_is_not_a_line():
    """No events are no value: the line stops, and a value alone is a dot."""
    page = _draw(Line("web", [90.0, 91.0, None, 92.0, None, None]))

    (path,) = re.findall(r'class="s1" d="([^"]+)"', page)
    assert path.count("M") == 2
    assert path.endswith("h.1")
    assert page.count("no events") == 3


def test_picture_and_table_say_the_same():
    """Each cell carries the place at which its value is drawn."""
    page = _draw(Line("web", [90.0, 95.0]), floor=90.0)

    (path,) = re.findall(r'class="s1" d="([^"]+)"', page)
    drawn = [float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", path)]
    stated = [float(y) for y in re.findall(r'data-y="(\d+)"', page)]
    assert drawn == stated


def test_lines_are_told_apart_by_name_and_dash():
    """Colour alone is not enough; a comparison has no label at its end."""
    past = Line("last week", [92.0, 92.0], is_comparison=True)
    page = _draw(Line("web", [90.0, 91.0]), Line("pos", [95.0, 96.0]), past)

    ends = page.partition("pf-end")[2].partition("</svg>")[0]
    assert "web 91.0 %" in ends
    assert "pos 96.0 %" in ends
    assert "last week" not in ends
    assert 'class="cmp"' in page
    assert page.count('class="s2"') >= 3, "in the plot, at the end and in the legend"


def test_labels_at_the_end_do_not_cover_each_other():
    """Lines that end at one value are still named apart, within the plot."""
    page = _draw(*(Line(f"n{n}", [50.0, 99.9]) for n in range(5)), height=240)

    ends = page.partition("pf-end")[2].partition('class="xa"')[0]
    places = sorted(int(y) for y in re.findall(r'<text x="17" y="(-?\d+)"', ends))
    assert all(b - a >= 15 for a, b in pairwise(places))
    assert places[-1] <= 240


def test_a_point_links_to_what_is_behind_it():
    """And nothing in a name or address is markup."""
    page = _draw(Line("<b>", [90.0, None], ["/a?x=1&y=<", "/b"]))

    assert '<a href="/a?x=1&amp;y=&lt;">90.0 %</a>' in page
    assert "/b" not in page, "there is nothing behind a gap"
    assert "<b>" not in page


def test_a_mark_stands_at_its_time():
    """Its pill hangs inwards at the ends."""
    page = _draw(Line("web", [90.0, 91.0]), marks=[Mark(0.25, "Schema v3", "/v/3"), Mark(1, "x")])

    assert '<line class="mk" x1="25.00%" x2="25.00%"' in page
    assert '<a href="/v/3"><rect' in page
    assert "configuration activated" in page


def test_more_lines_than_can_be_told_apart_are_refused():
    """The caller adds the rest up as others."""
    with pytest.raises(ValueError, match="at most 5 lines"):
        _draw(*(Line(str(n), [1.0, 2.0]) for n in range(6)))
    with pytest.raises(ValueError, match="as many values as times"):
        _draw(Line("web", [1.0, 2.0]), Line("pos", [1.0]))


def test_a_sparkline_of_nothing_is_empty():
    """No values are no trend."""
    assert "path" not in sparkline([None, None])
    assert sparkline([1, 2, None, 3], kind="bad").count("M") == 4, "two stretches, and their areas"


def test_a_time_axis_names_round_times(settings):
    """Few of them, in the local zone, days where the range is long."""
    settings.TIME_ZONE = "UTC"
    hour = time_ticks(_START, _START + timedelta(hours=1))
    week = time_ticks(_START, _START + timedelta(days=7))

    assert [tick.text for tick in hour][:3] == ["10:00", "10:10", "10:20"]
    assert [tick.text for tick in week][:2] == ["3 Mar", "4 Mar"]
    assert len(week) <= 9


def test_an_interval_has_its_day_unless_it_is_today():
    """`10:00` of some day in March is no answer."""
    assert interval_text(_START, 300) == "2 Mar 10:00"
    assert interval_text(_START, 86_400) == "2 Mar"
    assert span_of_time(_START, _START + timedelta(hours=2)) == "Mon 2 Mar, 10:00 – 12:00"  # noqa: RUF001


def test_an_axis_of_zeros_has_whole_steps_and_their_unit():
    """Nothing has lag: 0 s and 1 s, no steps of millionths."""
    scale = value_scale([0.0, 0.0], unit="s", floor=None)

    assert [tick_text(tick, scale, "s") for tick in scale.ticks] == ["0 s", "1 s"]
