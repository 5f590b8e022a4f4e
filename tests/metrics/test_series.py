"""Claims about series: they add windows up exactly, and never across currencies."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from psycopg import sql

from configuration.models import ConfigurationVersion
from metrics import series, series_request
from metrics.buckets import RELATIVE_ERROR, bucket_of, quantile
from metrics.explore_metrics import Kind, UnknownMetric, find_metric, known_metrics
from metrics.series import SeriesTooLong, read_series, value_of
from tests.metrics.windows import NOON, add_histogram, add_payments, add_window, minutes

pytestmark = pytest.mark.django_db

HOUR: dict[str, Any] = {"since": NOON, "until": minutes(60), "step_s": 300}


@pytest.fixture(autouse=True)
def rules() -> None:
    """Rules of each kind, active; their windows are written by the tests."""
    ConfigurationVersion.objects.create(
        kind="metrics",
        name="default",
        number=7,
        status="active",
        checksum="0" * 64,
        document={
            "name": "default",
            "metrics": [
                _rule("refunds", "COUNTER"),
                _rule("amount", "COUNTER"),
                _rule("by_merchant", "COUNTER", group_by=["merchant_id"]),
                _rule("volume", "COUNTER", value="amount", group_by=["merchant_id"]),
                _rule("approval", "RATE", numerator="1", denominator=1, group_by=["country"]),
                _rule("largest", "GAUGE", value="latency_us", group_by=["channel"]),
                _rule("slow_ms", "HISTOGRAM", value="latency_us", group_by=["channel"]),
                _rule("daily", "COUNTER", window="1d"),
            ],
        },
    )


def _rule(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "description": f"Watches {name}.", "type": kind, **fields}


def test_every_active_rule_can_be_explored():
    """Rules, built-in metrics and measures are all found by their names."""
    found = known_metrics()

    assert {"refunds", "payment_failures", "violations", "transactions"} <= found.keys()
    assert found["refunds"].origin == "Rule set default v7"
    assert found["volume"].dimensions == ("merchant_id", "currency")
    assert found["slow_ms"].window_s == 3600
    assert found["daily"].window_s == 86_400


def test_a_rule_with_the_name_of_a_measure_is_still_found():
    """No rule hides what the overview reads, and none is hidden by it."""
    found = known_metrics()

    assert found["amount"].rule == ""
    assert found["rule.amount"].rule == "amount"


def test_windows_add_up_to_steps():
    """Three windows of 5 minutes are one step of 15."""
    for number, value in enumerate(["1.5", "2", "0.25", "8"]):
        add_window("refunds", minutes(5 * number), value_sum=Decimal(value))

    found = read_series("refunds", since=NOON, until=minutes(30), step_s=900)

    [group] = found.groups
    assert [value_of(group.cells[start], Kind.COUNTER) for start in found.starts] == [
        Decimal("3.75"),
        Decimal(8),
    ]
    assert (group.whole.total, group.whole.transactions) == (Decimal("11.75"), 12)


def test_only_the_range_is_read():
    """The windows before and after it do not count; the end is excluded."""
    for at in (-5, 0, 55, 60):
        add_window("refunds", minutes(at))

    found = read_series("refunds", **HOUR)

    assert sorted(found.groups[0].cells) == [minutes(0), minutes(55)]
    assert len(found.starts) == 12


def test_a_step_without_windows_is_nothing_for_a_rate_and_zero_for_a_counter():
    """Nothing counted is zero; a share of nothing is unknown."""
    assert value_of(None, Kind.COUNTER) == 0
    assert value_of(None, Kind.RATE) is None


def test_the_step_is_at_least_the_window_of_the_rule():
    """A rule per day has no values per 5 minutes."""
    add_window("daily", NOON.replace(hour=0), window_s=86_400)

    found = read_series("daily", **HOUR)

    assert found.step_s == 86_400
    assert found.groups[0].whole.transactions == 3


def test_rates_keep_both_counts():
    """A share over hours is of the sums, not the average of shares."""
    add_window("approval", minutes(0), group={"country": "DE"}, value_sum=1, denominator=2)
    add_window("approval", minutes(5), group={"country": "DE"}, value_sum=97, denominator=98)
    add_window("approval", minutes(5), group={"country": "FR"}, value_sum=0, denominator=100)

    found = read_series("approval", **HOUR)

    whole = found.groups[0].whole
    assert (whole.total, whole.denominator) == (98, 200)
    assert value_of(whole, Kind.RATE) == Decimal("0.49")


def test_gauges_have_the_last_value_by_event_time():
    """Of two values at one time the larger event key decides, as when cells are merged."""
    low, high = UUID(int=1), UUID(int=2)
    for at, last, key in ((0, 5, high), (5, 7, low)):
        add_window(
            "largest",
            minutes(at),
            group={"channel": "web"},
            value_min=last - 1,
            value_max=last + 1,
            value_last=last,
            last_at=minutes(6),
            last_key=key,
        )

    whole = read_series("largest", **HOUR).groups[0].whole

    assert (whole.low, whole.high, whole.last) == (4, 8, 5)


def test_quantiles_are_those_of_the_buckets():
    """Quantiles of a range come from its merged buckets, as metrics.buckets computes them."""
    first = {str(n): n for n in range(1, 40)}
    second = {str(n * 10): 3 for n in range(1, 40)}
    add_histogram("slow_ms", NOON, first, group={"channel": "web"})
    add_histogram("slow_ms", minutes(60), second, group={"channel": "web"})
    merged: dict[int, int] = {}
    for value, events in (*first.items(), *second.items()):
        bucket = bucket_of(Decimal(value))
        merged[bucket] = merged.get(bucket, 0) + events

    found = read_series("slow_ms", since=NOON, until=minutes(120), step_s=3600)

    whole = found.groups[0].whole
    assert (whole.p50, whole.p95, whole.p99) == tuple(
        quantile(merged, q) for q in (0.5, 0.95, 0.99)
    )
    assert whole.transactions == sum(merged.values())
    assert found.groups[0].cells[NOON].p99 == pytest.approx(Decimal(39), rel=RELATIVE_ERROR)


def test_amounts_never_meet_across_currencies():
    """Nobody asked for currencies, and still each has its own sum."""
    for currency, amount in (("USD", 10), ("JPY", 5000)):
        group = {"merchant_id": "M-1", "currency": currency}
        add_window("volume", NOON, group=group, value_sum=amount)

    found = read_series("volume", **HOUR, group_by=["merchant_id"])

    assert found.group_by == ("merchant_id", "currency")
    assert {g.key["currency"]: g.whole.total for g in found.groups} == {"USD": 10, "JPY": 5000}


def test_the_others_keep_their_currencies():
    """What is beyond the largest groups is added up per currency."""
    for number in range(6):
        group = {"merchant_id": f"M-{number}", "currency": "USD" if number % 2 else "JPY"}
        add_window("volume", NOON, group=group, value_sum=100, transactions=10 - number)

    found = read_series("volume", **HOUR, group_by=["merchant_id"], keep=2)

    assert [g.key["merchant_id"] for g in found.groups] == ["M-0", "M-1"]
    assert {g.key["currency"]: (g.whole.total, g.members) for g in found.others} == {
        "JPY": (200, 2),
        "USD": (200, 2),
    }


def test_a_thousand_groups_are_told_apart_and_the_rest_is_other():
    """1,200 merchants: the 1,000 largest by name, 200 as one, and nothing lost."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO metric_windows (rule, window_start, rule_version, window_s, group_key, "
            "transactions, value_sum, denominator) SELECT 'by_merchant', %s, 1, 300, "
            "'{\"merchant_id\":\"M-' || n || '\"}', n, n, 0 FROM generate_series(1, 1200) AS n",
            [NOON],
        )

    found = read_series("by_merchant", **HOUR, group_by=["merchant_id"])

    [other] = found.others
    assert len(found.groups) == series.TOP_GROUPS
    assert found.groups[0].key == {"merchant_id": "M-1200"}
    assert (other.members, other.whole.total) == (200, sum(range(1, 201)))
    assert sum(g.whole.total or 0 for g in found.groups) + 20_100 == sum(range(1, 1201))


