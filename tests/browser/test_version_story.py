"""A change of the rules from its first draft to its roll back, in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.urls import reverse

from configuration.models import Activation, AuditEntry, ConfigurationVersion
from ingestion import jobs
from ingestion.drain import Drainer
from tests.ingestion.streaming import publish

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

#: a constraint of the shipped schema, and what the draft makes of it
OLD = "merchant_id: {type: string"
NEW = 'merchant_id: {pattern: "^M-", type: string'


@pytest.fixture
def worker(ready: None) -> Iterator[None]:
    """A live worker that drains the source `demo`."""
    stop = threading.Event()

    def drain() -> None:
        Drainer(stop=stop, sources=["demo"]).run()
        connection.close()

    thread = threading.Thread(target=drain)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture
def schemas(page: Page, live_server: Any, ready: None) -> Page:
    """The list of schemas, as a superuser sees it."""
    User.objects.create_superuser("ada", password="correct horse")
    page.goto(live_server.url)
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Log in").click()
    page.goto(live_server.url + reverse("admin:configuration_schemas"))
    return page


def test_a_change_is_drafted_tried_made_live_and_rolled_back(
    streams, broker, schemas, worker, event
):
    """New draft, break it, read the error, mend it, dry run, activate, watch, roll back."""
    from playwright.sync_api import expect

    publish(streams, [event(1), event(2, merchant_id="shop"), event(3)])
    page = schemas
    page.get_by_role("link", name="transaction", exact=True).click()
    page.get_by_role("button", name="New draft from v1").click()
    page.get_by_role("link", name="YAML", exact=True).click()
    text = page.get_by_label("YAML of transaction v2")
    written = text.input_value()
    assert OLD in written

    text.fill(written.replace(OLD, "merchant_id: {patern: x, type: string"))
    expect(page.get_by_role("status", name="What is wrong")).to_contain_text("patern")
    expect(page.locator(".pf-ed-n .bad")).to_have_count(1)

    text.fill(written.replace(OLD, NEW))
    expect(page.get_by_text("Not saved yet, valid")).to_be_visible()
    page.get_by_role("button", name="Save draft").click()
    expect(page.get_by_text("Saved transaction v2. It is valid.")).to_be_visible()
    expect(page.get_by_label("Changes against active v1")).to_contain_text("^M-")

    version_url = page.url
    page.get_by_role("link", name="Dry run…").first.click()
    page.get_by_role("button", name="Start dry run").click()
    expect(page.get_by_text("Waiting for a worker")).to_be_visible()
    assert jobs.run_waiting() == 1
    page.goto(version_url)
    found = page.get_by_label("Dry run on archived events")
    expect(found).to_contain_text("Newly failing")
    expect(found).to_contain_text("merchant_id")

    page.get_by_label("Why (kept in the audit trail)").fill("Only shops of ours")
    page.get_by_label("refuses this").fill("The others are not ours")
    page.get_by_role("button", name="Activate v2").click()
    expect(page.get_by_text("Every worker runs transaction v2")).to_be_visible(timeout=15_000)

    page.get_by_role("link", name="Roll back to v1…").click()
    page.get_by_label("Why (kept in the audit trail)").fill("They were ours")
    page.get_by_role("button", name="Roll back to v1").click()
    expect(page.get_by_text("Every worker runs transaction v1")).to_be_visible(timeout=15_000)
    expect(page.get_by_label("History", exact=True)).to_contain_text("Roll back: They were ours")

    last, before = Activation.objects.all()[:2]
    assert (last.is_rollback, last.version.number, before.version.number) == (True, 1, 2)
    assert before.override_reason == "The others are not ours"
    assert ConfigurationVersion.objects.get(name="transaction", number=2).status == "retired"
    assert AuditEntry.objects.filter(actor__username="ada").count() >= 4
