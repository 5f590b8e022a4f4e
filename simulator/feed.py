"""Sends a stream of events to a publisher, at their own pace or as fast as it goes."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from payflow.lib.errors import BackPressure, SourceUnavailable
from payflow.lib.publish.base import OutgoingMessage, Publisher
from simulator.answers import AnswerKey
from simulator.generator import Kind, SimulatedEvent

BATCH = 1_000
_TICK_S = 0.05
#: seconds between attempts
_FULL_S = 0.1
_AWAY_S = 0.5


class Feed:
    """One run; `stop` ends it within a fraction of a second, between two messages."""

    def __init__(
        self,
        publisher: Publisher,
        *,
        stop: threading.Event,
        say: Callable[[str], None],
        answers: AnswerKey | None = None,
        batch: int = BATCH,
        limit: float | None = None,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """At most `batch` events at once and `limit` a second.

        `between` is called before each batch, and often while there is none to send.
        """
        self._publisher = publisher
        self._stop = stop
        self._say = say
        self._answers = answers
        self._batch = batch if limit is None else max(1, min(batch, int(limit * _TICK_S)))
        self._limit = limit
        self._begin = time.monotonic()
        self._between = between
        #: what was sent, by kind
        self.sent: Counter[Kind] = Counter()

    def run(self, events: Iterable[SimulatedEvent], *, total: int | None, paced: bool) -> None:
        """Send `total` events, or without end; each at its time, or without pause.

        The first event is due at once, every other one as long after it as its time says. Whoever
        falls behind (the stream is full or away) catches up without pause: producers keep what
        they could not send. Raises BrokenPipeError when nobody reads standard output.
        """
        stream = itertools.islice(events, total)
        self._begin = time.monotonic()
        if paced:
            self._run_paced(stream)
            return
        while not self._stop.is_set():
            self._between()
            chunk = list(itertools.islice(stream, self._batch))
            if not chunk:
                return
            self._send(chunk)

    def _run_paced(self, stream: Iterator[SimulatedEvent]) -> None:
        waiting = next(stream, None)
        if waiting is None:
            return
        begin, begin_us = time.monotonic(), waiting.at_us
        while waiting is not None and not self._stop.is_set():
            self._between()
            due_us = begin_us + int((time.monotonic() - begin) * 1e6)
            chunk: list[SimulatedEvent] = []
            while waiting is not None and waiting.at_us <= due_us and len(chunk) < self._batch:
                chunk.append(waiting)
                waiting = next(stream, None)
            self._send(chunk)
            if len(chunk) < self._batch:
                self._stop.wait(_TICK_S)

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
            self._count(chunk[:done])
            chunk = chunk[done:]
            if self._limit is not None:
                ahead_s = self._begin + self.sent.total() / self._limit - time.monotonic()
                self._stop.wait(max(0.0, ahead_s))
            if wait_s:
                self._between()
                self._stop.wait(wait_s)

    def _count(self, sent: list[SimulatedEvent]) -> None:
        self.sent.update([event.kind for event in sent])
        if self._answers is not None:
            self._answers.write([event.answer for event in sent if event.answer is not None])
