"""Values that filters offer: those of the latest roll-ups, not those that may exist."""

from __future__ import annotations

from typing import Final

from django.core.cache import cache
from django.db import connection

DIMENSIONS: Final = ("payment_method", "currency", "payment_status", "channel")
_KEEP_S: Final = 60
_LATEST = """
SELECT DISTINCT payment_method, currency, payment_status, channel FROM payment_metrics_1h
WHERE window_start > (SELECT max(window_start) FROM payment_metrics_1h) - interval '3 days'
"""


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
