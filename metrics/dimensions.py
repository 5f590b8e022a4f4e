"""Values that filters offer: those of the latest roll-ups, not those that may exist."""

from __future__ import annotations

import json
from typing import Final

from django.core.cache import cache
from django.db import connection

DIMENSIONS: Final = ("payment_method", "currency", "payment_status", "channel")
_KEEP_S: Final = 60
_LATEST = """
SELECT DISTINCT payment_method, currency, payment_status, channel FROM payment_metrics_1h
WHERE window_start > (SELECT max(window_start) FROM payment_metrics_1h) - interval '3 days'
"""
_GROUPS: Final = """
SELECT DISTINCT group_key FROM metric_windows
WHERE rule = %(rule)s AND window_start > now() - interval '1 day' LIMIT 200
"""


def known_groups(rule: str, column: str) -> list[str]:
    """Values that a windowed metric, grouped by `column`, has seen in the last day, sorted."""
    key = f"metrics.groups.{rule}"
    known: list[str] | None = cache.get(key)
    if known is None:
        with connection.cursor() as cursor:
            cursor.execute(_GROUPS, {"rule": rule})
            known = sorted({json.loads(group)[column] or "" for (group,) in cursor.fetchall()})
        cache.set(key, known, _KEEP_S)
    return known


def known_values(dimension: str) -> list[str]:
    """Values of one of DIMENSIONS in the three days of events that were last written, sorted."""
    known: dict[str, list[str]] | None = cache.get("metrics.dimensions")
    if known is None:
        with connection.cursor() as cursor:
            cursor.execute(_LATEST)
            columns = list(zip(*cursor.fetchall(), strict=True)) or [()] * len(DIMENSIONS)
        known = {
            name: sorted({value for value in column if value})
            for name, column in zip(DIMENSIONS, columns, strict=True)
        }
        cache.set("metrics.dimensions", known, _KEEP_S)
    return known[dimension]
