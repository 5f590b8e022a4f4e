"""What the page of a failure group shows."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db.models import Sum
from django.utils import timezone
from django.utils.html import format_html

from configuration.causes import Cause
from configuration.changes import changes_between, marks_of
from deadletter.models import FailedItem, FailureCount, FailureGroup
from payflow.lib.pages.charts import Bar, bar_chart
from payflow.lib.pages.detail import Card, Head, Notice
from payflow.lib.pages.display import UNKNOWN, link, moment, mono, row_link

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
    until = starts[-1] + timedelta(hours=1)
    marks = marks_of(changes_between(starts[0], until), since=starts[0], until=until)
    return Card(
        title="Items per hour",
        sub="last 48 hours, by arrival",
        html=bar_chart(bars, label="Items per hour", unit="items", height=120, marks=marks),
    )


def cause_notice(cause: Cause) -> Notice:
    """What changed shortly before the very first item of a group: likely its cause."""
    title = f"The first came {cause.after}"
    entry = cause.activation
    if entry is None:
        return Notice(
            kind="bad",
            icon="bolt",
            title=title,
            text=format_html("A worker of this release was first seen at {}.", moment(cause.at)),
        )
    by = f" by {entry.activated_by}" if entry.activated_by else ""
    why = (
        f", \N{LEFT DOUBLE QUOTATION MARK}{entry.reason}\N{RIGHT DOUBLE QUOTATION MARK}"
        if entry.reason
        else ""
    )
    after = f" It replaced {entry.previous}." if entry.previous else ""
    still = "" if cause.can_be_undone else " It is no longer the active one."
    text = format_html(
        "Activated at {}{}{}.{}{} {}",
        moment(cause.at),
        by,
        why,
        after,
        still,
        link(cause.url, f"See {cause.name}"),
    )
    return Notice(kind="bad", icon="bolt", title=title, text=text)


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
