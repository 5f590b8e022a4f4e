"""A shadow's page: what it costs, where the draft differs from what is live, and by how much."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from configuration.diff import Change
from ingestion.shadow.follow import LATELY_S
from ingestion.shadow.models import Shadow
from ingestion.shadow.reading import Comparison, FindingSides, RuleSides, SeriesSides
from metrics.extractors import MetricType
from metrics.findings_page import severity_pill
from payflow.lib.event_id import arrival_of
from payflow.lib.pages.charts import Line, line_chart
from payflow.lib.pages.detail import Card, Head
from payflow.lib.pages.display import DASH, count, joined, link, moment, mono, pill, row_link, span

_STATES: Final = {
    "running": ("ok", "Running", ""),
    "ended": ("", "Ended", "check"),
    "stopped": ("", "Stopped", "stop_circle"),
    "failed": ("bad", "Failed", ""),
}
#: a shadow that nobody has looked at for so long waits for a worker
_SILENT: Final = timedelta(seconds=30)
#: kind of a rule -> what its lines are
_READ_AS: Final = {
    MetricType.COUNTER: "sum",
    MetricType.RATE: "share",
    MetricType.GAUGE: "mean",
    MetricType.HISTOGRAM: "median",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One key figure: label, value, what stands below, and whether it is worth a look."""

    label: str
    value: Any
    note: Any
    tone: str = ""


def state_pill(shadow: Shadow) -> SafeString:
    return pill(*_STATES[shadow.state])


def is_silent(shadow: Shadow) -> bool:
    """Whether it runs, but no worker has looked for longer than it may rest."""
    rests = max(shadow.rests_until or shadow.started_at, shadow.seen_at or shadow.started_at)
    return shadow.state == Shadow.State.RUNNING and timezone.now() - rests > _SILENT


def share_now(shadow: Shadow) -> float:
    """Of one core, over the last minute, 0 to 1."""
    since = time.time() - LATELY_S
    used_ms: int = sum(ms for second, ms in shadow.lately if second > since)
    return used_ms / 1000 / LATELY_S


def figures(shadow: Shadow) -> list[Figure]:
    seen, skipped = shadow.events, shadow.skipped
    running = shadow.state == Shadow.State.RUNNING
    per_event = f"{shadow.cpu_ms / seen:.3g} ms" if seen else DASH
    ends = shadow.until if running else shadow.ended_at
    behind = (timezone.now() - arrival_of(shadow.last_batch)).total_seconds()
    left_out = (
        f"{skipped / (seen + skipped) * 100:.1f} % of what came" if skipped else "it keeps up"
    )
    return [
        Figure(label="Events seen", value=count(seen), note="on both sides"),
        Figure(
            label="Left out",
            value=count(skipped),
            note=left_out,
            tone="warn" if skipped else "",
        ),
        Figure(
            label="CPU per event", value=per_event, note=f"{shadow.cpu_ms / 1000:,.1f} s in all"
        ),
        Figure(
            label="Share now",
            value=f"{share_now(shadow) * 100:.1f} %" if running else DASH,
            note=f"of one core, at most {shadow.share} %",
        ),
        Figure(
            label="Behind",
            value=span(max(0.0, behind)) if running else DASH,
            note="what comes is left out from 2 min on",
        ),
        Figure(label="Ends" if running else "Ended", value=moment(ends), note=_began(shadow)),
    ]


def _began(shadow: Shadow) -> SafeString:
    who = f" by {shadow.started_by}" if shadow.started_by else ""
    return format_html("began {}{}", moment(shadow.started_at), who)


def cards(shadow: Shadow, comparison: Comparison) -> list[Card]:
    if shadow.version.kind == "compliance":
        return [_findings(comparison.findings)]
    return [_rules(comparison.rules), *(_series(one) for one in comparison.series)]


