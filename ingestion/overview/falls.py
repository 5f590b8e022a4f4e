"""Processors, channels and methods whose payments fail far more often than they use to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from django.core.cache import cache
from django.utils import timezone

from ingestion.attention_item import Attention
from ingestion.overview.figures import percents
from ingestion.overview.links import transactions
from ingestion.overview.payments import (
    CHANNEL,
    METHOD,
    PROCESSOR,
    Outcomes,
    read_payments,
    read_processors,
)
from ingestion.overview.spans import CUSTOM, Span
from payflow.lib.pages.display import count

WORDS: Final = {CHANNEL: "Channel", METHOD: "Method", PROCESSOR: "Processor"}
_WINDOW_S: Final = 300
_RECENT_WINDOWS: Final = 24
#: windows that are looked at: the last 10 to 15 minutes
_LOOKED_AT: Final = 3
#: windows before them that are neither looked at nor usual: a fall may have begun there
_BETWEEN: Final = 3
_USUAL_HOURS: Final = 24
_KEEP_USUAL_S: Final = 300
#: fewer payments than this say nothing
_LEAST: Final = 20
_LEAST_USUAL: Final = 100
#: percent points
_FALL: Final = 10.0
#: standard deviations that chance does not reach
_SIGMAS: Final = 4.0
_HOUR: Final = timedelta(hours=1)

_Groups = Mapping[str, Mapping[str, Outcomes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fall:
    """A group whose success rate (percent) fell: since when, and what failed lately."""

    dimension: str
    name: str
    success: float
    usual: float
    failed: int
    decided: int
    since: datetime
    until: datetime


def falling(now: datetime) -> list[Attention]:
    """What a person should know of them: the dimension with the deepest fall, its worst first.

    A processor that fails drags its channels and methods down, and those less than itself.
    """
    found = read_falls(now)
    return [_attention(fall) for fall in found if fall.dimension == found[0].dimension]


def read_falls(now: datetime) -> list[Fall]:
    """Falls of at least 10 points that chance does not explain, deepest first."""
    last = int(now.timestamp()) // _WINDOW_S * _WINDOW_S
    since = datetime.fromtimestamp(last - _WINDOW_S * (_RECENT_WINDOWS - 1), UTC)
    span = Span(
        name=CUSTOM, label="", since=since, step_s=_WINDOW_S, points=_RECENT_WINDOWS, now=now
    )
    recent, usual = _groups(span), _usual(span)
    falls = []
    for dimension, groups in recent.items():
        for name, outcomes in groups.items():
            before = usual[dimension].get(name, (0, 0))
            fall = _judge(dimension, name, outcomes, before, span)
            if fall:
                falls.append(fall)
    return sorted(falls, key=lambda fall: fall.success - fall.usual)


def _groups(span: Span) -> _Groups:
    return {PROCESSOR: read_processors(span), **read_payments(span).by}


def _usual(span: Span) -> dict[str, dict[str, tuple[int, int]]]:
    """Completed and decided payments of the day before, by dimension and name."""
    start = span.since.replace(minute=0) - _HOUR * _USUAL_HOURS
    key = f"overview.usual.{start.isoformat()}"
    usual: dict[str, dict[str, tuple[int, int]]] | None = cache.get(key)
    if usual is None:
        day = Span(
            name=CUSTOM, label="", since=start, step_s=3600, points=_USUAL_HOURS, now=span.now
        )
        usual = {
            dimension: {name: (sum(o.completed), o.decided) for name, o in groups.items()}
            for dimension, groups in _groups(day).items()
        }
        cache.set(key, usual, _KEEP_USUAL_S)
    return usual


def _judge(
    dimension: str, name: str, outcomes: Outcomes, before: tuple[int, int], span: Span
) -> Fall | None:
    """A fall, or none: `before` is completed and decided of the day before the span."""
    quiet = slice(0, -(_LOOKED_AT + _BETWEEN))
    completed = before[0] + sum(outcomes.completed[quiet])
    decided = before[1] + sum(outcomes.completed[quiet]) + sum(outcomes.failed[quiet])
    failed = sum(outcomes.failed[-_LOOKED_AT:])
    lately = failed + sum(outcomes.completed[-_LOOKED_AT:])
    if decided < _LEAST_USUAL or lately < _LEAST:
        return None
    share = completed / decided
    expected = lately * (1 - share)
    chance = _SIGMAS * math.sqrt(lately * share * (1 - share) + 1)
    success = 100 * (lately - failed) / lately
    if failed - expected < chance or 100 * share - success < _FALL:
        return None
    return Fall(
        dimension=dimension,
        name=name,
        success=success,
        usual=100 * share,
        failed=failed,
        decided=lately,
        since=span.starts[_begin(outcomes, (success + 100 * share) / 2)],
        until=span.until,
    )


def _begin(outcomes: Outcomes, middle: float) -> int:
    """The first of the last windows without interruption that lie under the middle."""
    begin = len(outcomes.completed) - 1
    for number in range(begin, -1, -1):
        success = outcomes.successes[number]
        if success is not None and success >= middle:
            break
        if success is not None:
            begin = number
    return begin


def _attention(fall: Fall) -> Attention:
    word, name = WORDS[fall.dimension], fall.name or "(none stated)"
    looked = fall.until - timedelta(seconds=_WINDOW_S * _LOOKED_AT)
    return Attention(
        kind="bad",
        icon="trending_down",
        title=f"{word} {name} succeeds in {percents(fall.success)}, usually {percents(fall.usual)}",
        text=f"{count(fall.failed)} of its last {count(fall.decided)} payments failed. "
        f"It began at about {timezone.localtime(fall.since):%H:%M}.",
        url=transactions(
            looked, fall.until, payment_status="failed", **{fall.dimension: fall.name}
        ),
        label=f"See the {count(fall.failed)} failures",
    )
