"""Sends a stream of events to a publisher, at a rate or as fast as it goes."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable

from payflow.lib.errors import BackPressure, SourceUnavailable
from payflow.lib.publish.base import OutgoingMessage, Publisher
from simulator.generator import Kind, SimulatedEvent

CHUNK = 1_000
_TICK_S = 0.05
#: seconds between attempts
_FULL_S = 0.1
_AWAY_S = 0.5
_PROGRESS_S = 10.0


class Feed:
    """One run; `stop` ends it within a fraction of a second, between two messages."""

    def __init__(
        self, publisher: Publisher, *, stop: threading.Event, say: Callable[[str], None]
    ) -> None:
        self._publisher = publisher
        self._stop = stop
        self._say = say
        #: what was sent, by kind
        self.sent: Counter[Kind] = Counter()
        self._said_at = 0.0
        self._said_sent = 0

    def run(
        self,
        events: Iterable[SimulatedEvent],
        *,
        count: int | None,
        rate: float | None,
        progress: bool = False,
    ) -> None:
        """Send `count` events, or without end; `rate` events a second, or without pause.

        Whoever falls behind (the stream is full or away) catches up without pause: producers keep
        what they could not send. Raises BrokenPipeError when nobody reads standard output.
        """
        stream = iter(events)
        begin = self._said_at = time.monotonic()
        taken = 0
        while not self._stop.is_set() and taken != count:
            due = CHUNK if count is None else min(CHUNK, count - taken)
            if rate is not None:
                due = min(due, int((time.monotonic() - begin) * rate) + 1 - taken)
            if due > 0:
                self._send(list(itertools.islice(stream, due)))
                taken += due
            if progress:
                self._report()
            if rate is not None and due < CHUNK:
                self._stop.wait(max(_TICK_S, 1 / rate))

    def _send(self, chunk: list[SimulatedEvent]) -> None:
        """All of them, however long the stream is full or away; fewer when stopped."""
        said = False
        while chunk and not self._stop.is_set():
            before = self._publisher.published
            wait_s = 0.0
            try:
                self._publisher.publish([OutgoingMessage(body=e.body, key=e.key) for e in chunk])
            except (BackPressure, SourceUnavailable) as exc:
                wait_s = _FULL_S if isinstance(exc, BackPressure) else _AWAY_S
                if not said:
                    self._say(f"{exc} Waiting.")
                    said = True
            done = self._publisher.published - before
            self.sent.update(event.kind for event in chunk[:done])
            chunk = chunk[done:]
            self._stop.wait(wait_s)

    def _report(self) -> None:
        now = time.monotonic()
        if now < self._said_at + _PROGRESS_S:
            return
        total = self.sent.total()
        rate = (total - self._said_sent) / (now - self._said_at)
        self._say(f"{total:,} events sent, {rate:,.0f}/s.")
        self._said_at, self._said_sent = now, total
