"""One look at everything: read once for all viewers of a range, card by card.

What one card needs may fail: it is left out and named, and the others are shown.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from threading import Lock
from typing import Final, Generic, TypeVar

from django.core.cache import cache

from configuration.changes import Change, changes_between
from ingestion.attention import what_needs_a_person, worst_first
from ingestion.attention_item import Attention
from ingestion.models import Batch, Drainer, Partition
from ingestion.overview.falls import falling
from ingestion.overview.intake import (
    DeadLetters,
    Intake,
    Latency,
    SourceLag,
    read_dead_letters,
    read_intake,
    read_lag,
    read_latency,
    read_rate,
)
from ingestion.overview.payments import (
    Findings,
    Outcomes,
    Payments,
    read_failures,
    read_findings,
    read_outcomes,
    read_payments,
    read_processors,
)
from ingestion.overview.spans import Span

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)
#: seconds that all viewers share a look, by seconds per point: long ranges change slowly
_KEEP_S: Final = {300: 2, 900: 10}
_KEEP_LONG_S: Final = 30
_REFRESH_S: Final = 5
#: the past moves only where events come late
_KEEP_PAST_S: Final = 300
#: one thread of this process reads, the others wait for what it finds
_reading = Lock()


@dataclass(frozen=True, slots=True)
class Compared(Generic[_T]):
    """The same of the span, of the day before and of the week before."""

    now: _T
    yesterday: _T
    last_week: _T


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Everything of one span; None where it could not be read."""

    span: Span
    attention: Sequence[Attention] | None
    rate: float | None
    intake: Compared[Intake] | None
    payments: Compared[Payments] | None
    processors: Compared[dict[str, Outcomes]] | None
    failures: Compared[dict[str, int]] | None
    findings: Compared[Findings] | None
    dead: Compared[DeadLetters] | None
    latency: Compared[Latency] | None
    lag: Sequence[SourceLag] | None
    changes: Sequence[Change] | None
    drainers: int | None
    #: False until the very first batch
    has_events: bool


def refresh_s(span: Span) -> float:
    """Seconds after which a viewer asks again: not before there is something new to see."""
    return max(_REFRESH_S, keep_s(span))


def keep_s(span: Span) -> float:
    """Seconds that a look at a span is kept."""
    return _KEEP_S.get(span.step_s, _KEEP_LONG_S)


def overview_of(span: Span) -> Overview:
    """A look that is at most some seconds old, the same for every viewer of the range."""
    key = f"overview.{span.name}.{span.since.isoformat()}.{span.points}"
    found: Overview | None = cache.get(key)
    if found is not None:
        return found
    with _reading:
        found = cache.get(key)
        if found is None:
            found = read_overview(span)
            cache.set(key, found, keep_s(span))
    return found


def read_overview(span: Span) -> Overview:
    """All of it from the database, by some thirty queries of a few milliseconds."""
    return Overview(
        span=span,
        attention=_try("attention", partial(_attention, span)),
        rate=_try("rate", partial(read_rate, span.now)) if span.is_live else None,
        intake=_compare("intake", read_intake, span),
        payments=_compare(
            "payments",
            read_payments,
            span,
            yesterday=lambda day: Payments(all=read_outcomes(day), by={}, amounts={}),
        ),
        # nothing shows the day before of these two
        processors=_compare("processors", read_processors, span, yesterday=lambda _day: {}),
        failures=_compare("failures", read_failures, span, yesterday=lambda _day: {}),
        findings=_compare("findings", read_findings, span),
        dead=_compare(
            "dead", read_dead_letters, span, past=partial(read_dead_letters, groups=False)
        ),
        latency=_compare("latency", read_latency, span, past=partial(read_latency, steps=False)),
        lag=_try("lag", partial(read_lag, span.now)),
        changes=_try("changes", partial(changes_between, span.since, span.until)),
        drainers=_try("drainers", lambda: Drainer.objects.live().count()),
        has_events=_try("batches", Batch.objects.all()[:1].exists) is not False,
    )


def _compare(
    name: str,
    read: Callable[[Span], _T],
    span: Span,
    *,
    past: Callable[[Span], _T] | None = None,
    yesterday: Callable[[Span], _T] | None = None,
) -> Compared[_T] | None:
    """`past` and `yesterday` read less where less of the earlier days is shown."""

    earlier = past or read

    def of(ago: timedelta, read: Callable[[Span], _T]) -> _T:
        day = span.before(ago)
        key = f"overview.{name}.{ago.days}.{day.since.isoformat()}.{span.step_s}.{span.points}"
        found: _T | None = cache.get(key)
        if found is None:
            found = read(day)
            cache.set(key, found, _KEEP_PAST_S)
        return found

    return _try(
        name, lambda: Compared(read(span), of(DAY, yesterday or earlier), of(WEEK, earlier))
    )


def _try(name: str, read: Callable[[], _T]) -> _T | None:
    """What `read` gives, or None: a page with a hole says more than no page."""
    try:
        return read()
    except Exception as exc:  # noqa: BLE001  whatever it is, the other cards stand
        _note(name, exc)
        return None


def _note(card: str, exc: Exception) -> None:
    """Class and frames only: the message of an exception may hold values."""
    logger.error(
        "a card of the overview could not be read",
        extra={
            "action": "overview_card_failed",
            "card": card,
            "error": type(exc).__name__,
            "frames": traceback.format_tb(exc.__traceback__)[-6:],
        },
    )


def _attention(span: Span) -> list[Attention]:
    partitions = Partition.objects.filter(state__in=("active", "stopped"))
    waiting = list(partitions.select_related("source").order_by("pk"))
    return worst_first([*what_needs_a_person(waiting, now=span.now), *falling(span.now)])
