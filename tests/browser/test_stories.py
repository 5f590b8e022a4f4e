"""What people do with the pages, in a real browser: nothing blocked, nothing fetched elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import expect

from deadletter.models import FailedItem
from ingestion.overview import reading
from payflow.lib.pages.display import list_url, row_url

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

#: notes each violation of the policy where a test can read it
_WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
    window.violations.push(event.violatedDirective + " " + event.blockedURI));
"""


@pytest.fixture
def filled(ingest: Callable[..., Any], event: Callable[..., Any]) -> None:
    """Some payments of the last hour, one refused, one twice, one broken."""
    start = timezone.now() - timedelta(minutes=50)
    good = [event(n, timestamp=(start + timedelta(seconds=30 * n)).isoformat()) for n in range(60)]
    ingest([*good, good[0], event(99, amount="abc"), b'{"transaction_id": "cut o'])


@pytest.fixture
def visit(browser: Browser, live_server: Any, ready: None) -> Iterator[Callable[..., Page]]:
    """Open a page as a superuser in a window of a width and theme.

    In the end no page may have broken the policy, complained, or asked another machine.
    """
    User.objects.create_superuser("ada", password="correct horse")
    contexts, complaints = [], []

    def note(request: Any) -> None:
        if not request.url.startswith((live_server.url, "data:")):
            complaints.append(f"asked {request.url}")

    def hear(message: Any) -> None:
        # one test takes the live part away on purpose
        if message.type == "error" and "/overview/live/" not in message.location["url"]:
            complaints.append(message.text)

    def log_in(width: int = 1440, theme: str = "light") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if theme == "dark" else "light",
            base_url=live_server.url,
        )
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(_WATCH)
        page.on("request", note)
        page.on("pageerror", lambda error: complaints.append(f"threw {error}"))
        page.on("console", hear)
        page.goto("/")
        page.get_by_label("Username").fill("ada")
        page.get_by_label("Password").fill("correct horse")
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{live_server.url}/")
        return page

    yield log_in
    for context in contexts:
        for page in context.pages:
            assert page.evaluate("window.violations") == []
        context.close()
    assert complaints == []


def _overflow(page: Page) -> int:
    pixels: int = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return pixels


def test_from_login_to_the_overview(filled, visit):
    """The first page after login shows the figures, whole and at once."""
    page = visit()

    assert page.locator("#kpi-success .v").inner_text() == "100.0%"
    assert page.locator("#kpi-dead .v").inner_text() == "2"
    assert page.locator("#in-accepted").inner_text() == "60 accepted"
    assert page.locator("#in-duplicates").inner_text() == "1 duplicates"
    expect(page.get_by_role("region", name="Amount by currency")).to_be_visible()


def test_the_overview_follows_without_a_reload(filled, ingest, event, visit, monkeypatch):
    """Somebody leaves it open: new events appear by themselves."""
    monkeypatch.setattr(reading, "_REFRESH_S", 0.3)
    monkeypatch.setattr(reading, "_KEEP_S", {300: 0})
    page = visit()
    page.evaluate("window.same = true")

    ingest([event(500)])
    page.wait_for_function("document.querySelector('#in-accepted').textContent === '61 accepted'")

    assert page.evaluate("window.same") is True


def test_a_lost_link_is_said_and_mends_itself(filled, visit, monkeypatch):
    """Old numbers are never shown as if they were new."""
    monkeypatch.setattr(reading, "_REFRESH_S", 0.3)
    monkeypatch.setattr(reading, "_KEEP_S", {300: 0})
    page = visit()
    note = page.get_by_text("Not live since")

    page.route("**/overview/live/*", lambda route: route.fulfill(status=503, body=""))
    note.wait_for(state="visible")
    assert re.search(
        r"the numbers below are \d+ s old", page.locator("[data-live-lost]").inner_text()
    )
    expect(page.get_by_text("Link lost")).to_be_visible()
    page.unroute_all()
    note.wait_for(state="hidden")
    assert not note.is_visible()


def test_a_failed_item_is_found_and_understood(filled, visit):
    """From the group on the overview to the bytes, in three clicks."""
    item = FailedItem.objects.get(reason="invalid_json")
    page = visit()

    page.get_by_role("link", name="invalid_json").click()
    page.get_by_role("link", name=re.compile("^All 1 items")).click()
    page.locator("#result_list a").first.click()

    page.wait_for_url(f"**{row_url('deadletter.faileditem', item.pk)}**")
    expect(page.get_by_text("The bytes are not JSON.")).to_be_visible()
    expect(page.get_by_text('{"transaction_id": "cut o')).to_be_visible()


def test_a_payment_is_found_by_its_id(filled, visit):
    """The search box of the list takes the whole id."""
    page = visit()

    page.locator("#nav-sidebar").get_by_text("Transactions").click()
    page.get_by_placeholder("Transaction, customer or event id, whole").fill("tx-7")
    page.keyboard.press("Enter")
    page.locator("#result_list a").first.click()

    expect(page.get_by_role("heading", name="12.34 EUR at M-1")).to_be_visible()
    expect(page.get_by_role("main").get_by_text("tx-7", exact=True).first).to_be_visible()


def test_the_chart_is_read_and_opened_by_keys(filled, visit):
    """One tab stop; arrows read the values, Enter opens the events behind one."""
    page = visit()
    chart = page.locator("#chart-success-rate-by-channel")
    chart.focus()

    for _ in range(12):
        chart.press("ArrowLeft")
        told = page.locator(".pf-tip").inner_text()
        if "100.0 %" in told:
            break
    chart.press("Enter")
    page.wait_for_url("**/normalizedtransaction/**")
    page.locator("#result_list").wait_for()

    assert "web" in told
    assert "channel=web" in page.url
    assert page.locator("#result_list tbody tr").count() in range(1, 11), "two a minute"


def test_the_menu_is_reached_by_keyboard_on_a_phone(filled, visit):
    """Unfold's own switch is no button."""
    page = visit(width=400)
    entry = page.locator("#nav-sidebar").get_by_text("Partitions")
    assert not entry.is_visible()

    page.get_by_role("button", name="Menu").focus()
    page.keyboard.press("Enter")

    entry.wait_for(state="visible")


def test_the_dark_theme_is_there_before_the_first_paint(filled, visit):
    """The class does not wait for Alpine."""
    page = visit(theme="dark")
    page.route(
        "**/alpine*.js", lambda route: route.fulfill(body="", content_type="text/javascript")
    )
    page.route("**/app.js", lambda route: route.fulfill(body="", content_type="text/javascript"))

    page.goto("/")

    assert "dark" in (page.locator("html").get_attribute("class") or "")
    assert page.locator("#kpi-success").is_visible(), "and the page needs no script to be read"


def test_no_page_scrolls_sideways_or_complains_on_a_phone(filled, visit):
    """Every list, and the page of the first row of each."""
    page = visit(width=400, theme="dark")

    for model in admin.site._registry:
        label = model._meta.label_lower
        row = model._default_manager.first()
        urls = [list_url(label)] + ([row_url(label, row.pk)] if row else [])
        for url in urls:
            response = page.goto(url)
            assert response is not None
            assert response.status == 200, url
            page.wait_for_load_state("load")
            assert _overflow(page) <= 0, url
            assert page.evaluate("window.violations") == [], url
