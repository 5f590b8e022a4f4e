"""Find events by transaction or customer through the indexes that there are.

Event keys begin with the transaction's hash (K1) or with the hour of the event and the hash (K2),
ingestion/parsing/columns.py: a transaction is one short range of keys, or one for each hour. The
hours that hold events are those of the roll-up.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from django.db import connection, transaction
from xxhash import xxh3_64_intdigest

from configuration.models import ConfigurationVersion

#: look-ups in a leaf's index that one search may cost: about 100 ms
_MAX_PROBES: Final = 20_000
#: rows that a search finds at most
FOUND: Final = 500

_LEAVES = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'normalized_transactions'::regclass"
# one step back per hour: the roll-up has hundreds of cells an hour
_HOURS = """
WITH RECURSIVE hours (h) AS (
    SELECT max(window_start) FROM payment_metrics_1h WHERE window_start <= %(until)s
    UNION ALL
    SELECT (SELECT max(window_start) FROM payment_metrics_1h WHERE window_start < h)
    FROM hours WHERE h >= %(since)s
)
SELECT extract(epoch FROM h)::bigint / 3600 FROM hours WHERE h >= %(since)s LIMIT %(limit)s
"""
_BY_KEY = """
SELECT t.id FROM unnest(%(low)s::uuid[], %(high)s::uuid[]) AS key (low, high)
JOIN normalized_transactions t ON t.event_key BETWEEN key.low AND key.high
WHERE t.transaction_id = %(transaction)s LIMIT %(found)s
"""
# id + 0: walking the primary key backwards until enough are found would read the whole table
_BY_CUSTOMER = """
SELECT id FROM normalized_transactions WHERE customer_id = %(customer)s
ORDER BY id + 0 DESC LIMIT %(found)s
"""
# the text of the id first: taking every key apart would cost ten times as much
_BY_MERCHANT = """
SELECT max(window_start) FROM metric_windows
WHERE rule = %(rule)s AND window_start >= %(since)s
    AND strpos(group_key, %(text)s) > 0 AND group_key::jsonb ->> 'merchant_id' = %(merchant)s
"""
# the planner cannot know how short the ranges are, nor that the bloom index is selective
_BY_INDEX = "SET LOCAL enable_seqscan = off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Event time to look in, both ends included; the whole of it by default."""

    since: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    until: datetime = datetime(2100, 1, 1, tzinfo=UTC)


def find_transaction(transaction_id: str, *, within: Hours | None = None) -> list[int]:
    """Ids of the events of one transaction, in no order; the newest hours when there are many."""
    within = within or Hours()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_LEAVES)
        limit = _MAX_PROBES // max(1, cursor.fetchone()[0])
        cursor.execute(_HOURS, {"since": within.since, "until": within.until, "limit": limit})
        ranges = key_ranges(transaction_id, hours=[hour for (hour,) in cursor.fetchall()])
        cursor.execute(_BY_INDEX)
        cursor.execute(
            _BY_KEY,
            {
                "low": [low for low, _ in ranges],
                "high": [high for _, high in ranges],
                "transaction": transaction_id,
                "found": FOUND,
            },
        )
        return [identifier for (identifier,) in cursor.fetchall()]


def find_customer(customer_id: str) -> list[int]:
    """Ids of the latest events of one customer."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_BY_INDEX)
        cursor.execute(_BY_CUSTOMER, {"customer": customer_id, "found": FOUND})
        return [identifier for (identifier,) in cursor.fetchall()]


def key_ranges(transaction_id: str, *, hours: list[int]) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """First and last key that an event of this transaction can have: K1, then K2 of each hour."""
    digest = xxh3_64_intdigest(transaction_id.encode())
    k1 = digest << 64
    ranges = [(k1, k1 | 2**64 - 1)]
    for hour in hours:
        k2 = hour << 96 | digest >> 16 << 48
        ranges.append((k2, k2 | 2**48 - 1))
    return [(uuid.UUID(int=low), uuid.UUID(int=high)) for low, high in ranges]


def find_merchant(merchant_id: str, *, since: datetime) -> datetime | None:
    """Start of the latest window of event time, of those since then, that counts this merchant.

    No index of events knows merchants, so the cells of a live rule that groups by them are read.
    Without such a rule, or without a hit, None.
    """
    rule = _merchant_rule()
    if rule is None:
        return None
    text = json.dumps(merchant_id, ensure_ascii=False)
    with connection.cursor() as cursor:
        cursor.execute(
            _BY_MERCHANT, {"rule": rule, "since": since, "text": text, "merchant": merchant_id}
        )
        found: datetime | None = cursor.fetchone()[0]
        return found


def _merchant_rule() -> str | None:
    """A live rule whose cells tell merchants apart, one of hours before one of minutes."""
    live = ConfigurationVersion.objects.filter(kind="metrics", status="active")
    rules = [
        rule
        for document in live.values_list("document", flat=True)
        for rule in document.get("metrics", [])
        if "merchant_id" in rule.get("group_by", []) and rule.get("type") != "HISTOGRAM"
    ]
    hourly = [rule["name"] for rule in rules if str(rule.get("window", "5m")).endswith("h")]
    return next(iter([*hourly, *(rule["name"] for rule in rules)]), None)