def _rules(rules: Sequence[RuleSides]) -> Card:
    return Card(
        title="Rules that differ",
        sub="all others give the same on both sides and are not computed twice",
        heads=[
            Head(label="Rule"),
            Head(label="Events, live", is_number=True),
            Head(label="Events, draft", is_number=True),
            Head(label="Difference", is_number=True),
            Head(label="Series"),
        ],
        rows=[
            (
                _rule(rule),
                count(rule.live_events) if rule.live_kind else DASH,
                count(rule.draft_events) if rule.draft_kind else DASH,
                _difference(rule.draft_events - rule.live_events),
                _series_text(rule),
            )
            for rule in rules
        ],
        empty="The rules that differ have given nothing so far.",
    )


def _rule(rule: RuleSides) -> SafeString:
    if rule.live_kind is None:
        state = pill("mark", "new", "add")
    elif rule.draft_kind is None:
        state = pill("mark", "gone", "remove")
    else:
        state = pill("mark", "changed", "edit")
    name = link(_explore(rule.name), rule.name) if rule.live_kind else rule.name
    return format_html("{} {}{}", name, state, _changes(rule.changes))


def _explore(rule: str) -> str:
    """The live series of a rule, all of its groups."""
    return f"{reverse('explore')}?{urlencode({'metric': rule})}"


def _changes(changes: Sequence[Change]) -> SafeString:
    """Old and new of each key that both sides have."""
    return format_html_join(
        "",
        '<div class="pf-small pf-muted">{}: <span class="pf-mono">{}</span> → '
        '<span class="pf-mono">{}</span></div>',
        (
            (change.what, "; ".join(change.old) or "nothing", "; ".join(change.new) or "nothing")
            for change in changes
            if change.old and change.new
        ),
    )


def _difference(number: int) -> str:
    return f"+{number:,}" if number > 0 else count(number)


def _series_text(rule: RuleSides) -> str:
    parts = [
        f"{number:,} {word}"
        for number, word in (
            (rule.change, "differ"),
            (rule.appear, "only in the draft"),
            (rule.vanish, "only live"),
        )
        if number
    ]
    return f"{', '.join(parts)} of {rule.series:,}" if parts else f"{rule.series:,}, all the same"


def _series(one: SeriesSides) -> Card:
    scale = 100 if one.kind is MetricType.RATE else 1
    lines = [
        Line(name, [None if value is None else float(value * scale) for value in values])
        for name, values in (("Live", one.live), ("Draft", one.draft))
    ]
    group = ", ".join(f"{name} {value or DASH}" for name, value in one.group.items())
    return Card(
        title=one.rule,
        sub=", ".join(part for part in (group, _READ_AS[one.kind], _step(one.step_s)) if part),
        html=line_chart(
            lines,
            times=one.starts,
            step_s=one.step_s,
            label=f"{one.rule} {group}".strip(),
            unit="%" if one.kind is MetricType.RATE else "",
            height=170,
        ),
    )


def _step(step_s: int) -> str:
    if step_s >= 86_400:
        return f"per {step_s // 86_400} d"
    return f"per {step_s // 60} min" if step_s < 3_600 else f"per {step_s // 3_600} h"


def _findings(found: Sequence[FindingSides]) -> Card:
    return Card(
        title="Findings of the rules that differ",
        sub="all other rules find the same on both sides and are not computed twice",
        heads=[
            Head(label="Rule"),
            Head(label="On both", is_number=True),
            Head(label="Only live", is_number=True),
            Head(label="Only the draft", is_number=True),
            Head(label="Events"),
        ],
        rows=[
            (
                format_html(
                    "{} {}{}",
                    one.rule,
                    severity_pill(one.severity) if one.severity else "",
                    _changes(one.changes),
                ),
                count(one.both),
                count(one.only_live),
                count(one.only_draft),
                _samples(one),
            )
            for one in found
        ],
        empty="The rules that differ have found nothing so far.",
    )


def _samples(one: FindingSides) -> SafeString:
    """Passports of the newest events that only one side finds."""
    sides = (("only live", one.live_samples), ("only the draft", one.draft_samples))
    return joined(
        format_html(
            '<div class="pf-small"><span class="pf-muted">{}</span> {}</div>',
            name,
            joined(
                (
                    row_link("metrics.normalizedtransaction", event, mono(event, shorten=9))
                    for event in events
                ),
                ", ",
            ),
        )
        for name, events in sides
        if events
    )
