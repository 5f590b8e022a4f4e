"""A processor that starts failing: noticed on the overview, understood in three clicks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from ingestion.overview import reading
from tests.browser.test_stories import visit

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["visit"]

pytestmark = pytest.mark.browser

_HIDE = """
(isHidden) => {
    Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}
"""


@pytest.fixture
def failing(ingest: Callable[..., Any], event: Callable[..., Any]) -> None:
    """Two processors that did well for hours; since some minutes one of them times out."""
    now = timezone.now()

    def payment(number: int, processor: str, minutes: float, **fields: Any) -> dict[str, Any]:
        at = now - timedelta(minutes=minutes)
        metadata = {"processor": processor}
        made: dict[str, Any] = event(number, timestamp=at.isoformat(), metadata=metadata, **fields)
        return made

    good = [
        payment(n, ("northpay", "southpay")[n % 2], 60 + n / 2, status="success")
        for n in range(480)
    ]
    lately = [payment(1000 + n, "northpay", 2, status="success") for n in range(40)]
    broken = [payment(2000 + n, "southpay", 2, status="timeout") for n in range(36)]
    rest = [payment(3000 + n, "southpay", 2, status="success") for n in range(4)]
    ingest([*good, *lately, *broken, *rest])


def _rows(page: Page) -> list[str]:
    page.locator("#result_list").wait_for()
    return page.locator("#result_list tbody tr").all_inner_texts()


def test_the_attention_card_leads_to_a_failing_payment(failing, visit):
    """The first card names it; click one lists its failed payments, click two opens one."""
    page = visit()
    card = page.get_by_role("region", name="Needs attention")
    assert "Processor southpay succeeds in 10.0 %, usually 100.0 %" in card.inner_text()

    card.get_by_role("link", name="See the 36 failures").click()
    listed = _rows(page)
    page.locator("#result_list a").first.click()

    assert len(listed) == 36
    assert all("failed" in row for row in listed)
    expect(page.get_by_text("southpay").first).to_be_visible()
    expect(page.get_by_text("timeout").first).to_be_visible()


def test_a_failing_processor_is_found_in_three_clicks(failing, visit):
    """From the overview to one of its payments: breakdown, processor, payment."""
    page = visit()

    page.get_by_role("link", name="Processor", exact=True).click()
    table = page.get_by_role("region", name="By processor")
    page.wait_for_url("**/?range=1h&by=processor")
    assert "10.0 %" in table.get_by_role("row", name="southpay").inner_text()
    table.get_by_role("link", name="southpay").click()
    listed = _rows(page)
    page.locator("#result_list a").first.click()

    assert len(listed) == 36, "the failed ones of this processor within the range"
    expect(page.get_by_text("southpay").first).to_be_visible()


def test_the_line_of_the_processor_opens_its_payments(failing, visit):
    """The chart is read by keys: down to its line, Enter opens what is behind the point."""
    page = visit()
    page.goto("/?by=processor")
    chart = page.locator("#chart-success-rate-by-processor")
    chart.focus()

    chart.press("End")
    told = page.locator(".pf-tip").inner_text()
    if "no events" in told:
        chart.press("ArrowLeft")
        told = page.locator(".pf-tip").inner_text()
    chart.press("ArrowDown")
    chart.press("Enter")
    page.wait_for_url("**/normalizedtransaction/**")

    assert "southpay" in told
    assert "processor=southpay" in page.url
    assert len(_rows(page)) == 40, "completed and failed ones"


def test_what_is_read_stays_through_a_refresh(failing, visit, monkeypatch):
    """The value under the pointer is not taken away every few seconds."""
    monkeypatch.setattr(reading, "_REFRESH_S", 0.3)
    monkeypatch.setattr(reading, "_KEEP_S", {300: 0})
    page = visit()
    chart = page.locator("#chart-success-rate-by-channel")
    chart.focus()
    chart.press("ArrowLeft")
    before = chart.element_handle()

    page.wait_for_function("node => !node.isConnected", arg=before)

    expect(page.locator(".pf-tip")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "chart-success-rate-by-channel"


def test_a_hidden_tab_asks_for_nothing(failing, visit, monkeypatch):
    """It goes on with the first look."""
    monkeypatch.setattr(reading, "_REFRESH_S", 0.2)
    monkeypatch.setattr(reading, "_KEEP_S", {300: 0})
    page = visit()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with page.expect_request("**/overview/live/*"):
        pass

    page.evaluate(_HIDE, True)
    page.wait_for_timeout(500)
    asked.clear()
    page.wait_for_timeout(1000)
    while_hidden = list(asked)
    with page.expect_request("**/overview/live/*"):
        page.evaluate(_HIDE, False)

    assert while_hidden == []
