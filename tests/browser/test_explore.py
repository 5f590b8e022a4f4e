"""Explore in a real browser: pick a metric, group it, compare it, open what is behind, share it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from tests.browser.test_stories import visit

__all__ = ["visit"]

pytestmark = pytest.mark.browser


@pytest.fixture
def two_days(ingest: Callable[..., Any], event: Callable[..., Any]) -> None:
    """Two hours of payments, today and at the same time yesterday; fewer by POS today."""
    now = timezone.now() - timedelta(minutes=10)

    def payment(number: int, days: int, **fields: Any) -> dict[str, Any]:
        at = now - timedelta(days=days, seconds=30 * (number % 200))
        made: dict[str, Any] = event(number, timestamp=at.isoformat(), **fields)
        return made

    before = [payment(n, 1, channel=("web", "pos")[n % 2]) for n in range(200)]
    today = [payment(1000 + n, 0, channel=("web", "pos")[n % 4 == 0]) for n in range(160)]
    declined = [payment(2000 + n, 0, channel="web", status="declined") for n in range(40)]
    ingest([*before, *today, *declined])


def test_a_metric_is_found_grouped_compared_and_taken_away(two_days, visit, tmp_path):
    """From the sidebar to a CSV: everything chosen is in the address, and in the file."""
    page = visit()
    page.locator('a[href="/explore/"]').first.click()
    page.wait_for_url("**/explore/")

    page.get_by_label("Metric: success_rate").click()
    page.get_by_label("Find a metric").fill("accepted events")
    shown = page.locator("[data-pick-item]:visible")
    expect(shown).to_have_count(1)
    page.keyboard.press("Enter")
    page.wait_for_url("**metric=transactions**")

    page.get_by_label("channel", exact=True).check()
    page.get_by_label("Compare with").select_option("Yesterday")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**by=channel**compare=yesterday**")
    assert "in." not in page.url
    rows = page.get_by_role("region", name="Groups").locator("tbody tr").all_inner_texts()
    assert [row.split()[0] for row in rows] == ["web", "pos"]
    assert all("%" in row for row in rows)
    expect(page.locator("path.cmp")).to_have_count(2)

    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    path = Path(tmp_path / "series.csv")
    download.value.save_as(path)
    lines = list(csv.DictReader(path.read_text().splitlines()))
    assert download.value.suggested_filename.startswith("payflow-transactions-")
    assert {line["channel"] for line in lines} == {"web", "pos"}
    total = sum(int(line["value"]) for line in lines)
    assert 190 <= total <= 200


def test_the_copied_link_shows_the_same(two_days, visit):
    """A colleague who opens it sees the same range, groups and numbers."""
    page = visit()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/explore/?metric=payment_failures&range=6h&by=error_code")
    table = page.get_by_role("region", name="Groups")
    assert "declined" in table.inner_text()

    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("Link copied").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    numbers = table.locator("tbody").inner_text()
    page.goto(link)

    assert "range=custom" in page.url
    assert page.get_by_role("region", name="Groups").locator("tbody").inner_text() == numbers


def test_a_group_leads_to_its_transactions(two_days, visit):
    """The list behind a row has its filter and its range."""
    page = visit()
    page.goto("/explore/?metric=transactions&range=6h&by=channel&by=payment_status")
    page.get_by_role("region", name="Groups").get_by_role("link", name="web").first.click()

    page.locator("#result_list").wait_for()
    rows = page.locator("#result_list tbody tr").all_inner_texts()

    assert "channel=web" in page.url
    assert rows
    assert all("web" in row and "completed" in row for row in rows)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1440])
def test_nothing_is_cut_off(two_days, visit, width, theme):
    """No page-level sideways scroll, with the picker closed or open."""
    page = visit(width, theme)
    page.goto(
        "/explore/?metric=success_rate&range=6h&by=channel&by=payment_method&compare=yesterday"
    )

    page.get_by_label("Metric: success_rate").click()

    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    box = page.locator(".pf-x-list").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
