"""How values look: nothing lost, nothing rounded, nothing taken for markup."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from payflow.lib.pages.charts import Bar, bar_chart, nice_top
from payflow.lib.pages.display import (
    code_block,
    count,
    decimal_text,
    joined,
    moment,
    money,
    mono,
    pill,
    span,
)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("1234.5", "USD", "1,234.50"),
        ("1234.0000", "JPY", "1,234"),
        ("0.5", "KWD", "0.500"),
        ("12.3456", "EUR", "12.3456"),
        ("10.5", "JPY", "10.5"),
        ("-7", "EUR", "−7.00"),  # noqa: RUF001  the sign that pages print
        ("123456789012345.1234", "USD", "123,456,789,012,345.1234"),
        ("0", "USD", "0.00"),
    ],
)
def test_an_amount_has_its_currencys_decimals_and_loses_none(amount, currency, text):
    """ISO 4217 says how many decimals there are at least; further digits stay."""
    assert decimal_text(Decimal(amount), currency) == text


@given(st.decimals(min_value=-(10**15), max_value=10**15, places=4))
def test_an_amount_can_be_read_back_exactly(amount):
    """Whatever the amount, its text is that amount."""
    text = decimal_text(amount, "USD").replace(",", "").replace("−", "-")  # noqa: RUF001

    assert Decimal(text) == amount


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (0.04, "0 s"),
        (0.84, "0.8 s"),
        (21.4, "21 s"),
        (245.0, "4 min 05 s"),
        (4080.0, "1 h 08 min"),
        (273_600.0, "3 d 4 h"),
        (None, "–"),  # noqa: RUF001
    ],
)
def test_a_span_is_as_exact_as_it_is_short(seconds, text):
    """Seconds with a decimal, then minutes, hours, days; unknown is a dash."""
    assert span(seconds) == text


def test_zero_is_not_unknown():
    """0 and "not known" never look alike."""
    assert count(0) == "0"
    assert count(None) != "0"


def test_a_time_is_local_and_says_utc_on_hover(settings: Any):
    """Three o'clock in Berlin is two o'clock UTC."""
    with timezone.override("Europe/Berlin"):
        html = moment(datetime(2020, 1, 5, 2, 3, 4, 567_000, tzinfo=UTC), ms=True)

    assert ">5 Jan 2020 03:03:04.567<" in html
    assert 'title="2020-01-05 02:03:04.567 UTC"' in html
    assert 'datetime="2020-01-05T02:03:04.567000+00:00"' in html


@pytest.mark.parametrize("make", [mono, code_block, lambda text: pill("ok", text)])
def test_text_of_an_event_is_never_markup(make):
    """Whatever an event holds is escaped."""
    html = make('<img src=x onerror="alert(1)">')

    assert "<img" not in html
    assert "&lt;img" in html


def test_parts_beside_each_other_are_escaped_once():
    """Safe HTML stays as it is, text is escaped."""
    html = joined([money(Decimal(1), "USD"), "<b>"], " · ")

    assert html.endswith("USD</span></span> · &lt;b&gt;")


def test_a_long_id_keeps_its_ends_and_shows_all_of_it_on_hover():
    """The middle is left out of sight, not out of reach."""
    html = mono("0123456789abcdef", shorten=7)

    assert ">012…def<" in html
    assert 'title="0123456789abcdef"' in html


@given(st.integers(min_value=0, max_value=10**12))
def test_an_axis_holds_its_highest_value_in_four_whole_steps(highest):
    """The top is at least the highest value, at most five times it, and divides by four."""
    top = nice_top(highest)

    assert highest <= top <= max(4, 5 * highest)
    assert top % 4 == 0


def test_a_chart_and_its_table_hold_the_same_values():
    """One bar for each value but zero, and a row for each of them."""
    html = bar_chart(
        [Bar(label="a", value=0), Bar(label="b", value=4), Bar(label="c", value=2)],
        label="Events",
        unit="events",
    )

    assert 'height="0.0"' in html
    assert 'height="1000.0"' in html
    assert 'height="500.0"' in html
    assert html.count("<tr><td>") == 3
    assert "no events" in html


def test_a_chart_needs_no_inline_style():
    """The content security policy allows none."""
    html = bar_chart([Bar(label="a", value=1)], label="Events", unit="events")

    assert "style=" not in html
