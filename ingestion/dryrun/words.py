"""How results of dry runs read: links to events, groups, values, key figures and lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from metrics.explore_numbers import plain, share_text
from payflow.lib.pages.detail import Head
from payflow.lib.pages.display import DASH, UNKNOWN, count, link, mono, row_url
from payflow.lib.pages.line_charts import Line, line_chart


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A key figure: `tone` is warn, bad or nothing."""

    label: str
    value: int
    note: str
    tone: str = ""


def figures(*shown: Figure) -> SafeString:
    """Key figures at the top of a card."""
    return format_html(
        '<div class="pf-kpis pf-inner n4">{}</div>',
        format_html_join(
            "",
            '<div class="pf-kpi"><span class="l">{}</span><span class="v {}">{}</span>'
            '<span class="c">{}</span></div>',
            (
                (one.label, one.tone if one.value else "", count(one.value), one.note)
                for one in shown
            ),
        ),
    )


def event_link(sample: Mapping[str, Any]) -> SafeString:
    """The passport, the failed item or the archive row of a sample's event."""
    text = sample.get("transaction_id") or f"row {sample['row']:,}"
    shown = mono(text, shorten=15)
    if sample["stored"] == "accepted" and not sample["set_aside"]:
        return link(row_url("metrics.normalizedtransaction", sample["id"]), shown)
    if sample["stored"] == "failed":
        return link(row_url("deadletter.faileditem", sample["id"]), shown)
    return link(archive_url(sample), shown)


def archive_url(sample: Mapping[str, Any]) -> str:
    """The page of a sample's row of the archive."""
    return f"{row_url('ingestion.archivefile', sample['file'])}?row={sample['row']}"


def archive_link(sample: Mapping[str, Any]) -> SafeString:
    return link(archive_url(sample), f"row {sample['row']:,}", title=sample["file"])


def group_text(group: str) -> str:
    """`processor acme · currency EUR`; one series without a group is all events."""
    values: dict[str, Any] = json.loads(group)
    named = (f"{name} {DASH if value in ('', None) else value}" for name, value in values.items())
    return " · ".join(named) or "all events"


def value_text(text: str | None, kind: str) -> str:
    """A value over the whole range: a share in percent, anything else as it is."""
    if text is None:
        return DASH
    return share_text(Decimal(text)) if kind == "RATE" else plain(Decimal(text))


def change_list(changes: Sequence[Sequence[str]]) -> SafeString:
    """What was changed in a rule, old and new."""
    return format_html_join(
        "",
        '<div class="pf-small pf-wide">{}: <span class="pf-mono pf-old">{}</span> → '
        '<span class="pf-mono pf-new">{}</span></div>',
        ((key, old or "nothing", new or "nothing") for key, old, new in changes),
    )


def overlay(
    series: Mapping[str, Any], *, names: tuple[str, str], label: str, unit: str = ""
) -> SafeString:
    """Both sides as lines over each other; nothing for a single moment, which is no line."""
    if len(series["live"]) == 1:
        return SafeString("")
    scale = 100 if unit == "%" else 1
    start, step = datetime.fromisoformat(series["start"]), timedelta(seconds=series["step_s"])
    lines = [
        Line(name, [None if value is None else value * scale for value in series[side]])
        for name, side in zip(names, ("live", "draft"), strict=True)
        if any(value is not None for value in series[side])
    ]
    return line_chart(
        lines,
        times=[start + number * step for number in range(len(series["live"]))],
        step_s=series["step_s"],
        label=label,
        unit=unit,
        height=170,
    )


def share_of(part: int, whole: int) -> str:
    """`0.0002 %`, as many decimals as tell something."""
    if not whole:
        return DASH
    percent = part / whole * 100
    digits = 1 if percent >= 1 or not part else 2 if percent >= 0.01 else 4
    return f"{percent:.{digits}f} %"


def merchants_text(cause: Mapping[str, Any]) -> str | SafeString:
    """`shop a, 38 of 41` or the first ones of several."""
    named = [(name or DASH, number) for name, number in cause["merchants"]]
    if not named:
        return UNKNOWN
    if len(named) == 1 and not cause["has_more_merchants"]:
        return f"{named[0][0]}"
    shown = ", ".join(f"{name} ({number:,})" for name, number in named[:3])
    more = cause["merchants_known"] - min(3, len(named))
    if more <= 0:
        return shown
    return f"{shown} and {more:,} more"


def table(heads: Sequence[Head], rows: Sequence[Sequence[Any]]) -> SafeString:
    """A table as card.html prints one, for a card that has something above it."""
    if not rows:
        return SafeString("")
    labels = [(head.label, " pf-num" if head.is_number else "") for head in heads]
    body = []
    for row in rows:
        cells = [
            (label, "full" + style if number == 0 else style.strip(), value)
            for number, ((label, style), value) in enumerate(zip(labels, row, strict=True))
        ]
        line = format_html_join("", '<td data-l="{}" class="{}"><span>{}</span></td>', cells)
        body.append((line,))
    return format_html(
        '<div class="pf-body flush"><table class="pf-table rs"><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>",
        format_html_join(
            "", '<th scope="col" class="{1}">{0}</th>', ((a, b.strip()) for a, b in labels)
        ),
        format_html_join("", "<tr>{}</tr>", body),
    )
