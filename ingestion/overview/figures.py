"""Numbers beside the same numbers of an earlier day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from payflow.lib.pages.display import DASH, MINUS

_UP: Final = "\N{BLACK UP-POINTING TRIANGLE}"
_DOWN: Final = "\N{BLACK DOWN-POINTING TRIANGLE}"
#: a change is coloured when it is for the worse and at least so large, in its own unit
_BAD_PERCENT: Final = 25.0
_BAD_POINTS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A change: a triangle and the word that says it, the amount, and whether it is bad."""

    text: str
    against: str = ""
    sign: str = ""
    word: str = ""
    kind: str = ""


def percents(value: float | None) -> str:
    """`83.6 %` of a value in percent; two decimals below one, an en dash for unknown."""
    if value is None:
        return DASH
    return f"{value:.2f} %" if 0 < value < 1 else f"{value:.1f} %"


def in_points(now: float | None, before: float | None, *, against: str = "") -> Delta:
    """The difference of two percents; a fall of two points is bad."""
    if now is None or before is None:
        return Delta(text=DASH, against=against)
    change = round(now - before, 1)
    return _delta(f"{abs(change):.1f} pt", change, against, is_bad=change <= -_BAD_POINTS)


def in_percent(now: float, before: float, *, against: str = "", more_is: str = "") -> Delta:
    """How much more or less; `more_is="bad"` colours a rise of a quarter.

    Unknown where there was nothing before: no share of zero.
    """
    if not before:
        return Delta(text=DASH, against=against)
    change = 100 * (now - before) / before
    text = f"{abs(change):,.1f} %" if abs(change) < 1000 else "10 times and more"
    return _delta(text, change, against, is_bad=more_is == "bad" and change >= _BAD_PERCENT)


def in_count(now: int, before: float, *, against: str = "", more_is: str = "") -> Delta:
    """The difference of two counts; `more_is="bad"` colours a rise of a quarter or from nothing."""
    change = now - round(before)
    is_bad = more_is == "bad" and change > 0 and change >= before * _BAD_PERCENT / 100
    return _delta(f"{abs(change):,}", change, against, is_bad=is_bad)


def in_ms(now: float | None, before: float | None, *, against: str = "") -> Delta:
    """The difference of two times in milliseconds; twice as slow is bad."""
    if now is None or before is None:
        return Delta(text=DASH, against=against)
    change = round(now - before)
    return _delta(f"{abs(change):,} ms", change, against, is_bad=now > 2 * before + 50)


def _delta(amount: str, change: float, against: str, *, is_bad: bool) -> Delta:
    if not change or not any(digit in amount for digit in "123456789"):
        return Delta(text="same", against=against, sign="=", word="")
    up = change > 0
    return Delta(
        text=f"{'+' if up else MINUS}{amount}",
        against=against,
        sign=_UP if up else _DOWN,
        word="up" if up else "down",
        kind="bad" if is_bad else "",
    )


def so_far(steps: Sequence[float], filled: float) -> float:
    """The sum over steps of which the last counts by the share that has passed elsewhere."""
    return sum(steps[:-1]) + steps[-1] * filled if steps else 0.0
