"""Ranges of the overview and numbers beside their past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ingestion.overview.figures import in_count, in_ms, in_percent, in_points, so_far
from ingestion.overview.spans import BadRangeError, read_span

_NOW = datetime(2026, 11, 21, 14, 32, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "since", "step_s", "points"),
    [
        ("now", datetime(2026, 11, 21, 14, 5, tzinfo=UTC), 300, 6),
        ("1h", datetime(2026, 11, 21, 13, 35, tzinfo=UTC), 300, 12),
        ("24h", datetime(2026, 11, 20, 14, 45, tzinfo=UTC), 900, 96),
        ("7d", datetime(2026, 11, 14, 15, 0, tzinfo=UTC), 3600, 168),
    ],
)
def test_a_live_range_ends_with_the_step_that_is_being_filled(name, since, step_s, points):
    """Whole steps, so that roll-ups can be added up."""
    span = read_span({"range": name}, now=_NOW)

    assert (span.since, span.step_s, span.points) == (since, step_s, points)
    assert span.until - span.step <= _NOW < span.until
    assert span.is_live


def test_half_a_step_counts_half_on_the_day_before():
    """At 14:32:30 the window of 14:30 is half full; yesterday's is whole."""
    span = read_span({"range": "1h"}, now=_NOW)

    assert span.filled == pytest.approx(0.5)
    assert so_far([10, 10, 10], span.filled) == pytest.approx(25)
    assert span.before(timedelta(days=1)).filled == pytest.approx(0.5)


def test_a_custom_range_covers_what_was_asked_in_at_most_170_points():
    """A year is shown in days, an hour in five minutes."""
    hour = read_span({"from": "2026-11-01T10:02", "to": "2026-11-01T11:03"}, now=_NOW)
    year = read_span({"from": "2025-11-22T00:00", "to": "2026-11-21T00:00"}, now=_NOW)

    assert hour.since <= datetime(2026, 11, 1, 10, 2, tzinfo=UTC)
    assert hour.until >= datetime(2026, 11, 1, 11, 3, tzinfo=UTC)
    assert hour.step_s == 300
    assert not hour.is_live
    assert hour.filled == 1
    assert year.step_s == 86_400


def test_a_range_survives_its_own_address():
    """What is shared by URL is what was seen."""
    span = read_span({"from": "2026-11-01T10:00", "to": "2026-11-01T16:00"}, now=_NOW)

    assert read_span(span.query(), now=_NOW) == span


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"range": "2y"}, "no range"),
        ({"from": "x", "to": "y"}, "no date"),
        ({"from": "2026-11-01T10:00"}, "'to' is no date"),
        ({"from": "2026-13-01T10:00", "to": "2026-11-02T10:00"}, "'from' is no date"),
        ({"from": "2026-11-02T10:00", "to": "2026-11-01T10:00"}, "not after"),
        ({"from": "2020-11-02T10:00", "to": "2026-11-01T10:00"}, "366 days"),
        ({"from": "2027-01-01T10:00", "to": "2027-01-02T10:00"}, "future"),
    ],
)
def test_a_range_that_cannot_be_shown_says_why(params, why):
    """Not an error page, a sentence."""
    with pytest.raises(BadRangeError, match=why):
        read_span(params, now=_NOW)


def test_a_change_is_coloured_only_where_it_is_bad():
    """Up is not good and down is not bad by itself."""
    assert in_points(83.6, 94.7).kind == "bad"
    assert in_points(94.7, 83.6).kind == ""
    assert in_percent(200, 100).kind == ""
    assert in_percent(200, 100, more_is="bad").kind == "bad"
    assert in_percent(50, 100, more_is="bad").kind == ""
    assert in_count(5, 0.0, more_is="bad").kind == "bad"
    assert in_ms(300.0, 100.0).kind == "bad"


def test_a_change_reads_with_sign_and_word():
    """A triangle for the eye, a word for who hears the page."""
    fall = in_points(83.6, 94.7)

    assert (fall.text, fall.word) == ("−11.1 pt", "down")  # noqa: RUF001
    assert in_percent(103.1, 100).text == "+3.1 %"
    assert in_percent(100, 100).text == "same"
    assert in_percent(1, 0).text == "–", "no share of nothing"  # noqa: RUF001
    assert in_points(None, 94.7).text == "–"  # noqa: RUF001
    assert in_ms(38.4, 36.0).text == "+2 ms"
