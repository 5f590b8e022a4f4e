"""One payment, found by its customer and followed: search, list, passport, archive, batch, back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import storages
from django.utils import timezone
from playwright.sync_api import expect

from ingestion.models import Batch
from metrics.models import NormalizedTransaction
from payflow.lib.pages.display import row_url
from tests.browser.test_stories import visit

__all__ = ["visit"]

pytestmark = pytest.mark.browser


@pytest.fixture
def payment(ingest: Callable[..., Any], event: Callable[..., Any]) -> NormalizedTransaction:
    """A large payment of one customer among others: refused once, then completed."""
    start = timezone.now() - timedelta(minutes=9)

    def at(second: int) -> str:
        return (start + timedelta(seconds=second)).isoformat()

    own = {"customer_id": "CUST-2FA81C07", "merchant_id": "MERCH-90B2D4E1", "amount": 61000.5}
    ingest([event(n, timestamp=at(n)) for n in range(40)])
    ingest([event(99, **{**own, "amount": "abc"}), event(99, timestamp=at(50), **own)])
    return NormalizedTransaction.objects.get(transaction_id="tx-99")


def test_a_payment_is_found_by_customer_and_followed(payment, visit):
    """By keys to the list of the customer, then to everything that happened to the payment."""
    page = visit()

    page.keyboard.press("Control+k")
    page.get_by_label("Find an id or a rule").press_sequentially("CUST-2FA81C07")
    page.get_by_role("link", name="Customer CUST-2FA81C07 1 event").wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**/normalizedtransaction/?customer_id=CUST-2FA81C07")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)

    page.locator("#result_list a").first.click()
    happened = page.get_by_role("region", name="What happened")
    expect(page.get_by_role("heading", name="61,000.50 EUR at MERCH-90B2D4E1")).to_be_visible()
    expect(happened.get_by_text("Refused: ")).to_be_visible()
    expect(happened.get_by_text("Critical finding: aml_large_amount")).to_be_visible()
    rules = page.get_by_role("region", name="Counted by rules")
    rules.get_by_role("button", name=re.compile("Show all")).click()
    expect(rules.get_by_text("payment_amount")).to_be_visible()
    expect(page.locator("#pp-offset")).to_have_text("1")

    happened.get_by_role("link", name=re.compile(r"\.parquet$")).click()
    expect(page.get_by_role("heading", name="Row 1", exact=True)).to_be_visible()
    page.get_by_role("link", name=str(payment.batch)).click()
    page.get_by_role("link", name="1 transactions").click()
    page.locator("#result_list a").first.click()

    page.wait_for_url(f"**{row_url('metrics.normalizedtransaction', payment.pk)}**")


def test_the_bytes_are_seen_in_every_way_by_keys(payment, visit):
    """One tab stop, arrows change the view; the two sides of the story come apart."""
    page = visit(width=400)
    page.goto(row_url("metrics.normalizedtransaction", payment.pk))

    tab = page.get_by_role("tab", name="JSON")
    tab.press("ArrowRight")
    assert page.get_by_role("tab", name="As received").get_attribute("aria-selected") == "true"
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tabpanel").get_by_text("000000  7b 22")).to_be_visible()

    page.get_by_role("button", name="Payment", exact=True).click()
    expect(page.locator(".pf-tl li:visible")).to_have_count(1)
    page.get_by_role("button", name="All", exact=True).click()
    expect(page.locator(".pf-tl li:visible").nth(3)).to_be_visible()


def test_the_whole_passport_is_copied_as_json(payment, visit):
    """For a ticket or another program, in one click."""
    page = visit()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(row_url("metrics.normalizedtransaction", payment.pk))

    page.get_by_role("link", name="Copy as JSON").click()
    page.get_by_role("link", name="Copy as JSON").get_by_text("check", exact=True).wait_for()

    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied["event"]["id"] == str(payment.pk)
    assert json.loads(copied["archived"]["body"])["transaction_id"] == "tx-99"


def test_a_lost_archive_is_tried_again_without_a_reload(payment, visit):
    """The rest of the page stands meanwhile."""
    archive, file = storages["archive"], Batch.objects.get(pk=payment.batch).file
    with archive.open(file) as held:
        content = held.read()
    archive.delete(file)
    page = visit()
    page.goto(row_url("metrics.normalizedtransaction", payment.pk))
    page.get_by_text("The archive does not give the object of this event").wait_for()
    expect(page.get_by_role("region", name="What happened")).to_be_visible()

    Path(archive.path(file)).write_bytes(content)
    page.get_by_role("button", name="Try again").click()

    page.get_by_role("tab", name="JSON").wait_for()


def test_every_width_holds_the_page(payment, visit):
    """No sideways scroll, nothing blocked, neither on the passport nor under the search box."""
    page = visit(theme="dark")
    for width in (1440, 400, 320):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(row_url("metrics.normalizedtransaction", payment.pk))
        page.get_by_role("region", name="Counted by rules").wait_for()
        page.keyboard.press("Control+k")
        page.get_by_label("Find an id or a rule").wait_for()
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, width
