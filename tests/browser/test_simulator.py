"""The page Simulator in a real browser: it lives by itself and steers a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from configuration.models import Source
from ingestion.simulation_model import Simulation
from payflow.lib.pages.display import list_url

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


@pytest.fixture
def simulator(page: Page, live_server: Any, ready: None) -> Page:
    """The page of a running simulation, 400 px wide."""
    now = timezone.now()
    Simulation.objects.create(
        name="demo",
        scenario="normal-day",
        source=Source.objects.get(name="demo"),
        owner="host:1",
        seen_at=now,
        started_at=now,
        done_revision=1,
        published=10,
    )
    User.objects.create_superuser("ada", password="correct horse")
    page.set_viewport_size({"width": 400, "height": 900})
    page.goto(live_server.url)
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Log in").click()
    page.goto(live_server.url + list_url("ingestion.simulation"))
    return page


def test_the_figures_follow_the_row_while_the_form_is_filled_in(simulator: Page):
    """What was chosen and typed stays; the page is no wider than the window."""
    simulator.get_by_label("A processor fails").check()
    simulator.get_by_label("Events a second").fill("77")
    Simulation.objects.update(published=4_321, seen_at=timezone.now())

    simulator.get_by_text("4,321").wait_for(timeout=6_000)

    assert simulator.get_by_label("A processor fails").is_checked()
    assert simulator.get_by_label("Events a second").input_value() == "77"
    assert simulator.evaluate("document.documentElement.scrollWidth") == 400


def test_a_person_changes_and_stops_a_run(simulator: Page):
    """Choose, change, stop: each said in a sentence."""
    simulator.get_by_label("A processor fails").check()
    simulator.get_by_role("button", name="Change").click()
    simulator.get_by_text("Changed to A processor fails: 500 events a second").wait_for()
    simulator.get_by_role("button", name="Stop").click()
    simulator.get_by_text("Stopped A processor fails after 10 events.").wait_for()

    row = Simulation.objects.get()
    assert (row.scenario, row.is_wanted, row.revision) == ("processor-fails", False, 3)
