"""Axes of charts: where they begin and end, which steps they name, how their numbers read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone
from django.utils.text import slugify

from payflow.lib.pages.display import DASH, MINUS

_TICK_MINUTES: Final = (1, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1440, 2880, 10_080, 43_200)
_MOST_TICKS: Final = 8
#: units that stand at each name of a value axis; of others there is no room for
_ON_AXIS: Final = frozenset({"%", "s", "min"})
#: units of spans, which tenths are exact enough for
_SPANS: Final = frozenset({"s", "min"})


@dataclass(frozen=True, slots=True)
class Scale:
    """A value axis: its ends, and the values that it names, lowest first."""

    low: float
    high: float
    ticks: Sequence[float]

    def place(self, value: float) -> float:
        """Where a value lies, from the top: 0 is the upper end, 1000 the lower."""
        return 1000 * (1 - (value - self.low) / (self.high - self.low))


@dataclass(frozen=True, slots=True)
class Tick:
    """A name under a time axis: `at` is its place between 0 and 1."""

    at: float
    text: str


def value_scale(values: Sequence[float], *, unit: str, floor: float | None) -> Scale:
    """At most six round steps around the values.

    It begins at zero, or with `floor` there: values that move little high above zero would else be
    one flat line. Values under it widen it. Percents of at most 100 end at 100.
    """
    lowest = min([*values, 0.0 if floor is None else floor])
    highest = max(values, default=lowest)
    # where nothing is above zero, from 0 to 1: no steps that are only made of decimals
    widest = max(highest - lowest, abs(highest) * 1e-3) or 5.0
    step = _round_step(max(widest, 1e-6) / 5)
    first = math.floor(lowest / step + 1e-9)
    last = max(first + 1, math.ceil(highest / step - 1e-9))
    if unit == "%" and highest <= 100 < last * step:
        last = math.floor(100 / step + 1e-9)
        first = min(first, last - 1)
    ticks = [number * step for number in range(first, last + 1)]
    return Scale(ticks[0], ticks[-1], ticks)


def _round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten, at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * 0.999)


def value_text(value: float | None, unit: str = "") -> str:
    """`83.6 %`, `1,204 ms`, `0.8 s`, `12.5`: what counts of it, an en dash for unknown."""
    if value is None:
        return DASH
    if unit == "%":
        digits = 2 if 0 < abs(value) < 1 else 1
    elif unit in _SPANS and abs(value) >= 0.1:
        digits = 1 if abs(value) < 10 else 0
    elif value == int(value) or abs(value) >= 100:
        digits = 0
    else:
        digits = 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    text = f"{value:,.{digits}f}".replace("-", MINUS)
    return f"{text} {unit}" if unit else text


def tick_text(value: float, scale: Scale, unit: str) -> str:
    """A name of a value axis: as many decimals as its steps need, no more."""
    step = scale.ticks[1] - scale.ticks[0]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if abs(value) >= 10_000:
        value, letter = (value / 1e6, "M") if scale.high >= 1e7 else (value / 1e3, "k")
        digits = 1 if value != int(value) else 0
        return f"{value:,.{digits}f}{letter}".replace("-", MINUS)
    text = f"{value:,.{digits}f}".replace("-", MINUS)
    return f"{text} {unit}" if unit in _ON_AXIS else text


def time_ticks(since: datetime, until: datetime) -> list[Tick]:
    """At most nine round local times between two moments: `14:30`, or `18 Nov` from a day on."""
    length = until - since
    minutes = next(
        (m for m in _TICK_MINUTES if length <= timedelta(minutes=m) * _MOST_TICKS),
        _TICK_MINUTES[-1],
    )
    start = timezone.localtime(since)
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    into = (start - midnight) // timedelta(minutes=minutes)
    ticks = []
    moment = midnight + timedelta(minutes=minutes) * into
    while moment < until:
        if moment >= since:
            # wall-clock arithmetic: a day with a change of the clock still has midnight at 00:00
            at = (moment - since) / length
            day = minutes >= 1440 or (minutes >= 180 and not moment.hour and not moment.minute)
            ticks.append(Tick(at, f"{moment.day} {moment:%b}" if day else f"{moment:%H:%M}"))
        moment += timedelta(minutes=minutes)
    return ticks


def interval_text(start: datetime, step_s: int) -> str:
    """The name of an interval: `14:05` today, `18 Nov 14:05` of another day, `18 Nov` for a day."""
    local = timezone.localtime(start)
    day = f"{local.day} {local:%b}"
    if step_s >= 86_400:
        return day
    today = timezone.localtime().date() == local.date()
    return f"{local:%H:%M}" if today else f"{day} {local:%H:%M}"


def chart_id(label: str) -> str:
    """The same on every look, so that the keyboard's place outlives a live refresh."""
    return f"chart-{slugify(label)}"


def span_of_time(since: datetime, until: datetime) -> str:
    """`Fri 20 Nov, 08:30 - 14:32`: two local times, the day once where it is the same."""
    low, high = timezone.localtime(since), timezone.localtime(until)
    first = f"{low:%a} {low.day} {low:%b}, {low:%H:%M}"
    last = f"{high:%H:%M}"
    if low.date() != high.date():
        last = f"{high:%a} {high.day} {high:%b}, {last}"
    return f"{first} {DASH} {last}"
