"""Pages of shadows: started on the page of a draft, compared on their own, stopped."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from configuration.models import AuditEntry, ConfigurationVersion
from ingestion.shadow import lifecycle
from ingestion.shadow.lifecycle import start
from ingestion.shadow.models import Shadow
from payflow.lib.errors import ConfigurationError
from payflow.lib.pages.display import DASH, MINUS, row_url
from tests.ingestion.shadow.conftest import draft_of, rule
from tests.ingestion.shadow.test_follow import catch_up
from tests.pages import text_of

MAY_SHADOW = "configuration.shadow_configurationversion"
VIEW = ("ingestion.view_shadow", "configuration.view_configurationversion")


def version_url(version: ConfigurationVersion) -> str:
    return row_url("configuration.configurationversion", version.pk)


def test_a_draft_is_started_on_its_page_and_stopped_on_the_shadows(draft, staff):
    """By who may shadow; both are in the audit trail."""
    client = staff(*VIEW, MAY_SHADOW)
    card = text_of(client.get(version_url(draft)).content.decode())

    client.post(f"/ingestion/shadow/of/{draft.pk}/start/", {"minutes": "15", "share": "10"})
    shadow = Shadow.objects.get()
    page = text_of(client.get(row_url("ingestion.shadow", shadow.pk)).content.decode())
    client.post(f"/ingestion/shadow/{shadow.pk}/stop/")

    shadow.refresh_from_db()
    assert "Run beside the live rules" in card
    assert (shadow.share, shadow.state) == (10, "stopped")
    assert abs(shadow.until - shadow.started_at - timedelta(minutes=15)) < timedelta(seconds=5)
    assert "default v2 beside the live rules" in page
    assert "web_volume" in page
    actions = AuditEntry.objects.filter(version=draft).values_list("action", flat=True)
    assert {"started shadow", "stopped shadow"} <= set(actions)


def test_who_may_only_look_starts_and_stops_nothing(draft, staff):
    """And is shown no button that fails."""
    client = staff(*VIEW)
    shadow = start(draft, minutes=15, share=5, by=None)

    refused = [
        client.post(f"/ingestion/shadow/of/{draft.pk}/start/", {"minutes": "15", "share": "10"}),
        client.post(f"/ingestion/shadow/{shadow.pk}/stop/"),
        staff().get(f"/ingestion/shadow/{shadow.pk}/live/"),
        staff().get(row_url("ingestion.shadow", shadow.pk)),
    ]
    pages = (
        client.get(version_url(draft)).content
        + client.get(row_url("ingestion.shadow", shadow.pk)).content.split(b"<main")[1]
    )

    assert [response.status_code for response in refused] == [403] * 4
    assert b"/stop/" not in pages
    assert b"/start/" not in pages


def test_nothing_is_started_by_looking(draft, staff):
    """Starting and stopping are POSTs."""
    client = staff(*VIEW, MAY_SHADOW)

    response = client.get(f"/ingestion/shadow/of/{draft.pk}/start/")

    assert response.status_code == 405
    assert not Shadow.objects.exists()


def test_only_offered_times_and_shares_are_taken(draft, staff):
    """Whatever is sent."""
    client = staff(*VIEW, MAY_SHADOW)
    url = f"/ingestion/shadow/of/{draft.pk}/start/"

    for minutes, share in [("", ""), ("7", "10"), ("60", "100"), ("9" * 30, "-1"), ("60", "x")]:
        response = client.post(url, {"minutes": minutes, "share": share}, follow=True)

        assert "are chosen from what the form offers" in text_of(response.content.decode())
    assert not Shadow.objects.exists()


def test_a_wrong_draft_or_one_like_the_live_rules_is_not_run(ready):
    """It says why."""
    from configuration.models import ConfigurationVersion
    from configuration.versions import create_draft

    wrong = create_draft(kind="metrics", name="default", text="name: default\nmetrics: 7\n")
    same = draft_of("metrics", lambda document: None)
    schema = ConfigurationVersion.objects.filter(kind="schema")[0]

    said = []
    for version in (wrong, same, schema):
        with pytest.raises(ConfigurationError) as refused:
            start(version, minutes=60, share=25, by=None)
        said.append(str(refused.value))

    assert "/metrics" in said[0]
    assert "compute the same" in said[1]
    assert "Only drafts of rules" in said[2]


def test_one_draft_runs_once_and_few_at_a_time(draft, monkeypatch):
    """What shadows may cost together is bounded."""
    start(draft, minutes=60, share=25, by=None)
    with pytest.raises(ConfigurationError, match="runs as a shadow already"):
        start(draft, minutes=60, share=25, by=None)

    monkeypatch.setattr(lifecycle, "MOST_RUNNING", 1)

    with pytest.raises(ConfigurationError, match="1 shadows run already"):
        start(draft, minutes=60, share=25, by=None)


def test_both_sides_of_rules_are_compared(shadow, ingest, event, look):
    """Events of each side, series that only one has, both lines of those that differ most."""
    now = timezone.now()
    ingest([event(n, amount=9_000 * n, timestamp=now.isoformat()) for n in range(1, 4)])
    catch_up(shadow)

    html = look(row_url("ingestion.shadow", shadow.pk), html=True)

    text = text_of(html)
    assert "high_value edit changed" in text
    assert "amount >= 100" in text
    assert f"web_volume add new {DASH} 3 +3 1 only in the draft of 1" in text
    assert f"currency_mix remove gone 3 {DASH} {MINUS}3 1 only live of 1" in text
    assert html.count('data-chart="lines"') == 3
    assert "Events seen 3 on both sides" in text


def test_both_sides_of_findings_are_compared(ready, ingest, event, look):
    """With the passports of events that only one side finds."""

    def change(document):
        rule(document, "aml_large_amount", "rules")["where"] = "amount >= 70000"

    shadow = start(draft_of("compliance", change), minutes=15, share=50, by=None)
    ingest([event(n, amount=amount) for n, amount in enumerate([10, 60_000, 80_000])])
    catch_up(shadow)

    html = look(row_url("ingestion.shadow", shadow.pk), html=True)

    assert "aml_large_amount crisis_alert Critical" in text_of(html)
    assert "1 1 0 only live" in text_of(html)
    assert html.count("/metrics/normalizedtransaction/") >= 2


def test_a_shadow_that_no_worker_follows_says_so(shadow, look):
    """Instead of numbers that stand still without a word."""
    past = timezone.now() - timedelta(minutes=1)
    Shadow.objects.filter(pk=shadow.pk).update(started_at=past, rests_until=past, seen_at=past)

    assert "No worker looks at it" in look(row_url("ingestion.shadow", shadow.pk))


def test_a_draft_that_was_changed_since_is_told_apart(shadow, look):
    """The page is about the text that runs."""
    from configuration.versions import save_draft

    save_draft(shadow.version, "name: default\nmetrics: []\n", by=None)

    assert "this shadow runs its text of" in look(row_url("ingestion.shadow", shadow.pk))


def test_the_list_and_a_shadow_that_is_gone(shadow, look, staff):
    """Shadows of all drafts; a stale link leads to the list."""
    assert "default v2" in look("/ingestion/shadow/")

    response = staff(*VIEW).get("/ingestion/shadow/999/change/")

    assert response.status_code == 302
