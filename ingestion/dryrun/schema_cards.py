"""The result of a schema's dry run, as cards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from ingestion.dryrun.words import (
    Figure,
    archive_link,
    event_link,
    figures,
    merchants_text,
    overlay,
    share_of,
)
from payflow.lib.pages.detail import Card, Head
from payflow.lib.pages.display import UNKNOWN, count, joined, mono, pill

#: causes whose samples are shown
_SHOWN: Final = 12
_ABSENT: Final = "absent"
#: a sample and the path of a field -> what stands there, if it can be read
Found = Callable[[Mapping[str, Any], str], str | None]


def summary(result: Mapping[str, Any]) -> SafeString:
    """Key figures, and accepted events over time under both versions."""
    events = sum(result["verdicts"].values())
    moved = events - result["same"] - result["newly_failing"] - result["newly_passing"]
    shown = figures(
        Figure(
            label="Newly failing",
            value=result["newly_failing"],
            note=f"{share_of(result['newly_failing'], events)} of events",
            tone="warn",
        ),
        Figure(label="Newly passing", value=result["newly_passing"], note="failed until now"),
        Figure(
            label="Same verdict",
            value=result["same"],
            note=f"{moved:,} other changes" if moved else "all other events",
        ),
        Figure(label="Read otherwise", value=result["changed"], note="pass, with other columns"),
    )
    if not result["over_time"]:
        return shown
    names = (f"Under {_number(result['live'])}", f"Under {_number(result['draft'])}")
    chart = overlay(result["over_time"], names=names, label="Accepted events by arrival")
    return format_html('{}<div class="pf-body">{}</div>', shown, chart) if chart else shown


def _number(name: str) -> str:
    """`v3` of `transaction v3`."""
    return name.rpartition(" ")[2]


def causes_table(result: Mapping[str, Any]) -> tuple[Sequence[Head], Sequence[Sequence[Any]]]:
    """Why events would newly fail: what the page of the version shows."""
    heads = [
        Head(label="Newly failing by"),
        Head(label="Constraint"),
        Head(label="Most from"),
        Head(label="Events", is_number=True),
    ]
    rows = [
        (
            mono(cause["field"]) if cause["field"] else "the message as a whole",
            _constraint(cause),
            merchants_text(cause),
            count(cause["events"]),
        )
        for cause in result["failing"]
    ]
    return heads, rows


def cards(result: Mapping[str, Any], found: Found) -> list[Card]:
    """All that the page of the job shows below the summary."""
    heads, rows = causes_table(result)
    several = len(result["sources"]) > 1
    failing = Card(
        title="Newly failing",
        sub="events that pass now and would become failed items",
        heads=heads,
        rows=rows,
        fold=10,
        empty="No event that passes now would fail.",
    )
    return [
        failing,
        *(_samples(cause, found, several=several) for cause in result["failing"][:_SHOWN]),
        _passing(result),
        _columns(result),
        *_moves(result),
    ]


def _constraint(cause: Mapping[str, Any]) -> SafeString:
    return format_html(
        '{} <span class="pf-muted pf-wide">{}</span>',
        cause["reason"].replace("_", " "),
        cause["expected"],
    )


def _samples(cause: Mapping[str, Any], found: Found, *, several: bool) -> Card:
    """Events of one cause, old and new verdict side by side."""
    where = f" from {cause['source']}" if several else ""
    return Card(
        title=f"{cause['field'] or 'The message'}: {cause['reason'].replace('_', ' ')}",
        sub=f"{len(cause['samples'])} of {cause['events']:,} events{where}",
        heads=[
            Head(label="Event"),
            Head(label="Merchant"),
            Head(label="Now"),
            Head(label="Under the draft"),
            Head(label="What stands there"),
            Head(label="Archive"),
        ],
        rows=[
            (
                event_link(sample),
                sample["merchant_id"] or UNKNOWN,
                _verdict(sample["old"]),
                _verdict(sample["new"]),
                _value(found(sample, cause["field"])),
                archive_link(sample),
            )
            for sample in cause["samples"]
        ],
    )


def _value(text: str | None) -> SafeString:
    return UNKNOWN if text is None else format_html('<span class="pf-mono">{}</span>', text)


def _verdict(side: Mapping[str, Any]) -> SafeString:
    """The verdict, and each error in words."""
    if side["verdict"] == "accepted":
        return pill("ok", "Passes")
    if side["verdict"] != "failed":
        return pill("", side["verdict"].capitalize())
    errors = format_html_join(
        "",
        '<div class="pf-small pf-wide">{}: expected {}, found {}</div>',
        (
            (error["field"] or error["reason"], error["expected"], error["actual"])
            for error in side["errors"]
        ),
    )
    return joined([pill("bad", "Fails"), errors], "")


def _passing(result: Mapping[str, Any]) -> Card:
    return Card(
        title="Newly passing",
        sub="events that fail now; they stay failed items until they are retried",
        heads=[
            Head(label="Failed for"),
            Head(label="Constraint"),
            Head(label="Examples"),
            Head(label="Events", is_number=True),
        ],
        rows=[
            (
                mono(cause["field"]) if cause["field"] else "the message as a whole",
                _constraint(cause),
                joined(map(event_link, cause["samples"][:3]), ", "),
                count(cause["events"]),
            )
            for cause in result["passing"]
        ],
        fold=10,
        empty="No event that fails now would pass.",
    )


def _columns(result: Mapping[str, Any]) -> Card:
    return Card(
        title="Columns that read otherwise",
        sub="events that pass under both versions",
        heads=[
            Head(label="Column"),
            Head(label="Now"),
            Head(label="Under the draft"),
            Head(label="Example"),
            Head(label="Events", is_number=True),
        ],
        rows=[
            (
                mono(column["column"]),
                _value(column["samples"][0]["old"]),
                _value(column["samples"][0]["new"]),
                event_link(column["samples"][0]),
                count(column["events"]),
            )
            for column in result["columns"]
        ],
        fold=10,
        empty="Every event that passes under both gives the same columns.",
    )


def _moves(result: Mapping[str, Any]) -> list[Card]:
    """What neither newly fails nor newly passes: routed away, or taken apart in another way."""
    rows = [
        (_move(old), _move(new), count(number))
        for (old, new), number in (
            (tuple(key.split(">")), number) for key, number in result["verdicts"].items()
        )
        if new not in (old, "failed") and (old, new) != ("failed", "accepted")
    ]
    if not rows:
        return []
    heads = [
        Head(label="Now"),
        Head(label="Under the draft"),
        Head(label="Parts", is_number=True),
    ]
    return [
        Card(
            title="Other changes",
            sub="what is routed away, or taken apart in another way",
            heads=heads,
            rows=rows,
        )
    ]


def _move(verdict: str) -> str:
    return "no such part" if verdict == _ABSENT else verdict