def test_groups_of_histograms_beyond_the_kept_are_merged():
    """The others of a histogram are one histogram."""
    for number, channel in enumerate(["web", "pos", "app"]):
        add_histogram("slow_ms", NOON, {"10": 9 - number}, group={"channel": channel})

    found = read_series("slow_ms", **HOUR, group_by=["channel"], keep=1)

    [other] = found.others
    assert found.groups[0].key == {"channel": "web"}
    assert (other.members, other.whole.transactions) == (2, 15)


def test_filters_and_odd_values():
    """Values are compared as text: a quote is a quote, a boolean its word, absent is ''."""
    odd = 'O\'Hara "%s" {x}'
    add_window("by_merchant", NOON, group={"merchant_id": odd})
    add_window("by_merchant", NOON, group={"merchant_id": True})
    add_window("by_merchant", NOON, group={"merchant_id": None})

    keys = {
        group.key["merchant_id"]
        for group in read_series("by_merchant", **HOUR, group_by=["merchant_id"]).groups
    }
    filtered = read_series("by_merchant", **HOUR, filters={"merchant_id": odd})

    assert keys == {odd, "true", ""}
    assert filtered.groups[0].whole.transactions == 3


def test_versions_of_a_rule_are_named_in_order():
    """A rule that changed in the range has both versions, and both count."""
    add_window("refunds", minutes(0), rule_version=9)
    add_window("refunds", minutes(20), rule_version=9)
    add_window("refunds", minutes(20), rule_version=-4)

    found = read_series("refunds", **HOUR)

    assert [(v.version, v.first) for v in found.versions] == [(9, minutes(0)), (-4, minutes(20))]
    assert found.groups[0].whole.transactions == 9


