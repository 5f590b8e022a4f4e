"""The page of a source in a real browser: it lives by itself, and tests its connection in place."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from configuration.models import Source
from ingestion.models import Partition
from ingestion.source_models import PartitionMinute, SourceConnection
from payflow.lib.pages.display import list_url, row_url

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


@pytest.fixture
def root(page: Page, live_server: Any, ready: None, streams: Any) -> Page:
    """Somebody who may do everything, in a window 400 px wide."""
    User.objects.create_superuser("ada", password="correct horse")
    page.set_viewport_size({"width": 400, "height": 900})
    page.goto(live_server.url)
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Overview").first.wait_for()
    return page


@pytest.fixture
def demo(ready: None) -> Source:
    """The source demo, read by a worker, with an hour of lag behind it."""
    now = timezone.now()
    source = Source.objects.get(name="demo")
    SourceConnection.objects.create(
        source=source, owner="worker-1", connected_since=now - timedelta(hours=1), seen_at=now
    )
    minute = now.replace(second=0, microsecond=0)
    for number in range(4):
        row = Partition.objects.create(
            source=source,
            name=str(number),
            position="17-1",
            leased_by="worker-1",
            leased_until=now + timedelta(minutes=5),
            lag_events=number,
            lag_seconds=number / 10,
            lag_at=now,
        )
        PartitionMinute.objects.bulk_create(
            PartitionMinute(
                minute=minute - timedelta(minutes=ago),
                partition_id=row.pk,
                sequence_number=1,
                lag_events=number,
                lag_seconds=number,
            )
            for ago in range(60)
        )
    return source


def test_the_page_follows_a_partition_that_stops(root: Page, live_server: Any, demo: Source):
    """Its sentence, its row and the way to go on are there within seconds, in a narrow window."""
    root.goto(live_server.url + row_url("configuration.source", demo.pk))
    root.locator(".pf-source-state").get_by_text("Running").wait_for()
    Partition.objects.filter(name="2").update(
        state="stopped", stopped_reason="lost 12 messages", stopped_at=timezone.now()
    )

    root.get_by_text("Running, 1 of 4 partitions stopped").wait_for(timeout=9_000)
    root.get_by_text("Lost 12 messages. Nothing is skipped until a person decides.").wait_for()
    root.get_by_role("link", name="Resume partition 2").wait_for()

    assert root.evaluate("document.documentElement.scrollWidth") == 400


def test_a_connection_is_tested_where_one_stands(root: Page, live_server: Any, demo: Source):
    """The steps appear in the page; it is not left, and lives on."""
    address = live_server.url + row_url("configuration.source", demo.pk)
    root.goto(address)

    root.get_by_role("button", name="Test connection").click()

    root.get_by_role("heading", name="The connection works").wait_for()
    assert root.url == address
    assert root.get_by_role("button", name="Test connection").is_enabled()


def test_a_new_source_begins_with_an_example_and_ends_with_its_page(root: Page, live_server: Any):
    """Another broker brings its example, but never overwrites what was typed."""
    root.goto(live_server.url + list_url("configuration.source") + "add/")
    settings = root.get_by_label("Settings, YAML or JSON")
    root.get_by_label("Broker").select_option("redis_streams")
    example = settings.input_value()
    settings.fill("stream: cards\npartitions: 2\nurl: redis://127.0.0.1:1/0\n")
    root.get_by_label("Broker").select_option("file")
    kept = settings.input_value()
    root.get_by_label("Broker").select_option("redis_streams")

    root.get_by_role("button", name="Test connection").click()
    root.get_by_role("heading", name="TCP: this is what is wrong").wait_for()
    root.get_by_label("Name", exact=True).fill("cards")
    root.get_by_role("button", name="Make source").click()
    root.get_by_text("Made source cards.").wait_for()

    assert "stream: payments" in example
    assert kept.startswith("stream: cards")
    assert root.evaluate("document.documentElement.scrollWidth") == 400
