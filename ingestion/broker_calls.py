"""The calls to one broker, in a thread of their own: a broker that hangs holds up nobody else.

The drainer's thread begins calls and settles those that have ended; it never waits for a broker.
Calls run one after the other, in the order in which they were begun: a consumer need not be
thread-safe, and what is begun behind `release()` sees the partition released.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

logger = logging.getLogger(__name__)


class Call:
    """One call: what was asked when, and how it ended."""

    __slots__ = ("_function", "_then", "began_at", "error", "has_ended", "number", "result")

    def __init__(
        self, function: Callable[[], Any], then: Callable[[Call], None], *, number: int
    ) -> None:
        self.number = number
        self.began_at = time.monotonic()
        self.result: Any = None
        self.error: BaseException | None = None
        self.has_ended = False
        self._function = function
        self._then = then

    def run(self) -> None:
        """In the broker's thread."""
        try:
            self.result = self._function()
        except BaseException as exc:  # noqa: BLE001  whoever began the call judges it
            self.error = exc
        self.has_ended = True

    def settle(self) -> None:
        """In the thread that began it."""
        self._then(self)


class BrokerCalls:
    """Begins calls, and hands over what came of them; for one thread that begins and settles."""

    def __init__(self, name: str, *, wake: threading.Event) -> None:
        """`wake` is set each time that a call ends."""
        self._name = name
        self._wake = wake
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        #: calls that were not settled yet, by what they are for
        self._begun: dict[str, Call] = {}
        self._number = 0
        self._running_since: float | None = None

    def begin(self, what: str, function: Callable[[], Any], *, then: Callable[[Call], None]) -> int:
        """Call `function` there, and later `then` here; returns the number of the call.

        Of each `what` one is under way at most: its number when it is.
        """
        if what in self._begun:
            return self._begun[what].number
        self._number += 1
        call = Call(function, then, number=self._number)
        self._begun[what] = call
        self._put(call.run)
        return call.number

    def post(self, function: Callable[[], None]) -> None:
        """Call `function` there; nobody waits for its end."""

        def run() -> None:
            try:
                function()
            except Exception as exc:  # such functions do not raise; the thread must live on
                logger.exception(
                    "a call to a broker failed",
                    extra={"action": "broker_call_failed", "error": type(exc).__name__},
                )

        self._put(run)

    def do(self, function: Callable[[], None], *, patience_s: float) -> None:
        """The same, and wait until it has ended, for so many seconds at most."""
        ended = threading.Event()
        self.post(function)
        self._put(ended.set)
        ended.wait(patience_s)

    def settle(self) -> bool:
        """Hand over, in their order, the calls that have ended; whether there were any.

        What a handler raises leaves the later ones for the next time; once a handler has called
        `end()` nobody wants them.
        """
        ended = sorted(
            ((what, call) for what, call in self._begun.items() if call.has_ended),
            key=lambda pair: pair[1].number,
        )
        for what, call in ended:
            if self._begun.get(what) is call:
                del self._begun[what]
                call.settle()
        return bool(ended)

    def is_under_way(self, what: str) -> bool:
        """Whether such a call was begun and not settled."""
        return what in self._begun

    @property
    def silent_s(self) -> float:
        """Seconds since which the broker has left the running call without an answer."""
        since = self._running_since
        return 0.0 if since is None else time.monotonic() - since

    def end(self) -> None:
        """Let the thread end once everything before has run; nothing more is settled."""
        self._begun.clear()
        self._queue.put(None)

    def join(self, *, until: float) -> None:
        """Wait for that, up to a monotonic time; a broker that hangs is left to the system."""
        if self._thread is not None:
            self._thread.join(max(0.0, until - time.monotonic()))

    def _put(self, function: Callable[[], None]) -> None:
        if self._thread is None:
            # daemon: a broker that never answers must not keep the process from ending
            self._thread = threading.Thread(
                target=self._run, name=f"broker {self._name}", daemon=True
            )
            self._thread.start()
        self._queue.put(function)

    def _run(self) -> None:
        while (function := self._queue.get()) is not None:
            self._running_since = time.monotonic()
            function()
            self._running_since = None
            self._wake.set()
