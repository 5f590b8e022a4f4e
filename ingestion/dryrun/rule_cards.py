"""The result of a rule set's dry run, as cards: series and findings on both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from django.utils.html import format_html
from django.utils.safestring import SafeString

from ingestion.dryrun.words import (
    Figure,
    archive_link,
    change_list,
    event_link,
    figures,
    group_text,
    overlay,
    table,
    value_text,
)
from payflow.lib.pages.detail import Card, Head
from payflow.lib.pages.display import UNKNOWN, count, joined, moment, pill

#: series that are drawn; the others are in the table
_DRAWN: Final = 6
_NOTHING: Final = "The draft computes what the active version computes; only texts differ."
_NAMES: Final = ("Active", "Draft")
_PILLS: Final = {
    "new": ("info", "New", "add"),
    "removed": ("warn", "Removed", "remove"),
    "changed": ("", "Changed", "edit"),
    "appears": ("info", "Appears", "add"),
    "vanishes": ("warn", "Vanishes", "remove"),
    "changes": ("", "Changes", "edit"),
}


def metrics_summary(result: Mapping[str, Any]) -> SafeString:
    """Numbers of series by what becomes of them, and the most changed one."""
    totals = {
        kind: sum(rule["series"][kind] for rule in result["rules"])
        for kind in ("appears", "vanishes", "changes", "same")
    }
    rules = len(result["rules"])
    shown = figures(
        Figure(
            label="Series that change",
            value=totals["changes"],
            note=f"of {rules} rule{'s' * (rules != 1)}",
        ),
        Figure(label="Series that appear", value=totals["appears"], note="no values until now"),
        Figure(
            label="Series that vanish",
            value=totals["vanishes"],
            note="no values any more",
            tone="warn",
        ),
        Figure(label="Series that stay", value=totals["same"], note="of the rules that differ"),
    )
    chart = series_chart(result["series"][0]) if result["series"] else ""
    if not chart:
        return shown
    return format_html(
        '{}<div class="pf-body"><p class="pf-small pf-muted">{}</p>{}</div>',
        shown,
        f"Most changed: {_title(result['series'][0])}",
        chart,
    )


def findings_summary(result: Mapping[str, Any]) -> SafeString:
    """Numbers of findings that only one side has."""
    drawn = next((rule for rule in result["rules"] if rule["over_time"]), None)
    shown = figures(
        Figure(label="New findings", value=result["new"], note="only under the draft", tone="warn"),
        Figure(label="Findings gone", value=result["gone"], note="only under the active rules"),
        Figure(label="Same findings", value=result["both"], note="of the rules that differ"),
        Figure(label="Rules that differ", value=len(result["rules"]), note="the others are equal"),
    )
    chart = (
        overlay(drawn["over_time"], names=_NAMES, label=f"Findings of {drawn['name']}")
        if drawn
        else ""
    )
    if not drawn or not chart:
        return shown
    return format_html(
        '{}<div class="pf-body"><p class="pf-small pf-muted">{}</p>{}</div>',
        shown,
        f"Most changed: findings of {drawn['name']} by time of the event",
        chart,
    )


def series_chart(series: Mapping[str, Any]) -> SafeString:
    kind, name = series["type"], series["rule"]
    unit = "%" if kind == "RATE" else "ms" if name.endswith("_ms") else ""
    return overlay(series, names=_NAMES, label=_title(series), unit=unit)


def rules_table(result: Mapping[str, Any]) -> tuple[Sequence[Head], Sequence[Sequence[Any]]]:
    """The rules that differ, and how many of their series do."""
    heads = [
        Head(label="Rule"),
        Head(label="What differs"),
        Head(label="Series", is_number=True),
        Head(label="Events behind", is_number=True),
    ]
    rows = []
    for rule in result["rules"]:
        series = rule["series"]
        differing = series["appears"] + series["vanishes"] + series["changes"]
        rows.append(
            (
                _named(rule),
                _differs(rule),
                f"{differing:,} of {differing + series['same']:,}",
                count(rule["events"]),
            )
        )
    return heads, rows


def findings_table(result: Mapping[str, Any]) -> tuple[Sequence[Head], Sequence[Sequence[Any]]]:
    """The rules that differ, and what only one side finds."""
    heads = [
        Head(label="Rule"),
        Head(label="What differs"),
        Head(label="New", is_number=True),
        Head(label="Gone", is_number=True),
        Head(label="Same", is_number=True),
    ]
    rows = [
        (
            _named(rule),
            _differs(rule),
            count(rule["new"]),
            count(rule["gone"]),
            count(rule["both"]),
        )
        for rule in result["rules"]
    ]
    return heads, rows


def metrics_cards(result: Mapping[str, Any]) -> list[Card]:
    """All that the page of the job shows below the summary."""
    heads, rows = rules_table(result)
    return [
        Card(title="Rules that differ", heads=heads, rows=rows, fold=20, empty=_NOTHING),
        _series_card(result),
        *map(_drawn, result["series"][:_DRAWN]),
    ]


def findings_cards(result: Mapping[str, Any]) -> list[Card]:
    """All that the page of the job shows below the summary."""
    heads, rows = findings_table(result)
    found = [Card(title="Rules that differ", heads=heads, rows=rows, fold=20, empty=_NOTHING)]
    for rule in result["rules"]:
        for side, title in (("new", "only under the draft"), ("gone", "only under the active")):
            samples = rule[f"{side}_samples"]
            if samples:
                found.append(_finding_samples(rule, samples, number=rule[side], title=title))
    return found


def _finding_samples(
    rule: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], *, number: int, title: str
) -> Card:
    return Card(
        title=f"{rule['name']}: {title}",
        sub=f"{len(samples)} of {number:,} findings",
        heads=[Head(label="Event"), Head(label="Arrived"), Head(label="Archive")],
        rows=[(event_link(one), _at(one), archive_link(one)) for one in samples],
        fold=5,
    )


def _at(sample: Mapping[str, Any]) -> SafeString:
    return moment(datetime.fromisoformat(sample["at"]))


def _series_card(result: Mapping[str, Any]) -> Card:
    return Card(
        title="Series that differ",
        sub=f"{result['differing']:,} of {result['compared']:,} of these rules; those with the "
        "most events behind them",
        heads=[
            Head(label="Series"),
            Head(label="What becomes of it"),
            Head(label="Active", is_number=True),
            Head(label="Draft", is_number=True),
            Head(label="Events behind", is_number=True),
        ],
        rows=[
            (
                _title(series),
                pill(*_PILLS[series["change"]]),
                value_text(series["old"], series["type"]),
                value_text(series["new"], series["type"]),
                count(series["events"]),
            )
            for series in result["series"]
        ],
        fold=10,
        empty="No series differs on these events.",
    )


def _drawn(series: Mapping[str, Any]) -> Card:
    """Both lines of one series, and events behind the difference."""
    heads = [
        Head(label="Event"),
        Head(label="Active", is_number=True),
        Head(label="Draft", is_number=True),
        Head(label="Archive"),
    ]
    rows = [
        (
            event_link(sample),
            sample["live"] or UNKNOWN,
            sample["draft"] or UNKNOWN,
            archive_link(sample),
        )
        for sample in series["samples"]
    ]
    lines = series_chart(series)
    chart = format_html('<div class="pf-body">{}</div>', lines) if lines else ""
    return Card(
        title=_title(series),
        sub=f"{series['events']:,} events behind the difference",
        corner=pill(*_PILLS[series["change"]]),
        flush=joined([chart, table(heads, rows)], ""),
    )


def _title(series: Mapping[str, Any]) -> str:
    return f"{series['rule']}, {group_text(series['group'])}"


def _named(rule: Mapping[str, Any]) -> SafeString:
    return joined([format_html("<b>{}</b>", rule["name"]), pill(*_PILLS[rule["change"]])])


def _differs(rule: Mapping[str, Any]) -> SafeString:
    """What was changed, and errors of the rule on real events."""
    errors = rule["errors"]["draft"]
    said = [change_list(rule["changes"])]
    if errors:
        said.append(
            format_html(
                '<div class="pf-small pf-t-bad">gives an error on {} events</div>', count(errors)
            )
        )
    return joined(said, "") or UNKNOWN