@pytest.mark.parametrize("step_s", [300, 3600])
def test_measures_are_the_same_from_both_roll_ups(step_s):
    """Steps of whole hours are read from the hours, and give the same sums."""
    for at in (0, 5, 65):
        add_payments(minutes(at))
        add_payments(minutes(at), payment_status="failed", transaction_count=1)
        add_payments(minutes(at), payment_status="pending", transaction_count=9)
    ends = {"since": NOON, "until": minutes(120), "step_s": step_s}

    rate = read_series("success_rate", **ends).groups[0].whole
    amount = read_series("amount", **ends).groups[0]

    assert (rate.total, rate.denominator) == (6, 9)
    assert (amount.key, amount.whole.total) == ({"currency": "EUR"}, 180)


def test_an_unknown_metric_or_dimension_is_refused():
    """No name reaches the database unchecked."""
    with pytest.raises(UnknownMetric, match="no metric 'nothing'"):
        read_series("nothing", **HOUR)
    with pytest.raises(ValueError, match="cannot be split by merchant_id"):
        read_series("transactions", **HOUR, group_by=["merchant_id"])


def test_too_long_a_range_is_refused(monkeypatch):
    """Too many steps, or too many windows: an error that says which, not a page that hangs."""
    monkeypatch.setattr(series_request, "MAX_ROWS", 2)
    monkeypatch.setattr(series, "MAX_ROWS", 2)
    for at in (0, 5, 10):
        add_window("refunds", minutes(at))

    with pytest.raises(SeriesTooLong, match="more than 2 windows"):
        read_series("refunds", **HOUR)
    with pytest.raises(SeriesTooLong, match="at most 1,000"):
        read_series("refunds", since=NOON, until=NOON + timedelta(days=30), step_s=300)


def _explained(name: str, **asked: Any) -> tuple[int, set[str]]:
    """Rows that PostgreSQL took from tables for a series' cells, and the tables it scanned."""
    request = series_request.Request(
        metric=find_metric(name), step_s=300, filters={}, keep=5, **asked
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE metric_windows")
        plan_of = sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) ") + request.query()
        cursor.execute(plan_of, request._values())
        nodes, scans = [cursor.fetchone()[0][0]["Plan"]], []
        while nodes:
            node = nodes.pop()
            nodes += node.get("Plans", [])
            if "Relation Name" in node:
                scans.append(node)
    rows = sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in scans
    )
    return rows, {node["Relation Name"] for node in scans}


def test_no_more_rows_are_read_than_the_range_holds():
    """Of 60,000 windows of three rules over weeks, a series of an hour reads its own 60."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO metric_windows (rule, window_start, rule_version, window_s, group_key, "
            "transactions, value_sum, denominator) SELECT rule, %s + n * interval '5 minutes', 1, "
            "300, '{\"merchant_id\":\"M-' || m || '\"}', 1, 1, 0 "
            "FROM unnest(ARRAY['by_merchant', 'volume', 'refunds']) AS rule, "
            "generate_series(-2000, 1999) AS n, generate_series(1, 5) AS m",
            [NOON],
        )

    rows, tables = _explained(
        "by_merchant", since=NOON, until=minutes(60), group_by=("merchant_id",)
    )

    assert tables == {"metric_windows"}
    assert rows == 60
