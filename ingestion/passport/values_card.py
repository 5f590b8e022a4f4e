"""Values of rules and the cells they are added to, as cards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ingestion.passport.counted import RuleCell
from ingestion.passport.gather import Value
from metrics.buckets import bucket_value
from metrics.extractors import MetricType
from payflow.lib.pages.detail import Card, Head
from payflow.lib.pages.display import DASH, MINUS, count

#: rows shown before the rest is folded away
_SHOWN: Final = 8


def card(values: Sequence[Value]) -> Card:
    """What rules and extractors gave for this event alone."""
    return Card(
        title="Metrics",
        sub=f"{len(values)} values of this event alone",
        heads=[Head(label="Metric"), Head(label="Value", is_number=True)],
        rows=[
            (
                format_html(
                    '{}<div class="pf-small pf-muted">{}</div>', value.rule, value.kind.lower()
                ),
                shown(value.value),
            )
            for value in values
        ],
        fold=_SHOWN,
        empty="No rule of its bundle applies to this event.",
    )


def cells_card(cells: Sequence[RuleCell]) -> Card:
    """What windowed rules gave, and the cells that hold it."""
    return Card(
        title="Counted by rules",
        sub="what each windowed rule gives for these bytes, and its cell as it is now",
        heads=[
            Head(label="Rule and group"),
            Head(label="Window"),
            Head(label="Gives", is_number=True),
            Head(label="Events in cell", is_number=True),
            Head(label="Cell", is_number=True),
        ],
        rows=[
            (
                format_html(
                    '{}<div class="pf-small pf-muted">{}{}</div>',
                    cell.rule,
                    cell.kind.value.lower(),
                    "".join(f", {name} {value}" for name, value in cell.group.items()),
                ),
                window(cell.start, cell.window_s),
                _gives(cell),
                count(cell.transactions),
                _holds(cell),
            )
            for cell in cells
        ],
        fold=_SHOWN,
        empty="No windowed rule of its bundle applies to this event.",
    )


def shown(value: Any) -> str:
    """A number as it is; a rate as its two counts."""
    if isinstance(value, dict) and set(value) == {"n", "d"}:
        return f"{value['n']} of {value['d']}"
    return value if isinstance(value, str) else json.dumps(value)


def window(start: datetime, window_s: int) -> SafeString:
    """`13:20` to `13:25`, with the day where it is another than today."""
    local = timezone.localtime(start)
    end = timezone.localtime(start + timedelta(seconds=window_s))
    today = timezone.localdate()
    day = "" if local.date() == today else f"{local.day} {local:%b} "
    until = "" if end.date() == local.date() or window_s < 86_400 else f"{end.day} {end:%b} "
    return format_html(
        '<span class="pf-nowrap">{}{} {} {}{}</span>',
        day,
        f"{local:%H:%M}",
        DASH,
        until,
        f"{end:%H:%M}",
    )


def _number(value: Decimal) -> str:
    """Exact, without the zeros of its column."""
    return f"{value.normalize():,f}".replace("-", MINUS)


def _about(bucket: int) -> str:
    """The value that stands for a bucket, to the precision that a bucket has."""
    value = bucket_value(bucket)
    return f"about {value.normalize():,.4g}"


def _gives(cell: RuleCell) -> str:
    if cell.kind is MetricType.HISTOGRAM:
        return _about(int(cell.value))
    if cell.over is not None:
        return f"{_number(cell.value)} of {_number(cell.over)}"
    return _number(cell.value)


def _holds(cell: RuleCell) -> str:
    if cell.kind is MetricType.HISTOGRAM:
        return DASH if cell.in_bucket is None else f"{count(cell.in_bucket)} in its bucket"
    if cell.total is None:
        return DASH
    if cell.lowest is not None and cell.highest is not None:
        return f"{_number(cell.lowest)} to {_number(cell.highest)}"
    if cell.total_over is not None:
        return f"{_number(cell.total)} of {_number(cell.total_over)}"
    return _number(cell.total)
