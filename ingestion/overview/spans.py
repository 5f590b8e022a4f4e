"""The range of time that the overview shows, as it stands in its address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from django.utils import timezone
from django.utils.dateparse import parse_datetime

#: name in the address -> label, seconds per point, points
RANGES: Final[Mapping[str, tuple[str, int, int]]] = {
    "now": ("Now", 300, 6),
    "1h": ("1 h", 300, 12),
    "24h": ("24 h", 900, 96),
    "7d": ("7 d", 3600, 168),
}
DEFAULT: Final = "1h"
CUSTOM: Final = "custom"
_STEPS: Final = (300, 900, 3600, 21_600, 86_400)
_MOST_POINTS: Final = 170
LONGEST: Final = timedelta(days=366)
SHORTEST: Final = timedelta(minutes=5)


class BadRangeError(ValueError):
    """The range in the address cannot be shown; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Whole steps from `since`; the last one of a live range is still being filled at `now`.

    All times are UTC. `until` is the end of the last step; nothing is later than `now`.
    """

    name: str
    label: str
    since: datetime
    step_s: int
    points: int
    now: datetime

    @property
    def step(self) -> timedelta:
        return timedelta(seconds=self.step_s)

    @property
    def until(self) -> datetime:
        return self.since + self.step * self.points

    @property
    def is_live(self) -> bool:
        """Whether it follows the clock."""
        return self.name != CUSTOM

    @property
    def starts(self) -> list[datetime]:
        return [self.since + self.step * number for number in range(self.points)]

    @property
    def seconds(self) -> float:
        """How much of it has passed."""
        return (min(self.until, self.now) - self.since).total_seconds()

    @property
    def filled(self) -> float:
        """Share of the last step that has passed."""
        passed = self.now - (self.until - self.step)
        return min(1.0, max(0.0, passed / self.step))

    def before(self, ago: timedelta) -> Span:
        """The same stretch of an earlier day."""
        return replace(self, since=self.since - ago, now=self.now - ago)

    def query(self) -> dict[str, str]:
        """Its part of an address."""
        if self.is_live:
            return {"range": self.name}
        local = timezone.localtime
        return {
            "from": f"{local(self.since):%Y-%m-%dT%H:%M}",
            "to": f"{local(self.until):%Y-%m-%dT%H:%M}",
        }


def read_span(params: Mapping[str, str], *, now: datetime) -> Span:
    """The range that an address names: `range`, or `from` and `to` in the local zone.

    Raises:
        BadRangeError: It is unknown, no time, upside down, in the future or longer than a year.
    """
    now = now.astimezone(UTC)
    if params.get("from") or params.get("to"):
        return _custom(_moment(params, "from"), _moment(params, "to"), now=now)
    name = params.get("range") or DEFAULT
    if name not in RANGES:
        raise BadRangeError(f"There is no range {name[:20]!r}.")
    label, step_s, points = RANGES[name]
    current = _floor(now, step_s)
    since = current - timedelta(seconds=step_s) * (points - 1)
    return Span(name=name, label=label, since=since, step_s=step_s, points=points, now=now)


def _moment(params: Mapping[str, str], name: str) -> datetime:
    text = params.get(name, "")
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise BadRangeError(f"{name!r} is no date with a time: {text[:30]!r}.")
    try:
        aware = moment if timezone.is_aware(moment) else timezone.make_aware(moment)
        return aware.astimezone(UTC)
    except OverflowError as exc:
        raise BadRangeError(f"{name!r} is too far away: {text[:30]!r}.") from exc


def _custom(since: datetime, until: datetime, *, now: datetime) -> Span:
    if until <= since:
        raise BadRangeError("The end of the range is not after its begin.")
    if until - since > LONGEST:
        raise BadRangeError("A range may be 366 days long at most.")
    if since > now:
        raise BadRangeError("The range begins in the future.")
    length = max(until - since, SHORTEST).total_seconds()
    step_s = next((s for s in _STEPS if length / s <= _MOST_POINTS), _STEPS[-1])
    first = _floor(since, step_s)
    points = -int(-(until - first).total_seconds() // step_s)
    return Span(name=CUSTOM, label="", since=first, step_s=step_s, points=points, now=now)


def _floor(moment: datetime, step_s: int) -> datetime:
    seconds = int(moment.timestamp())
    return datetime.fromtimestamp(seconds - seconds % step_s, UTC)


def address(span: Span, **more: str) -> str:
    """The overview's own address for a range, and what else is chosen."""
    return f"?{urlencode({**span.query(), **{k: v for k, v in more.items() if v}})}"
