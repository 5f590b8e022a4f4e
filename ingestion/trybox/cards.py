"""What the try box says of an event, as cards: a column for each side, differences marked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Final, TypeVar

from django.utils.html import format_html
from django.utils.safestring import SafeString

from deadletter.payload import render
from ingestion.trybox.judged import Finding, Given, Judged
from ingestion.trybox.sides import Compared, Side, compare
from ingestion.trybox.traces import Trace
from metrics.findings_page import evidence_text, severity_pill
from payflow.lib.pages.detail import Card, Head
from payflow.lib.pages.display import DASH, MINUS, UNKNOWN, moment, mono, pill

_Value = TypeVar("_Value", Trace, Given, Finding)
#: rows of a card before the rest is folded away
_SHOWN: Final = 12
_ORIGINS: Final = {
    "constant": "a constant of the mapping",
    "default": "the default: nothing is there",
    "computed": "computed from other columns",
    "nothing": "nothing is there",
    "coordinates": "its coordinates: nothing is there",
}
_MASKED: Final = {"pan": "card number", "cvv": "security code", "track": "track data"}


def result_cards(sides: Sequence[Side]) -> list[Card]:
    """Mapping, metrics and findings of the sides that could be evaluated, then the event."""
    shown = [side for side in sides if side.judged is not None]
    if not shown:
        return []
    found = [side.judged for side in shown if side.judged is not None]
    heads = [side.label for side in shown]
    cards = [_mapping(found, heads)]
    if any(judged.part.verdict == "accepted" for judged in found):
        cards += [_findings(found, heads), _metrics(found, heads)]
    return [*cards, _event(shown[0])]


def _mapping(found: Sequence[Judged], heads: Sequence[str]) -> Card:
    rows = compare([judged.part.traces for judged in found], key=lambda one: one.column)
    filled = [row for row in rows if not _is_empty(row)]
    empty = [row.any.column for row in rows if _is_empty(row)]
    return Card(
        title="Mapping",
        sub="what each column gets, and where it is in the event",
        heads=[Head(label="Column"), *(Head(label=head) for head in heads)],
        rows=[(_name(row, row.any.column), *_cells(row, _traced)) for row in filled],
        foot=f"Nothing in the event for {', '.join(empty)}." if empty else "",
        empty="No column can be filled: the bytes are no JSON object, or no schema takes them.",
    )


def _is_empty(row: Compared[Trace]) -> bool:
    return all(one is None or (one.otherwise == "nothing" and not one.value) for one in row.found)


def _traced(one: Trace) -> SafeString:
    if one.refused:
        return format_html(
            '<span class="pf-t-bad">{}</span><div class="pf-small pf-muted pf-mono">{}</div>',
            one.refused,
            one.path,
        )
    place = (
        format_html('<span class="pf-mono">{}</span>', one.path)
        if one.path
        else _ORIGINS[one.otherwise]
    )
    return format_html('{}<div class="pf-small pf-muted">{}</div>', _value(one.value), place)


def _value(value: Any) -> Any:
    if value is None or value == "":
        return UNKNOWN
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return mono(value, shorten=48)
    if isinstance(value, Decimal | int | float):
        return _number(Decimal(str(value)))
    return moment(value, ms=True)


def _metrics(found: Sequence[Judged], heads: Sequence[str]) -> Card:
    rows = compare(
        [judged.part.given for judged in found],
        key=lambda one: (one.name, json.dumps(one.group)),
    )
    rows = sorted(rows, key=lambda row: (not row.differs, row.any.name))
    return Card(
        title="Metrics",
        sub="what each rule gives for this event alone",
        heads=[Head(label="Rule and group"), *(Head(label=head, is_number=True) for head in heads)],
        rows=[(_name(row, row.any.name, _group(row.any)), *_cells(row, _given)) for row in rows],
        fold=_SHOWN,
        empty="No metric rule gives a value for this event.",
    )


def _group(one: Given) -> str:
    group = "".join(f", {name} {value or DASH}" for name, value in one.group.items())
    return f"{one.kind.lower()}{group}"


def _given(one: Given) -> str:
    if one.is_about:
        return f"about {one.value.normalize():,.4g}"
    if one.over is not None:
        return f"{_number(one.value)} of {_number(one.over)}"
    return _number(one.value)


def _number(value: Decimal) -> str:
    """Exact, without the zeros of its column."""
    return f"{value.normalize():,f}".replace("-", MINUS)


def _findings(found: Sequence[Judged], heads: Sequence[str]) -> Card:
    rows = compare([judged.part.findings for judged in found], key=lambda one: one.rule)
    return Card(
        title="Compliance findings",
        sub="what the rules would point at",
        heads=[Head(label="Rule"), *(Head(label=head) for head in heads)],
        rows=[
            (
                _name(row, row.any.rule, evidence_text(dict(row.any.evidence))),
                *_cells(row, lambda one: severity_pill(one.severity), absent="none"),
            )
            for row in rows
        ],
        empty="None: no compliance rule finds anything in this event.",
    )


def _event(side: Side) -> Card:
    """The bytes as payflow keeps them."""
    rendered = render(side.body)
    masked = ", ".join(_MASKED[kind] for kind in sorted(side.masked))
    return Card(
        title="As payflow keeps it",
        sub=f"{rendered.kind}, {rendered.note}" + (f"; masked: {masked}" if masked else ""),
        html=rendered.html if side.body else "",
        empty="Nothing was given.",
    )


def _name(row: Compared[Any], name: str, below: str = "") -> SafeString:
    """What a row is about; a difference is said in words too."""
    return format_html(
        "{}{}{}",
        name,
        format_html(" {}", pill("mark", "differs", "edit")) if row.differs else "",
        format_html('<div class="pf-small pf-muted">{}</div>', below) if below else "",
    )


def _cells(
    row: Compared[_Value], show: Callable[[_Value], Any], *, absent: str = DASH
) -> Iterable[Any]:
    for one in row.found:
        yield format_html('<span class="pf-muted">{}</span>', absent) if one is None else show(one)
