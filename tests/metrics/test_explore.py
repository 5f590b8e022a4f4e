"""Claims about the page Explore: what it shows, what it refuses, and its CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import Permission, User
from django.http import QueryDict
from django.test import Client
from django.utils import timezone

from configuration.models import Activation, ConfigurationVersion
from metrics import series, series_request
from metrics.explore_metrics import known_metrics
from metrics.explore_numbers import change
from metrics.explore_state import read_state, step_for
from payflow.lib.pages.display import DASH, MINUS
from tests.metrics.windows import NOON, add_histogram, add_payments, add_window, minutes
from tests.pages import text_of

pytestmark = pytest.mark.django_db

RANGE = "range=custom&from=2026-03-02T12:00:00Z&to=2026-03-02T13:00:00Z"


@pytest.fixture
def version() -> ConfigurationVersion:
    """An active rule set with a rule of each kind that these tests look at."""
    return ConfigurationVersion.objects.create(
        kind="metrics",
        name="default",
        number=7,
        status="active",
        checksum="0" * 64,
        document={
            "name": "default",
            "metrics": [
                {
                    "name": "by_merchant",
                    "description": "Payments of each merchant. A fall is a checkout that broke.",
                    "type": "COUNTER",
                    "group_by": ["merchant_id"],
                },
                {
                    "name": "volume",
                    "description": "Money of each merchant.",
                    "type": "COUNTER",
                    "value": "amount",
                    "group_by": ["merchant_id"],
                },
                {
                    "name": "slow_ms",
                    "description": "How long it takes.",
                    "type": "HISTOGRAM",
                    "value": "latency_us / 1000",
                },
                {
                    "name": "largest",
                    "description": "The largest.",
                    "type": "GAUGE",
                    "value": "latency_us",
                },
            ],
        },
    )


@pytest.fixture
def client(version: ConfigurationVersion) -> Client:
    """Somebody who may read windows, and nothing else."""
    user = User.objects.create_user("ada", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_metricwindow"))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def see(client: Client) -> Callable[..., str]:
    """The text of /explore/ with a query; anything but 200 fails the test."""

    def look(query: str, *, html: bool = False, status: int = 200) -> str:
        response = client.get(f"/explore/?{query}")
        assert response.status_code == status
        page = response.content.decode()
        return page if html else text_of(page)

    return look


def _rows(client: Client, query: str) -> list[dict[str, str]]:
    response: Any = client.get(f"/explore/csv/?{query}")
    assert response.status_code == 200
    text = b"".join(response.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_who_may_not_read_windows_may_not_explore(version):
    """The page and the CSV ask for the permission, and the sidebar shows no dead link."""
    client = Client()
    client.force_login(User.objects.create_user("eve", is_staff=True))

    assert client.get("/explore/").status_code == 403
    assert client.get("/explore/csv/").status_code == 403
    assert 'href="/explore/"' not in client.get("/").content.decode()


def test_the_picker_lists_every_metric_with_its_description(see):
    """Each can be found by the words of its description."""
    page = see("")

    assert "by_merchant counter Payments of each merchant. A fall is a checkout that broke." in page
    assert all(name in page for name in known_metrics())


def test_nothing_in_the_range_says_so(see):
    """An empty range has no chart, no table and no error."""
    page = see(f"metric=by_merchant&{RANGE}")

    assert "No events in this range" in page


def test_rates_are_percents_with_both_counts(see):
    """83 completed of 83 and 17 failed."""
    add_payments(minutes(5), transaction_count=83)
    add_payments(minutes(5), payment_status="failed", transaction_count=17)

    page = see(f"metric=success_rate&{RANGE}")

    assert "Share Numerator Denominator all 83.0 % 83 100" in page


def test_groups_have_a_row_each_and_links_to_their_transactions(see):
    """The link carries the group, the filters and the range."""
    add_window("by_merchant", minutes(5), group={"merchant_id": "M-1"}, value_sum=9)
    add_window("by_merchant", minutes(5), group={"merchant_id": "<b>"}, value_sum=4)

    html = see(f"metric=by_merchant&{RANGE}&by=merchant_id", html=True)

    assert "M-1 9 3 <b> 4 3" in text_of(html)
    assert "<b>&lt;b&gt;" not in html
    link = (
        "/metrics/normalizedtransaction/?occurred_at_from_0=2026-03-02&amp;"
        "occurred_at_from_1=12%3A00%3A00&amp;occurred_at_to_0=2026-03-02&amp;"
        "occurred_at_to_1=13%3A00%3A00&amp;merchant_id=M-1"
    )
    assert link in html


def test_five_groups_are_drawn_and_the_others_are_one_line(see):
    """The chart has five lines and "2 others", the table every group."""
    for number in range(7):
        group = {"merchant_id": f"M-{number}"}
        add_window("by_merchant", minutes(5), group=group, value_sum=70 - number)

    html = see(f"metric=by_merchant&{RANGE}&by=merchant_id", html=True)

    heads = text_of(html[html.index("pf-data") : html.index("</thead>")])
    assert "M-0 M-1 M-2 M-3 M-4 2 others" in heads
    assert "7 largest" in text_of(html)


def test_beyond_the_rows_shown_groups_are_others(see):
    """60 groups: 50 rows, ten in "10 others", and a link to all of them."""
    for number in range(60):
        add_window("by_merchant", minutes(5), group={"merchant_id": f"M-{number}"})

    few = see(f"metric=by_merchant&{RANGE}&by=merchant_id")
    every = see(f"metric=by_merchant&{RANGE}&by=merchant_id&rows=all")

    assert "50 largest, 10 added up as others" in few
    assert "10 others 30 30" in few
    assert "60 largest" in every
    assert "others 30" not in every


def test_amounts_of_groups_are_shown_in_one_currency(see):
    """The one with most events unless another is chosen; nothing is added up across them."""
    add_window("volume", NOON, group={"merchant_id": "M-1", "currency": "USD"}, value_sum=10)
    euros = {"merchant_id": "M-1", "currency": "EUR"}
    add_window("volume", NOON, group=euros, value_sum=7, transactions=50)

    first = see(f"metric=volume&{RANGE}&by=merchant_id")
    chosen = see(f"metric=volume&{RANGE}&by=merchant_id&in.currency=USD")

    assert "M-1 7.00 EUR 50" in first
    assert "USD 3" not in first
    assert "M-1 10.00 USD 3" in chosen


def test_each_currency_has_a_chart_of_its_own(see):
    """Yen and euros never share an axis."""
    add_window("volume", NOON, group={"merchant_id": "M", "currency": "JPY"}, value_sum=5000)
    add_window("volume", NOON, group={"merchant_id": "M", "currency": "EUR"}, value_sum=7)

    html = see(f"metric=volume&{RANGE}", html=True)

    assert html.count("<figure") == 2
    assert "JPY" in text_of(html)
    assert "5,000 JPY" in text_of(html)


def test_histograms_show_quantiles_and_their_number_of_events(see):
    """Three lines, and a chart of how many events they stand on."""
    add_histogram("slow_ms", NOON, {"100": 90, "900": 10})

    html = see(f"metric=slow_ms&{RANGE}", html=True)
    page = text_of(html)

    assert html.count("<figure") == 2
    assert "p50 p95 p99" in page
    assert "p50 p95 p99 Events" in page


def test_gauges_show_min_max_and_last(see):
    """A gauge has three lines and three numbers."""
    add_window("largest", NOON, value_min=1, value_max=8, value_last=5, last_at=NOON, last_key=None)

    page = see(f"metric=largest&{RANGE}")

    assert "Min Max Last Events all 1 8 5 3" in page


def test_a_comparison_is_drawn_over_and_told_in_the_table(see):
    """Yesterday 10, today 15: half as much again."""
    add_window("by_merchant", minutes(5) - timedelta(days=1), value_sum=10)
    add_window("by_merchant", minutes(5), value_sum=15)

    html = see(f"metric=by_merchant&{RANGE}&compare=yesterday", html=True)

    assert 'class="cmp"' in html
    assert "by_merchant, yesterday" in text_of(html)
    assert "all 15 3 10 ▲ up +50.0 %" in text_of(html)


@pytest.mark.parametrize(
    ("now", "before", "is_share", "text"),
    [
        (Decimal("0.836"), Decimal("0.947"), True, f"{MINUS}11.1 pt"),
        (Decimal(3), Decimal(4), False, f"{MINUS}25.0 %"),
        (Decimal(3), Decimal(0), False, "new"),
        (Decimal(0), Decimal(0), False, "="),
        (None, Decimal(4), False, DASH),
        (Decimal(-2), Decimal(-4), False, "+50.0 %"),
    ],
)
def test_changes_are_points_of_shares_and_percents_of_all_else(now, before, is_share, text):
    """What has no past is new, what has no present is unknown."""
    assert change(now, before, is_share=is_share)[2] == text


def test_a_changed_rule_and_activations_are_marked(see, version):
    """The chart says where a definition changed, the foot which versions there are."""
    Activation.objects.create(version=version, activated_at=minutes(10))
    add_window("by_merchant", minutes(0), rule_version=9)
    add_window("by_merchant", minutes(40), rule_version=-4)

    html = see(f"metric=by_merchant&{RANGE}", html=True)

    assert "Metric rules v7" in text_of(html)
    assert "rule changed" in text_of(html)
    assert "v:0000000000000009" in html
    assert "v:fffffffffffffffc" in html


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("metric=nothing", "There is no metric 'nothing'"),
        ("range=3y", "The range is one of 1h, 6h, 24h, 7d or custom"),
        ("range=custom&from=yesterday&to=", "'yesterday' is no time"),
        ("range=custom&from=2026-03-02T12:00&to=2026-03-02T11:00", "ends before it begins"),
        ("range=custom&from=1900-01-01T00:00&to=2026-01-01T00:00", "at most 730 days"),
        ("range=custom&from=0001-01-01T00:00&to=0001-01-02T00:00", "no time like|years 2000"),
        ("range=custom&from=9999-12-31T23:59:59-23:59&to=2026-01-01T00:00Z", "no time like"),
        ("range=custom&from=2026-13-40T99:00&to=2026-01-01T00:00", "no time like"),
        ("metric=by_merchant&by=channel", "cannot be grouped by channel. It can by merchant_id."),
        ("metric=transactions&in.merchant_id=M", "cannot be filtered by merchant_id"),
        ("in.channel=%00", "no NUL"),
        ("in.channel=" + "x" * 300, "at most 256 characters"),
        ("compare=never", "previous, yesterday or week"),
    ],
)
def test_a_wrong_address_is_answered_in_words(client, see, query, sentence):
    """A typed or old link gives a page that says what is wrong, and never an error page."""
    page = see(query, status=400)
    refused = client.get(f"/explore/csv/?{query}")

    assert any(part in page for part in sentence.split("|"))
    assert refused.status_code == 400
    assert any(part in refused.content.decode() for part in sentence.split("|"))


def test_too_much_to_read_is_answered_in_words(see, client, monkeypatch):
    """A range with too many windows is refused before they are read."""
    monkeypatch.setattr(series, "MAX_ROWS", 1)
    monkeypatch.setattr(series_request, "MAX_ROWS", 1)
    add_window("by_merchant", minutes(0))
    add_window("by_merchant", minutes(5))

    assert "more than 1 windows of by_merchant" in see(f"metric=by_merchant&{RANGE}", status=400)
    assert client.get(f"/explore/csv/?metric=by_merchant&{RANGE}").status_code == 400


def test_a_query_that_takes_too_long_is_given_up(see, monkeypatch):
    """The page says so instead of holding a connection."""
    monkeypatch.setattr(series_request.Request, "cells", _sleep)

    monkeypatch.setattr(series, "PATIENCE_MS", 50)

    assert "took too long" in see(f"metric=by_merchant&{RANGE}", status=400)


def _sleep(_request, cursor):
    cursor.execute("SELECT pg_sleep(5)")
    yield from cursor


def test_the_shared_link_is_absolute(see):
    """Whoever opens it later sees the same hours."""
    html = see("metric=transactions&range=1h&by=channel&compare=week&in.currency=EUR", html=True)

    link = html.partition('data-copy="')[2].partition('"')[0].replace("&amp;", "&")
    asked = parse_qs(urlsplit(link).query)
    assert asked["range"] == ["custom"]
    assert asked["from"][0].endswith("Z")
    assert (asked["by"], asked["compare"], asked["in.currency"]) == (["channel"], ["week"], ["EUR"])
    again = see(urlsplit(link).query, html=True)
    assert f'data-copy="{link.replace("&", "&amp;")}"' in again


def test_compared_ranges_end_with_a_finished_step(version):
    """Half of a step is not compared with a whole one."""
    now = datetime(2026, 3, 2, 12, 7, 30, tzinfo=UTC)

    plain, _ = read_state(QueryDict("range=1h"), known_metrics(), now=now)
    compared, _ = read_state(QueryDict("range=1h&compare=week"), known_metrics(), now=now)

    assert plain.until == now
    assert (compared.since, compared.until) == (minutes(-55), minutes(5))


@pytest.mark.parametrize(
    ("hours", "window_s", "step_s"),
    [
        (1, 60, 60),
        (1, 300, 300),
        (6, 300, 300),
        (24, 300, 900),
        (168, 300, 3600),
        (1, 86_400, 86_400),
    ],
)
def test_the_step_follows_the_range_and_the_window(hours, window_s, step_s):
    """A chart has at most 200 steps, and no step is shorter than the rule's window."""
    assert step_for(timedelta(hours=hours), window_s) == max(step_s, window_s)


