"""Addresses of the lists behind the overview's numbers: range and filters are part of them."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from ingestion.overview.spans import Span
from payflow.lib.pages.display import list_url
from payflow.lib.pages.filters import arrived_between


def transactions(since: datetime, until: datetime, **filters: str) -> str:
    """Accepted events whose event time is in a range; a filter without a value is left out."""
    return _occurred("metrics.normalizedtransaction", since, until, filters)


def violations(since: datetime, until: datetime, **filters: str) -> str:
    """Findings about events of a range."""
    return _occurred("metrics.violation", since, until, filters)


def _occurred(model: str, since: datetime, until: datetime, filters: dict[str, str]) -> str:
    low, high = timezone.localtime(since), timezone.localtime(until)
    return list_url(
        model,
        occurred_at_from_0=f"{low:%Y-%m-%d}",
        occurred_at_from_1=f"{low:%H:%M:%S}",
        occurred_at_to_0=f"{high:%Y-%m-%d}",
        occurred_at_to_1=f"{high:%H:%M:%S}",
        **{name: value for name, value in filters.items() if value},
    )


def arrived(model: str, span: Span, **filters: object) -> str:
    """Rows of a list that arrived in the span."""
    return arrived_steps(model, span.since, span.until, **filters)


def arrived_steps(model: str, since: datetime, until: datetime, **filters: object) -> str:
    """Rows of a list that arrived in a range."""
    return list_url(model, arrived=arrived_between(since, until), **filters)
