"""The overview's page: its figures are those of the path, and each leads to what is behind it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from configuration.models import Activation, ConfigurationVersion, Source
from ingestion.models import Partition
from ingestion.overview import reading
from ingestion.overview.spans import read_span
from tests.pages import fresh_cache, look, staff

__all__ = ["fresh_cache", "look", "staff"]


def _at(moment: datetime) -> str:
    return moment.isoformat()


def _recent(**ago: float) -> str:
    return _at(timezone.now() - timedelta(**(ago or {"minutes": 1})))


@pytest.fixture
def some(ingest: Any, event: Any) -> None:
    """Payments of the last minutes: three completed, one failed; one twice, two refused."""
    now = _recent()
    acme = {"metadata": {"processor": "acme"}}
    ingest(
        [
            event(1, timestamp=now, channel="web", **acme),
            event(2, timestamp=now, channel="web"),
            event(2, timestamp=now, channel="web"),
            event(3, timestamp=now, channel="pos", amount=1000, currency="JPY"),
            event(4, timestamp=now, channel="web", status="timeout", **acme),
            event(5, timestamp=now, amount="abc"),
            b"{",
        ]
    )


def _cards(page: str) -> dict[str, str]:
    """Text of each card by its name."""
    found = re.findall(r'<section[^>]*aria-label="([^"]+)">(.*?)</section>', page, re.DOTALL)
    return {name: " ".join(re.sub(r"<[^>]+>", " ", html).split()) for name, html in found}


def _href(page: str, element: str) -> str:
    """The address of the link that has an id."""
    (tag,) = re.findall(rf'<a[^>]*id="{element}"[^>]*>', page)
    return unescape(re.findall(r'href="([^"]*)"', tag)[0])


def test_the_page_and_its_live_part_show_the_same(some, look):
    """The first paint is whole; the live part only replaces it."""
    page, part = look("/"), look("/overview/live/?range=1h")

    assert part in page


def test_the_figures_are_those_of_what_was_taken(some, look):
    """Decided payments, failures by reason, amounts apart by currency, refused messages."""
    page = look("/overview/live/", html=True)

    cards = _cards(page)
    assert "Success rate, 1 h 75.0 %" in look("/")
    assert "Failed payments, 1 h 1" in look("/")
    assert "timeout 1 100.0 %" in cards["Failures by reason"]
    assert "24.68 EUR 2" in cards["Amount by currency"]
    assert "1,000 JPY 1" in cards["Amount by currency"]
    assert "invalid_json" in cards["Dead letters"]
    assert (
        "7 messages , 4 accepted , 2 failed , 1 duplicates , 0 late" in cards["Arrival to commit"]
    )


def test_a_number_leads_to_exactly_the_rows_that_it_counts(some, look):
    """Range and filters are in the address."""
    page = look("/", html=True)
    numbers = {"kpi-failed": 1, "kpi-success": 4, "kpi-dead": 2, "in-accepted": 4, "in-failed": 2}

    for element, rows in numbers.items():
        url = _href(page, element)
        table = look(url, html=True).partition('id="result_list"')[2]

        assert table.partition("</table>")[0].count("<tr") - 1 == rows, url


def test_a_point_of_the_chart_leads_to_its_payments(some, look):
    """Each value carries the address of the events of its interval and its line."""
    page = look("/overview/live/", html=True)
    chart = page.partition('id="chart-success-rate-by-channel"')[2].partition("</figure>")[0]
    links = re.findall(r'<a href="([^"]+)">66\.7 %</a>', chart)

    (url,) = [unescape(link) for link in links]

    assert "channel=web" in url
    assert "occurred_at_from_1=" in url
    assert "tx-4" in look(url)
    assert "tx-3" not in look(url), "that one is of another channel"


def test_the_breakdown_and_the_range_are_in_the_address(some, look):
    """A look can be shared; changing one keeps the other."""
    page = look("/?range=24h&by=processor", html=True)

    assert "By processor" in page
    assert "acme" in _cards(page)["By processor"]
    assert 'href="?range=7d&amp;by=processor"' in page
    assert 'href="?range=24h"' in page, "the default breakdown"
    assert 'data-live="/overview/live/?range=24h&amp;by=processor"' in page


def test_a_past_range_is_shown_and_does_not_refresh(ingest, event, look):
    """What is over does not change; its numbers are of then."""
    ingest([event(n) for n in range(30)])

    page = look("/?from=2026-03-02T10:00&to=2026-03-02T11:00", html=True)

    assert "data-live=" not in page
    assert "370.20" in _cards(page)["Amount by currency"]


def test_a_range_that_cannot_be_shown_is_said(some, look):
    """A typing error in an address is no error page: the last hour is shown."""
    page = look("/?from=2026-03-02T10:00&to=2026-03-01T10:00")

    assert "This range cannot be shown The end of the range is not after its begin." in page
    assert "Success rate, 1 h" in page


def test_an_activation_stands_on_the_time_axis(some, look):
    """A change of the configuration is seen beside what it did, and leads to its version."""
    version = ConfigurationVersion.objects.get(kind="schema", name="transaction")
    _forget_activations()
    Activation.objects.create(version=version)

    page = look("/overview/live/", html=True)

    url = f"/configuration/configurationversion/{version.pk}/change/"
    assert re.search(rf'<a href="{url}"><rect[^>]*/><text[^>]*>Schema v1</text>', page)


def test_activations_at_one_time_are_one_mark(some, look):
    """Labels on top of each other cannot be read."""
    _forget_activations()
    for version in ConfigurationVersion.objects.filter(status="active")[:3]:
        Activation.objects.create(version=version)

    assert "3 activations" in look("/overview/live/")


def test_a_card_that_cannot_be_read_leaves_the_rest(some, look, monkeypatch, caplog):
    """A page with a hole says more than no page."""

    def broken(*args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(reading, "read_latency", broken)

    page = look("/", html=True)

    cards = _cards(page)
    assert "This card could not be read" in cards["Arrival to commit"]
    assert "timeout 1" in cards["Failures by reason"]
    assert "could not be read" in page.partition('id="kpi-latency"')[2][:400]
    assert [record.card for record in caplog.records] == ["latency"]


def test_before_the_first_event_the_page_says_how_to_begin(look):
    """An empty database is not an error."""
    page = look("/")

    assert "No events yet" in page
    assert "manage.py ingest_file" in page


def test_without_payments_in_the_range_every_card_says_so(ingest, event, look):
    """Events of the past fill no chart of today."""
    ingest([event(1)])

    cards = _cards(look("/", html=True))

    assert "No decided payments in this range" in cards["Success rate"]
    assert "No completed payments" in cards["Amount by currency"]
    assert "No failed payments" in cards["Failures by reason"]


def test_all_viewers_share_one_look(some, look):
    """Fifty open tabs ask the database once."""
    look("/overview/live/")

    with CaptureQueriesContext(connection) as queries:
        look("/overview/live/?by=method")

    assert not [q for q in queries if "payment_metrics" in q["sql"] or "batches" in q["sql"]]


def test_a_look_reads_roll_ups_only(some, ready):
    """With ten million rows anything else would be too slow; batches for one minute only."""
    span = read_span({"range": "7d"}, now=timezone.now())

    with CaptureQueriesContext(connection) as queries:
        reading.read_overview(span)

    statements = " ".join(q["sql"] for q in queries)
    assert "normalized_transactions" not in statements
    assert "dynamic_metrics" not in statements
    assert "failed_items" not in statements
    assert '"violations"' not in statements


def test_a_lag_that_nobody_has_said_lately_is_unknown(some, look):
    """Zero from an hour ago would look as if all were well."""
    Partition.objects.create(
        source=Source.objects.get(name="demo"),
        name="0",
        position="0-1",
        lag_events=0,
        lag_seconds=0.0,
        lag_at=timezone.now() - timedelta(hours=1),
    )

    cards = _cards(look("/", html=True))

    assert "demo not read \N{EN DASH} \N{EN DASH}" in cards["Lag"]


def test_who_may_not_view_batches_sees_no_figures(some, staff):
    """The page says who can help; the live part is refused."""
    client = staff("metrics.view_normalizedtransaction")

    page = client.get("/").content.decode()

    assert "You can sign in, but not look yet" in page
    assert "Success rate" not in page
    assert client.get("/overview/live/").status_code == 403


def test_the_live_part_needs_a_login(ready, client):
    """A redirect, which payflow.js takes for a lost link."""
    assert client.get("/overview/live/").status_code == 302
    assert not User.objects.filter(is_superuser=True).exists()


def _forget_activations() -> None:
    """The database keeps each of them: only a superuser's TRUNCATE gets past it."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE configuration_activations")
