"""Fill the roll-ups of 17 days as busy traffic leaves them: what the overview reads.

Random, but shaped like payments: a daily wave, weights per value, a success rate of about 94 %.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg

#: windows of five minutes that end now: a week, the week before it, and room for earlier ranges
_WINDOWS: Final = """
WITH windows AS (
    SELECT w, 1 + 0.5 * sin(extract(epoch FROM w) / 86400 * 2 * pi()) AS wave
    FROM generate_series(
        date_bin('5 minutes', now(), 'epoch') - interval '17 days', now(), interval '5 minutes'
    ) AS w
)
"""
_PAYMENTS: Final = (
    _WINDOWS
    + """
INSERT INTO payment_metrics_5m (window_start, payment_method, currency, payment_status, channel,
    transaction_count, amount_sum, amount_min, amount_max, latency_count, latency_sum_us,
    latency_max_us)
SELECT w, method, currency, status, channel, n, n * (40 + 20 * random())::numeric(8, 2), 1.5, 900,
    n, n * 180000, 900000
FROM windows,
    (VALUES ('credit_card', 40), ('debit_card', 25), ('digital_wallet', 20),
        ('bank_transfer', 10), ('cash', 5)) AS m (method, mw),
    (VALUES ('USD', 60), ('EUR', 20), ('GBP', 10), ('JPY', 5), ('CAD', 3), ('AUD', 2))
        AS c (currency, cw),
    (VALUES ('completed', 88), ('failed', 5), ('pending', 4), ('cancelled', 2), ('refunded', 1))
        AS s (status, sw),
    (VALUES ('web', 50), ('mobile', 25), ('api', 15), ('pos', 10)) AS ch (channel, chw),
    LATERAL (SELECT floor(%(per_window)s * wave * mw * cw * sw * chw / 1e8
        + random())::bigint AS n) AS counted
WHERE n > 0 ORDER BY w
ON CONFLICT DO NOTHING
"""
)
_HOURS: Final = """
INSERT INTO payment_metrics_1h SELECT date_bin('1 hour', window_start, 'epoch'), payment_method,
    currency, payment_status, channel, sum(transaction_count), sum(amount_sum), min(amount_min),
    max(amount_max), sum(latency_count), sum(latency_sum_us), max(latency_max_us)
FROM payment_metrics_5m GROUP BY 1, 2, 3, 4, 5 ORDER BY 1 ON CONFLICT DO NOTHING
"""
_CELLS: Final = (
    _WINDOWS
    + """
INSERT INTO metric_windows (rule, window_start, rule_version, window_s, group_key, transactions,
    value_sum, denominator)
SELECT rule, w, 1, 300, key, n, round(n * share), CASE WHEN share < 1 THEN n ELSE 0 END
FROM windows, (
    SELECT 'processor_success' AS rule, format('{"processor":"%%s"}', name) AS key, pw AS weight,
        0.94 AS share
    FROM (VALUES ('adyen', 40), ('stripe', 30), ('worldpay', 15), ('checkout', 10), ('fiserv', 5))
        AS p (name, pw)
    UNION ALL
    SELECT 'payment_failures', format('{"error_code":"%%s"}', code), fw * 0.05, 1
    FROM (VALUES ('insufficient_funds', 36), ('do_not_honor', 20), ('issuer_timeout', 14),
        ('card_expired', 12), ('3ds_failed', 9), ('invalid_cvv', 3), ('fraud_suspected', 3),
        ('limit_exceeded', 2), ('network_error', 1)) AS f (code, fw)
    UNION ALL
    SELECT 'violations', format('{"rule":"%%s","severity":"%%s"}', name, severity), vw * 0.02, 1
    FROM (VALUES ('aml_large_amount', 'critical', 4), ('kyc_missing_customer_id', 'high', 10),
        ('kyc_missing_country', 'low', 30), ('pci_invalid_card_brand', 'medium', 12),
        ('data_quality_zero_amount', 'medium', 8), ('business_rule_status_mismatch', 'low', 20))
        AS v (name, severity, vw)
) AS groups, LATERAL (SELECT greatest(1, round(%(per_window)s * wave * weight / 100
    * (0.9 + 0.2 * random())))::bigint AS n) AS counted
ORDER BY 1, 2 ON CONFLICT DO NOTHING
"""
)
_INTAKE: Final = (
    _WINDOWS
    + """
INSERT INTO ingestion_5m (window_start, source_id, batches, messages, parts, accepted, failed,
    ignored, duplicates, late)
SELECT w, sources.id, 300, n, n, n - n / 200, n / 400, 0, n / 400, n / 300
FROM windows, sources, LATERAL (SELECT round(%(per_window)s * wave)::bigint AS n) AS counted
ORDER BY w ON CONFLICT DO NOTHING
"""
)
_LATENCY: Final = (
    _WINDOWS
    + """
INSERT INTO arrival_latency (window_start, source_id, bucket, parts)
SELECT w, sources.id, 860 + place, ceil(n * exp(-abs(place - 12) / 6.0) / 12)
FROM windows, sources, generate_series(0, 50) AS place,
    LATERAL (SELECT %(per_window)s * wave * (0.9 + 0.2 * random()) AS n) AS counted
ORDER BY w ON CONFLICT DO NOTHING
"""
)
_FAILED: Final = (
    _WINDOWS
    + """
INSERT INTO failure_counts (group_id, window_start, count)
SELECT failure_groups.id, w, ceil(6 * wave * random())::bigint FROM windows, failure_groups
ORDER BY w ON CONFLICT DO NOTHING
"""
)
_TABLES: Final = (
    "payment_metrics_5m",
    "payment_metrics_1h",
    "metric_windows",
    "ingestion_5m",
    "arrival_latency",
    "failure_counts",
)


def fill_roll_ups(world: Any, *, rows: int) -> dict[str, int]:
    """Cells of 17 days for `rows` transactions a week; gives the number of cells by table.

    Kept for the next run; only what time has added since is filled.
    """
    per_window = max(1, rows // (7 * 288))
    with psycopg.connect(world.urls.database_url, autocommit=True) as connection:
        for statement in (_PAYMENTS, _HOURS, _CELLS, _INTAKE, _LATENCY, _FAILED):
            connection.execute(statement, {"per_window": per_window})
    for table in _TABLES:
        world.sql(f"VACUUM (ANALYZE) {table}")
    return {table: world.sql(f"SELECT count(*) FROM {table}")[0][0] for table in _TABLES}
