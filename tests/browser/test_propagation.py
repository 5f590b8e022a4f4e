"""A person watches a version arrive: the page goes on by itself until every worker runs it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Page, expect

from configuration.activation import activate
from configuration.models import Acknowledgement, Activation, ConfigurationVersion, Source
from configuration.versions import import_document
from ingestion.models import Drainer

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("ready")]


def _worker(slot: int) -> str:
    """Live for the next hour, so that the test may take its time."""
    now, source = timezone.now(), Source.objects.get(name="demo")
    row = Drainer.objects.create(
        slot=slot,
        owner=f"host:{slot}",
        seen_at=now + timedelta(hours=1),
        started_at=now - timedelta(hours=1),
        bundles={"demo": source.active_bundle_id},
    )
    return row.owner


def _answer(owner: str, entry: Activation, *, after_s: float) -> None:
    source = Source.objects.get(name="demo")
    assert source.active_bundle
    Acknowledgement.objects.create(
        source=source,
        serial=source.bundle_serial,
        bundle=source.active_bundle,
        owner=owner,
        acknowledged_at=entry.activated_at + timedelta(seconds=after_s),
    )


def test_the_card_follows_the_workers_until_all_run_the_version(
    live_server: Any, page: Page
) -> None:
    """One has answered when the page opens; the other does later, and nobody reloads the page.
    What has the keyboard keeps it, and nothing is fetched any more when all is told."""
    owners = [_worker(1), _worker(2)]
    schema = ConfigurationVersion.objects.get(kind="schema", name="transaction")
    document = {**schema.document, "nulls": ["", "none"]}
    version = import_document(kind="schema", name="transaction", document=document)
    entry = activate(version, override_reason="a test")
    _answer(owners[0], entry, after_s=0.21)
    User.objects.create_superuser("ana", password="secret")
    page.goto(f"{live_server.url}/configuration/configurationversion/{version.pk}/change/")
    page.get_by_label("Username").fill("ana")
    page.get_by_label("Password").fill("secret")
    page.get_by_role("button", name="Log in").click()

    expect(page.get_by_role("heading", name=f"1 of 2 workers run {version}")).to_be_visible()
    page.get_by_role("link", name="worker 2").focus()
    _answer(owners[1], entry, after_s=0.84)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    expect(page.get_by_role("heading", name=f"Every worker runs {version}")).to_be_visible()
    expect(page.get_by_text("2 of 2 in 0.84 s, slowest worker 2")).to_be_visible()
    expect(page.get_by_role("link", name="worker 2")).to_be_focused()
    fetched = len(asked)
    page.wait_for_timeout(1500)
    assert len(asked) == fetched
