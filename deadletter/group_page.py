"""What the page of a failure group shows."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db.models import Sum
from django.utils import timezone

from deadletter.models import FailedItem, FailureCount, FailureGroup
from payflow.lib.pages.charts import Bar, bar_chart
from payflow.lib.pages.detail import Card, Head
from payflow.lib.pages.display import UNKNOWN, moment, mono, row_link

_NEWEST: Final = 10


def per_hour_card(row: FailureGroup) -> Card:
    """The last 48 hours; the counts are per 5 minutes of arrival."""
    now = timezone.localtime().replace(minute=0, second=0, microsecond=0)
    starts = [now - timedelta(hours=hours) for hours in range(47, -1, -1)]
    windows = (
        FailureCount.objects.filter(group=row, window_start__gte=starts[0])
        .values("window_start__date", "window_start__hour")
        .annotate(total=Sum("count"))
    )
    by_hour = {
        (window["window_start__date"], window["window_start__hour"]): window["total"]
        for window in windows
    }
    bars = [
        Bar(
            label=f"{start.day} {start:%b %H:%M}",
            value=by_hour.get((start.date(), start.hour), 0),
            tick=f"{start:%H:%M}" if start.hour % 6 == 0 else "",
        )
        for start in starts
    ]
    return Card(
        title="Items per hour",
        sub="last 48 hours, by arrival",
        html=bar_chart(bars, label="Items per hour", unit="items", height=120),
    )


def newest_card(row: FailureGroup) -> Card:
    items = FailedItem.objects.filter(group=row).order_by("-id")[:_NEWEST]
    return Card(
        title="Newest items",
        heads=[
            Head(label="Item"),
            Head(label="Failed"),
            Head(label="Found"),
            Head(label="Transaction"),
        ],
        rows=[
            (
                row_link("deadletter.faileditem", item.pk),
                moment(item.failed_at),
                item.errors[0]["actual"] if item.errors else UNKNOWN,
                mono(item.transaction_id, shorten=22),
            )
            for item in items
        ],
        empty="Its items are gone: retention dropped them.",
    )