def test_csv_has_exact_decimals_utc_and_the_version(client):
    """Every digit of a sum, no exponent, and which definition gave it."""
    add_window(
        "volume",
        minutes(5),
        group={"merchant_id": "M-1", "currency": "EUR"},
        value_sum=Decimal("12345678901234567890.120000"),
    )

    [row] = _rows(client, f"metric=volume&{RANGE}&by=merchant_id")

    assert row["value"] == "12345678901234567890.12"
    assert (row["merchant_id"], row["currency"]) == ("M-1", "EUR")
    assert row["step_start_utc"] == "2026-03-02T12:05:00Z"
    assert row["rule_version"] == "v:0000000000000001"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_csv_is_safe_to_open_in_a_spreadsheet(client, text):
    """A merchant that calls itself a formula stays a name."""
    add_window("by_merchant", minutes(5), group={"merchant_id": text})

    [row] = _rows(client, f"metric=by_merchant&{RANGE}&by=merchant_id")

    assert row["merchant_id"] == f"'{text}"


def test_csv_tells_a_thousand_groups_apart_and_adds_up_the_rest(client, monkeypatch):
    """The others have a line of their own, so that the file adds up to the whole."""
    monkeypatch.setattr("metrics.explore_page.TOP_GROUPS", 2)
    for number in range(5):
        group = {"merchant_id": f"M-{number}"}
        add_window("by_merchant", minutes(5), group=group, value_sum=10 - number)

    rows = _rows(client, f"metric=by_merchant&{RANGE}&by=merchant_id")

    assert [(row["group"], row["merchant_id"], row["value"]) for row in rows] == [
        ("", "M-0", "10"),
        ("", "M-1", "9"),
        ("other (3)", "", "21"),
    ]


def test_windows_are_read_and_no_transactions(see, django_assert_max_num_queries):
    """However many payments there are: the page asks the roll-ups, some twenty times at most."""
    add_window("by_merchant", minutes(5), group={"merchant_id": "M-1"})

    with django_assert_max_num_queries(30) as asked:
        see(f"metric=by_merchant&{RANGE}&by=merchant_id&compare=week")

    read = " ".join(query["sql"] for query in asked.captured_queries)
    assert "metric_windows" in read
    assert "normalized_transactions" not in read
    assert "dynamic_metrics" not in read


def test_a_relative_range_ends_now(see):
    """What was just written is on the page."""
    now = timezone.now()
    start = datetime.fromtimestamp(now.timestamp() // 300 * 300, UTC)
    add_payments(start, transaction_count=41)

    assert "all 41" in see("metric=transactions&range=1h")
