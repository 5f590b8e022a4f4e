"""The queries behind a series. Each reads one range of a roll-up's key, and no transactions.

All give the same columns: step (null: the whole range), key (values of the dimensions), is_rest
(beyond the groups told apart), members (how many groups), transactions, and the kind's numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: what wrote the range, by the key's index alone; one row more than the limit shows it is passed
VERSIONS: Final = """
SELECT rule_version, max(window_s), min(window_start), max(window_start), count(*)
FROM (SELECT rule_version, window_s, window_start FROM {table}
    WHERE rule = %(rule)s AND window_start >= %(since)s AND window_start < %(until)s
    LIMIT %(limit)s) AS windows
GROUP BY rule_version ORDER BY min(window_start), rule_version
"""

#: cells of payment_metrics in the range, counted up to one beyond the limit
ROWS: Final = """
SELECT count(*) FROM (SELECT 1 FROM {table}
    WHERE window_start >= %(since)s AND window_start < %(until)s LIMIT %(limit)s) AS cells
"""

#: measure -> transactions, total, denominator, low, high of a cell of payment_metrics
MEASURE_COLUMNS: Final[Mapping[str, tuple[str, str, str, str, str]]] = {
    "transactions": ("transaction_count", "transaction_count", "0", "NULL", "NULL"),
    "success_rate": (
        "CASE WHEN payment_status IN ('completed', 'failed') THEN transaction_count ELSE 0 END",
        "CASE WHEN payment_status = 'completed' THEN transaction_count ELSE 0 END",
        "CASE WHEN payment_status IN ('completed', 'failed') THEN transaction_count ELSE 0 END",
        "NULL",
        "NULL",
    ),
    "amount": ("transaction_count", "amount_sum", "0", "NULL", "NULL"),
    "average_amount": ("transaction_count", "amount_sum", "transaction_count", "NULL", "NULL"),
    "amount_range": ("transaction_count", "0", "0", "amount_min", "amount_max"),
    "latency_average_ms": (
        "latency_count",
        "latency_sum_us / 1000.0",
        "latency_count",
        "NULL",
        "NULL",
    ),
    "latency_max_ms": ("latency_count", "0", "0", "NULL", "latency_max_us / 1000.0"),
}

#: a measure over payment_metrics_5m or _1h
PAYMENTS: Final = """
WITH stepped AS (
    SELECT date_bin(%(step)s, window_start, '1970-01-01 00:00:00+00') AS step, {key} AS key,
        {rest} AS rest, sum({transactions})::numeric AS transactions,
        sum({total})::numeric AS total, sum({denominator})::numeric AS denominator,
        min({low})::numeric AS low, max({high})::numeric AS high,
        NULL::numeric AS last, NULL::timestamptz AS last_at, NULL::uuid AS last_key
    FROM {table}
    WHERE window_start >= %(since)s AND window_start < %(until)s AND {filters}
    GROUP BY 1, 2, 3 HAVING sum({transactions}) > 0
)"""

#: a rule over metric_windows: added up by the text of its group first, taken apart after that
WINDOWS: Final = """
WITH packed AS MATERIALIZED (
    SELECT date_bin(%(step)s, window_start, '1970-01-01 00:00:00+00') AS step,
        group_key, sum(transactions) AS transactions, sum(value_sum) AS total,
        sum(denominator) AS denominator, min(value_min) AS low, max(value_max) AS high,
        {newest}
    FROM metric_windows
    WHERE rule = %(rule)s AND window_start >= %(since)s AND window_start < %(until)s
    GROUP BY 1, 2
), stepped AS (
    SELECT step, {key} AS key, {rest} AS rest, transactions, total, denominator, low, high,
        last, last_at, last_key
    FROM (SELECT *, group_key::jsonb AS g FROM packed) AS groups
    WHERE {filters}
)"""

#: the last value of a GAUGE; all other kinds are spared the sort
NEWEST: Final = """
        (array_agg(value_last ORDER BY last_at DESC NULLS LAST, last_key DESC))[1] AS last,
        max(last_at) AS last_at,
        (array_agg(last_key ORDER BY last_at DESC NULLS LAST, last_key DESC))[1] AS last_key"""
NO_NEWEST: Final = "NULL::numeric AS last, NULL::timestamptz AS last_at, NULL::uuid AS last_key"
LAST: Final = "(array_agg(last ORDER BY last_at DESC NULLS LAST, last_key DESC))[1]"
NO_LAST: Final = "NULL::numeric"

#: groups by their size, the largest told apart, the others added up by `rest` (the currency)
CELLS: Final = """, ranked AS (
    SELECT key, rest, row_number() OVER (ORDER BY sum({weight}) DESC, key) AS rank
    FROM stepped GROUP BY key, rest
), members AS (
    SELECT rest, count(*) AS members FROM ranked WHERE rank > %(keep)s GROUP BY rest
), chosen AS (
    SELECT stepped.*, rank > %(keep)s AS is_rest,
        CASE WHEN rank > %(keep)s THEN stepped.rest ELSE key END AS shown
    FROM stepped JOIN ranked USING (key)
)
SELECT step, shown, is_rest,
    CASE WHEN is_rest THEN (SELECT members FROM members WHERE rest = shown) ELSE 1 END,
    sum(transactions)::bigint,
    sum(total), sum(denominator), min(low), max(high), {last}
