"""A draft tried on one event while typing, then on live events beside the active rules."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from ingestion.shadow.models import Shadow
from payflow.lib.pages.display import row_url
from tests.browser.test_stories import visit
from tests.ingestion.shadow.conftest import change_metrics
from tests.ingestion.shadow.test_follow import catch_up
from tests.ingestion.trybox.conftest import draft_of

__all__ = ["visit"]

pytestmark = pytest.mark.browser


def test_an_event_is_broken_and_mended_while_typing(visit, event):
    """The error is read, found in the text by its link, mended; no key press is lost."""

    def change(document):
        document["json_schema"].setdefault("required", []).append("terminal")

    draft = draft_of("schema", "transaction", change)
    page = visit()
    page.goto(f"/try/?version={draft.pk}")
    text = page.get_by_label("JSON, up to 1 MiB")
    active = page.get_by_role("region", name="Active")
    other = page.get_by_role("region", name="transaction v2")

    text.fill(json.dumps(event(1, amount="abc"), indent=2))
    expect(active.get_by_text("Failed")).to_be_visible()
    expect(other.get_by_text("terminal: expected a value, found nothing")).to_be_visible()
    expect(page.locator("[data-try-marks] mark")).to_have_text('"abc"')

    active.get_by_role("button", name="amount: expected").click()
    page.keyboard.type("12.5")

    expect(active.get_by_text("Accepted")).to_be_visible()
    expect(other.get_by_text("Failed")).to_be_visible()
    expect(page.locator("[data-try-marks] mark")).to_have_count(0)
    expect(page.get_by_role("status")).to_have_text("Active: Accepted, transaction v2: Failed")
    assert json.loads(text.input_value())["amount"] == 12.5
    expect(page.get_by_label("Beside what is active")).to_have_value(str(draft.pk))


def test_a_payment_is_tried_from_its_passport(visit, ingest, event):
    """On a phone: the event comes along, laid out by a button, numbers as they were."""
    ingest([event(7, amount=0.1)])
    page = visit(width=400)
    page.goto("/metrics/normalizedtransaction/")
    page.locator("#result_list a").first.click()

    page.get_by_role("link", name="Try this event").click()
    expect(page.get_by_role("region", name="Active").get_by_text("Accepted")).to_be_visible()
    page.get_by_role("button", name="Tidy up").click()

    text = page.get_by_label("JSON, up to 1 MiB")
    expect(text).to_have_value(json.dumps(event(7, amount=0.1), indent=2))
    page.get_by_role("button", name="Show all").last.click()
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


def test_a_draft_runs_beside_the_live_rules_and_is_compared(visit, ingest, event):
    """Started on its page, watched, stopped; the lines of both sides lie over each other."""
    draft = draft_of("metrics", "default", change_metrics)
    start = timezone.now() - timedelta(minutes=20)
    page = visit()
    page.goto(row_url("configuration.configurationversion", draft.pk))
    page.get_by_label("At most, of one core").select_option("50")
    page.get_by_role("button", name="Run beside the live rules").click()
    heading = page.get_by_role("heading", name="default v2 beside the live rules", exact=True)
    expect(heading).to_be_visible()

    ingest(
        [
            event(n, amount=9_000 * n + 1, timestamp=(start + timedelta(minutes=n)).isoformat())
            for n in range(12)
        ]
    )
    shadow = catch_up(Shadow.objects.get())

    rules = page.get_by_role("region", name="Rules that differ")
    expect(rules.get_by_text("high_value")).to_be_visible(timeout=15_000)
    expect(page.get_by_role("region", name="web_volume")).to_be_visible()
    page.get_by_role("button", name="Stop").first.click()
    expect(page.get_by_text("what it saw stays")).to_be_visible()
    shadow.refresh_from_db()
    assert (shadow.state, shadow.share, shadow.events) == ("stopped", 50, 12)
