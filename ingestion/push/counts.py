"""Pushes are counted where they are answered, for `/metrics`."""

from __future__ import annotations

import logging
from typing import Final

from django.db import InterfaceError, OperationalError, connection

from ingestion.push.models import PushCount

logger = logging.getLogger(__name__)

Outcome = PushCount.Outcome
#: days that counts are kept: the counters are those of a month
KEPT_DAYS: Final = 40

# requests of one source meet at one row: none waits there for a disk, and what a power cut takes
# away is a count, never an event
_ADD: Final = """
WITH quick AS (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO push_counts AS c (source_id, window_start, outcome, requests, events)
SELECT %(source)s, date_bin('5 minutes', now(), 'epoch'), %(outcome)s, 1, %(events)s FROM quick
ON CONFLICT (window_start, source_id, outcome) DO UPDATE
SET requests = c.requests + 1, events = c.events + excluded.events
"""
_SWEEP: Final = """
DELETE FROM push_counts WHERE window_start < now() - make_interval(days => %(days)s)
"""


def add(source_id: int, outcome: Outcome, events: int) -> None:
    """Count one request and the events that it queued; without the database nothing is counted."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(_ADD, {"source": source_id, "outcome": str(outcome), "events": events})
    except (OperationalError, InterfaceError) as exc:
        logger.warning(
            "a push was not counted",
            extra={"action": "push_not_counted", "error": type(exc).__name__},
        )


def sweep() -> None:
    """Forget what is older than KEPT_DAYS."""
    with connection.cursor() as cursor:
        cursor.execute(_SWEEP, {"days": KEPT_DAYS})