FROM chosen GROUP BY GROUPING SETS ((step, shown, is_rest), (shown, is_rest))
ORDER BY is_rest, sum({weight}) DESC, shown, step
"""

#: a HISTOGRAM rule: the bucket at rank ceil(q * n), as buckets.quantile() counts it
HISTOGRAMS: Final = """
WITH packed AS MATERIALIZED (
    SELECT date_bin(%(step)s, window_start, '1970-01-01 00:00:00+00') AS step,
        group_key, bucket, sum(events) AS events
    FROM aggregate_histograms
    WHERE rule = %(rule)s AND window_start >= %(since)s AND window_start < %(until)s
    GROUP BY 1, 2, 3
), stepped AS (
    SELECT step, {key} AS key, {rest} AS rest, bucket, events
    FROM (SELECT *, group_key::jsonb AS g FROM packed) AS groups
    WHERE {filters}
), ranked AS (
    SELECT key, rest, row_number() OVER (ORDER BY sum(events) DESC, key) AS rank
    FROM stepped GROUP BY key, rest
), members AS (
    SELECT rest, count(*) AS members FROM ranked WHERE rank > %(keep)s GROUP BY rest
), merged AS (
    SELECT step, shown, is_rest, bucket, sum(events) AS events FROM (
        SELECT step, bucket, events, rank > %(keep)s AS is_rest,
            CASE WHEN rank > %(keep)s THEN stepped.rest ELSE key END AS shown
        FROM stepped JOIN ranked USING (key)
    ) AS chosen
    GROUP BY GROUPING SETS ((step, shown, is_rest, bucket), (shown, is_rest, bucket))
), running AS (
    SELECT *, sum(events) OVER (PARTITION BY step, shown, is_rest ORDER BY bucket) AS upto,
        sum(events) OVER (PARTITION BY step, shown, is_rest) AS n
    FROM merged
)
SELECT step, shown, is_rest,
    CASE WHEN is_rest THEN (SELECT members FROM members WHERE rest = shown) ELSE 1 END,
    n::bigint,
    min(bucket) FILTER (WHERE upto >= ceil(n * 0.5)),
    min(bucket) FILTER (WHERE upto >= ceil(n * 0.95)),
    min(bucket) FILTER (WHERE upto >= ceil(n * 0.99))
FROM running GROUP BY step, shown, is_rest, n
ORDER BY is_rest, n DESC, shown, step
"""
