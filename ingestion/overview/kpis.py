"""The key figures: value, trend, and the same of yesterday and last week."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ingestion.attention import LAGGING_S
from ingestion.overview import links
from ingestion.overview.figures import (
    Delta,
    in_count,
    in_ms,
    in_percent,
    in_points,
    percents,
    so_far,
)
from ingestion.overview.reading import Compared, Overview
from ingestion.overview.spans import Span
from payflow.lib.pages.axes import value_text
from payflow.lib.pages.charts import sparkline
from payflow.lib.pages.display import DASH, count, list_url, rate
from payflow.lib.pages.display import span as span_text

YESTERDAY: Final = "yesterday"
LAST_WEEK: Final = "last week"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpi:
    """One figure; `kind` colours it where a person should act."""

    id: str
    label: str
    value: str
    unit: str = ""
    kind: str = ""
    spark: str = ""
    deltas: Sequence[Delta] = ()
    #: in place of deltas, where the past is not kept
    note: str = ""
    url: str = ""
    is_broken: bool = False


def kpis(overview: Overview) -> list[Kpi]:
    """In the order in which they are read."""
    makers: Sequence[Callable[[Overview], Kpi]] = (
        _events,
        _success,
        _failed,
        _violations,
        _dead_letters,
        _lag,
        _latency,
    )
    return [make(overview) for make in makers]


def _broken(name: str, label: str) -> Kpi:
    return Kpi(id=f"kpi-{name}", label=label, value=DASH, note="could not be read", is_broken=True)


def _events(overview: Overview) -> Kpi:
    """A live range shows the last minute, a past one its mean."""
    span, intake = overview.span, overview.intake
    label = "Events, last minute" if span.is_live else "Events per second"
    if intake is None or (span.is_live and overview.rate is None):
        return _broken("rate", label)
    now = intake.now.totals["messages"] / span.seconds if overview.rate is None else overview.rate
    yesterday, last_week = _rate(intake.yesterday.steps, span), _rate(intake.last_week.steps, span)
    return Kpi(
        id="kpi-rate",
        label=label,
        value=rate(now),
        unit="/s",
        spark=sparkline(_closed(intake.now.steps, span)),
        deltas=[
            in_percent(now, yesterday, against=YESTERDAY),
            in_percent(now, last_week, against=LAST_WEEK),
        ],
        url=links.arrived("ingestion.batch", span),
    )


def _rate(steps: Sequence[int], span: Span) -> float:
    """Of the last step, which a live figure is held against, or of all."""
    if span.is_live:
        return steps[-1] / span.step_s
    return so_far(steps, span.filled) / span.seconds


def _closed(steps: Sequence[int], span: Span) -> list[float | None]:
    """Without the step that is still being filled: half of it is no fall."""
    return list(steps[:-1] if span.filled < 1 and len(steps) > 2 else steps)


def _success(overview: Overview) -> Kpi:
    label = _within("Success rate", overview.span)
    payments = overview.payments
    if payments is None:
        return _broken("success", label)
    now = payments.now.all.success
    deltas = [
        in_points(now, payments.yesterday.all.success, against=YESTERDAY),
        in_points(now, payments.last_week.all.success, against=LAST_WEEK),
    ]
    kind = "bad" if any(delta.kind for delta in deltas) else ""
    return Kpi(
        id="kpi-success",
        label=label,
        value=percents(now).removesuffix(" %"),
        unit="" if now is None else "%",
        kind=kind,
        spark=sparkline(payments.now.all.successes, kind=kind or "neutral"),
        deltas=deltas,
        url=links.transactions(overview.span.since, overview.span.until),
    )


def _failed(overview: Overview) -> Kpi:
    label = _within("Failed payments", overview.span)
    payments, span = overview.payments, overview.span
    if payments is None:
        return _broken("failed", label)
    url = links.transactions(span.since, span.until, payment_status="failed")
    steps = Compared(
        payments.now.all.failed, payments.yesterday.all.failed, payments.last_week.all.failed
    )
    return _counted("failed", label, steps, span, url)


def _violations(overview: Overview) -> Kpi:
    label = _within("Violations", overview.span)
    found, span = overview.findings, overview.span
    if found is None:
        return _broken("violations", label)
    steps = Compared(found.now.steps, found.yesterday.steps, found.last_week.steps)
    return _counted("violations", label, steps, span, links.violations(span.since, span.until))


def _dead_letters(overview: Overview) -> Kpi:
    label = _within("Dead letters", overview.span)
    dead, span = overview.dead, overview.span
    if dead is None:
        return _broken("dead", label)
    steps = Compared(dead.now.steps, dead.yesterday.steps, dead.last_week.steps)
    return _counted("dead", label, steps, span, links.arrived("deadletter.faileditem", span))


def _counted(name: str, label: str, steps: Compared[list[int]], span: Span, url: str) -> Kpi:
    """A count of something that should be rare."""
    total = sum(steps.now)
    yesterday = so_far(steps.yesterday, span.filled)
    last_week = so_far(steps.last_week, span.filled)
    deltas = [
        _change(total, yesterday, sum(steps.yesterday), YESTERDAY),
        _change(total, last_week, sum(steps.last_week), LAST_WEEK),
    ]
    kind = "bad" if all(delta.kind for delta in deltas) else ""
    return Kpi(
        id=f"kpi-{name}",
        label=label,
        value=count(total),
        kind=kind,
        spark=sparkline(_closed(steps.now, span), kind=kind or "neutral"),
        deltas=deltas,
        url=url,
    )


def _change(now: int, before: float, whole: int, against: str) -> Delta:
    """A share of hundreds, a plain difference of few; nothing to hold against before all."""
    if not whole:
        return Delta(text=DASH, against=against)
    if whole < 100:
        return in_count(now, before, against=against, more_is="bad")
    return in_percent(now, before, against=against, more_is="bad")


def _lag(overview: Overview) -> Kpi:
    if overview.lag is None:
        return _broken("lag", "Lag, worst source")
    known = [lag for lag in overview.lag if lag.seconds is not None]
    seconds = max((lag.seconds or 0.0 for lag in known), default=None)
    value, _, unit = span_text(seconds).rpartition(" ")
    waiting = sum(lag.events or 0 for lag in known)
    return Kpi(
        id="kpi-lag",
        label="Lag, worst source",
        value=value or DASH,
        unit=unit if value else "",
        kind="warn" if seconds is not None and seconds >= LAGGING_S else "",
        note=f"{count(waiting)} events wait" if known else "nothing is read now",
        url=list_url("ingestion.partition"),
    )


def _latency(overview: Overview) -> Kpi:
    label = "Arrival to commit, p95"
    latency, span = overview.latency, overview.span
    if latency is None:
        return _broken("latency", label)
    now = latency.now.p95
    return Kpi(
        id="kpi-latency",
        label=label,
        value=value_text(None if now is None else float(round(now))),
        unit="" if now is None else "ms",
        spark=sparkline(latency.now.p95_steps),
        deltas=[
            in_ms(now, latency.yesterday.p95, against=YESTERDAY),
            in_ms(now, latency.last_week.p95, against=LAST_WEEK),
        ],
        url=links.arrived("ingestion.batch", span),
    )


def _within(label: str, span: Span) -> str:
    """The range behind the name; "now" and a custom range stand above the page."""
    return f"{label}, {span.label}" if span.is_live and span.label != "Now" else label
