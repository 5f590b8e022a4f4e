"""One query over the whole steps of a span."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection

from ingestion.overview.spans import Span


def rows(query: str, span: Span, **further: object) -> Sequence[Any]:
    """The rows of a query that takes `since`, `until` and `step` (seconds) by name.

    Queries number the steps themselves: reading thousands of times would take longer than they do.
    """
    values: dict[str, Any] = {
        "since": span.since,
        "until": span.until,
        "step": span.step_s,
        **further,
    }
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        found: Sequence[Any] = cursor.fetchall()
        return found
