"""The cards under the success rate: reasons, amounts, findings, dead letters, times, lag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.utils.html import format_html
from django.utils.safestring import SafeString

from configuration.cause_line import cause_line, undo_of
from configuration.changes import marks_of
from ingestion.overview import links
from ingestion.overview.figures import Delta, in_percent
from ingestion.overview.reading import Overview
from ingestion.overview.spans import Span
from payflow.lib.pages.charts import Line, line_chart, sparkline
from payflow.lib.pages.display import money, pill, row_url

_REASONS: Final = 6
_CURRENCIES: Final = 6
_RULES: Final = 6
_SEVERITY_KINDS: Final = {"critical": "bad", "high": "bad", "medium": "warn", "low": "info"}
_SEVERITIES: Final = ("critical", "high", "medium", "low")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A row that is a part of a whole: its count, its share, and last week."""

    name: str
    url: str
    count: int
    share: float
    change: Delta
    #: of a currency its amount, of a rule its severity
    extra: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Failed items of one cause."""

    title: str
    url: str
    text: SafeString
    #: rolls back what likely caused it; for those who may
    undo: str
    spark: SafeString
    count: int
    items_url: str
    last_seen: object


def reasons(overview: Overview) -> list[Part] | None:
    """Failed payments by error code; the rest as "n others"."""
    failures, span = overview.failures, overview.span
    if failures is None:
        return None
    counts = sorted(failures.now.items(), key=lambda pair: (-pair[1], pair[0]))
    shown = counts if len(counts) <= _REASONS else counts[: _REASONS - 1]
    rest = dict(counts[len(shown) :])
    total = sum(failures.now.values())
    parts = [
        _part(
            code or "not stated",
            links.transactions(span.since, span.until, payment_status="failed", error_code=code),
            span,
            number=number,
            total=total,
            before=failures.last_week.get(code, 0),
        )
        for code, number in shown
    ]
    if rest:
        before = sum(failures.last_week.get(code, 0) for code in rest)
        url = links.transactions(span.since, span.until, payment_status="failed")
        name, number = f"{len(rest)} others", sum(rest.values())
        parts.append(_part(name, url, span, number=number, total=total, before=before))
    return parts


def _part(
    name: str,
    url: str,
    span: Span,
    *,
    number: int,
    total: int,
    before: int,
    extra: str = "",
) -> Part:
    """`before` is of the whole span: the share of it that has passed today is held against."""
    passed = before * span.seconds / (span.step_s * span.points)
    return Part(
        name=name,
        url=url,
        count=number,
        share=number / total,
        change=in_percent(number, passed, more_is="bad" if not extra else ""),
        extra=extra,
    )


def amounts(overview: Overview) -> list[Part] | None:
    """Completed payments by currency: shares are of counts, amounts are never added up."""
    payments, span = overview.payments, overview.span
    if payments is None:
        return None
    found = sorted(payments.now.amounts.items(), key=lambda pair: (-pair[1].payments, pair[0]))
    total = sum(amount.payments for _, amount in found)
    parts = []
    for currency, amount in found[:_CURRENCIES]:
        before = payments.last_week.amounts.get(currency)
        url = links.transactions(
            span.since, span.until, payment_status="completed", currency=currency
        )
        parts.append(
            _part(
                currency,
                url,
                span,
                number=amount.payments,
                total=total,
                before=before.payments if before else 0,
                extra=money(amount.total, currency),
            )
        )
    return parts


def findings(overview: Overview) -> list[Part] | None:
    """Violations by rule, the gravest first; their severity beside them."""
    found, span = overview.findings, overview.span
    if found is None:
        return None
    now = found.now.by_rule
    total = sum(now.values())

    def order(rule: tuple[str, str]) -> tuple[int, int, str]:
        name, severity = rule
        place = _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)
        return place, -now[rule], name

    return [
        _part(
            name,
            links.violations(span.since, span.until, rule=name),
            span,
            number=now[name, severity],
            total=total,
            before=found.last_week.by_rule.get((name, severity), 0),
            extra=severity_pill(severity),
        )
        for name, severity in sorted(now, key=order)[:_RULES]
    ]


def severity_pill(severity: str) -> SafeString:
    return pill(_SEVERITY_KINDS.get(severity, ""), severity)


def severities(overview: Overview) -> list[tuple[str, int, str]]:
    """Violations by severity, gravest first: name, count, list."""
    if overview.findings is None:
        return []
    span, by_rule = overview.span, overview.findings.now.by_rule
    counts = {
        severity: sum(number for (_, of), number in by_rule.items() if of == severity)
        for severity in _SEVERITIES
    }
    return [
        (name, number, links.violations(span.since, span.until, severity__exact=name))
        for name, number in counts.items()
        if number
    ]


def dead_groups(overview: Overview) -> list[Group] | None:
    """The largest groups, each with what went live shortly before it began."""
    if overview.dead is None:
        return None
    groups = []
    for dead in overview.dead.now.groups:
        group = dead.group
        text = format_html("{}, schema {}", group.source.name, group.schema_name or "none")
        groups.append(
            Group(
                title=str(group),
                url=row_url("deadletter.failuregroup", group.pk),
                text=cause_line(dead.cause) if dead.cause else text,
                undo=undo_of(dead.cause),
                spark=sparkline([float(n) for n in dead.steps]),
                count=dead.count,
                items_url=links.arrived("deadletter.faileditem", overview.span, group=group.pk),
                last_seen=group.last_seen,
            )
        )
    return groups


def latency_chart(overview: Overview) -> SafeString | None:
    """p50 and p95 over time, None when they could not be read, empty without batches."""
    if overview.latency is None:
        return None
    latency, span = overview.latency.now, overview.span
    if latency.p95 is None:
        return SafeString("")
    urls = [
        links.arrived_steps("ingestion.batch", start, start + span.step) for start in span.starts
    ]
    lines = [Line("p95", latency.p95_steps, urls), Line("p50", latency.p50_steps, urls)]
    return line_chart(
        lines,
        times=span.starts,
        step_s=span.step_s,
        label="Arrival to commit",
        unit="ms",
        marks=marks_of(overview.changes or (), since=span.since, until=span.until),
        height=180,
    )


def taken_in(overview: Overview) -> Sequence[tuple[str, int, str]]:
    """What became of the messages of the span: name, count, list."""
    if overview.intake is None:
        return []
    totals, span = overview.intake.now.totals, overview.span
    return [
        ("messages", totals["messages"], links.arrived("ingestion.batch", span)),
        ("accepted", totals["accepted"], links.arrived("metrics.normalizedtransaction", span)),
        ("failed", totals["failed"], links.arrived("deadletter.faileditem", span)),
        (
            "duplicates",
            totals["duplicates"],
            links.arrived("ingestion.batch", span, **{"with": "duplicates"}),
        ),
        ("late", totals["late"], links.arrived("ingestion.batch", span, **{"with": "late"})),
        ("ignored", totals["ignored"], links.arrived("ingestion.batch", span)),
    ]
