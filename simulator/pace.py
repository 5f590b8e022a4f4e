"""When events take place: a rate that follows the hour of the day and has spikes."""

from __future__ import annotations

from bisect import bisect
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from simulator.config import Spike, TemporalConfig

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE_US = 60_000_000
#: ends of the parts of a day, in hours: night, business hours, evening, night
_ENDS = (8, 18, 23)


class Pace:
    """The time of one event after the other, in microseconds since 1970 UTC."""

    def __init__(self, *, start_us: int, rate: float, temporal: TemporalConfig) -> None:
        self._start_us = start_us
        #: all events since the last change of the factor lie a multiple of the interval after it
        self._base_us, self._number = start_us, 0
        self.change(rate=rate, temporal=temporal)

    def change(self, *, rate: float, temporal: TemporalConfig) -> None:
        """From the next event on."""
        self._rate, self._temporal = rate, temporal
        hours = {temporal.business_hours, temporal.evening, temporal.night, temporal.weekend}
        self._is_flat = hours == {1} and not temporal.spikes
        self._zones = [
            (ZoneInfo(name), share) for name, share in temporal.timezone_distribution.items()
        ]
        self._rebase(self._now() if self._number else self._base_us)

    def next(self) -> int:
        """The next event's time."""
        now_us = self._now()
        if now_us >= self._until_us:
            self._rebase(now_us)
        self._number += 1
        return now_us

    @property
    def per_second(self) -> float:
        """Events a second of event time, now."""
        return 1e6 / self._interval_us

    def _now(self) -> int:
        return self._base_us + round(self._number * self._interval_us)

    def _rebase(self, now_us: int) -> None:
        self._base_us, self._number = now_us, 0
        if self._is_flat:
            self._interval_us, self._until_us = 1e6 / self._rate, 1 << 62
            return
        self._interval_us = 1e6 / (self._rate * self._factor(now_us))
        edges = [now_us + _MINUTE_US - now_us % _MINUTE_US]
        edges += [self._next_edge(spike, now_us) for spike in self._temporal.spikes]
        self._until_us = min(edges)

    def _factor(self, now_us: int) -> float:
        moment = _EPOCH + timedelta(microseconds=now_us)
        factor = sum(share * self._of_hour(moment.astimezone(zone)) for zone, share in self._zones)
        for spike in self._temporal.spikes:
            if self._within(spike, now_us) < round(spike.duration_seconds * 1e6):
                factor *= spike.factor
        return factor

    def _of_hour(self, local: datetime) -> float:
        temporal = self._temporal
        part = bisect(_ENDS, local.hour)
        if part in (0, 3):
            return temporal.night
        if local.weekday() >= 5:
            return temporal.weekend
        return temporal.business_hours if part == 1 else temporal.evening

    def _within(self, spike: Spike, now_us: int) -> int:
        """Microseconds since the spike began (the last time); a long time before the first."""
        since_us = now_us - self._start_us - round(spike.after_seconds * 1e6)
        if since_us < 0:
            return 1 << 62
        return since_us % round(spike.every_seconds * 1e6) if spike.every_seconds else since_us

    def _next_edge(self, spike: Spike, now_us: int) -> int:
        within_us = self._within(spike, now_us)
        if within_us == 1 << 62:
            return self._start_us + round(spike.after_seconds * 1e6)
        ends = [round(spike.duration_seconds * 1e6)]
        if spike.every_seconds:
            ends.append(round(spike.every_seconds * 1e6))
        return min((now_us - within_us + end for end in ends if end > within_us), default=1 << 62)
