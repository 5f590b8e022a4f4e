"""Windows for tests, written by SQL as the path writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from metrics.buckets import bucket_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def minutes(number: int) -> datetime:
    """So many minutes after NOON."""
    return NOON + timedelta(minutes=number)


def add_window(rule: str, start: datetime, **values: Any) -> None:
    """One cell of metric_windows; 3 transactions that sum up to 3, unless told otherwise."""
    row = {
        "rule": rule,
        "window_start": start,
        "rule_version": 1,
        "window_s": 300,
        "group": {},
        "transactions": 3,
        "value_sum": Decimal(3),
        "denominator": Decimal(0),
        **values,
    }
    row["group_key"] = json.dumps(row.pop("group"), separators=(",", ":"))
    _insert("metric_windows", row)


def add_histogram(
    rule: str,
    start: datetime,
    values: Mapping[str, int],
    *,
    group: Mapping[str, Any] = {},
    window_s: int = 3600,
) -> None:
    """A histogram's window: each value with its number of events."""
    buckets: dict[int, int] = {}
    for value, events in values.items():
        bucket = bucket_of(Decimal(value))
        buckets[bucket] = buckets.get(bucket, 0) + events
    for bucket, events in buckets.items():
        _insert(
            "aggregate_histograms",
            {
                "rule": rule,
                "window_start": start,
                "rule_version": 1,
                "window_s": window_s,
                "group_key": json.dumps(group, separators=(",", ":")),
                "bucket": bucket,
                "events": events,
            },
        )


def add_payments(start: datetime, **values: Any) -> None:
    """One cell of payment_metrics_5m and _1h; 2 completed payments of 10 EUR by default."""
    row = {
        "window_start": start,
        "payment_method": "credit_card",
        "currency": "EUR",
        "payment_status": "completed",
        "channel": "web",
        "transaction_count": 2,
        "amount_sum": Decimal(20),
        "amount_min": Decimal(10),
        "amount_max": Decimal(10),
        "latency_count": 0,
        "latency_sum_us": 0,
        "latency_max_us": None,
        **values,
    }
    _insert("payment_metrics_5m", row)
    hour = row | {"window_start": row["window_start"].replace(minute=0)}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM payment_metrics_1h WHERE (window_start, payment_method, "
            "currency, payment_status, channel) = (%(window_start)s, %(payment_method)s, "
            "%(currency)s, %(payment_status)s, %(channel)s)",
            hour,
        )
        known = cursor.fetchone()[0]
        if known:
            cursor.execute(
                "UPDATE payment_metrics_1h SET transaction_count = transaction_count + "
                "%(transaction_count)s, amount_sum = amount_sum + %(amount_sum)s "
                "WHERE window_start = %(window_start)s AND currency = %(currency)s "
                "AND payment_status = %(payment_status)s AND channel = %(channel)s",
                hour,
            )
    if not known:
        _insert("payment_metrics_1h", hour)


def _insert(table: str, row: Mapping[str, Any]) -> None:
    names = ", ".join(row)
    values = ", ".join(f"%({name})s" for name in row)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({values})", row)
