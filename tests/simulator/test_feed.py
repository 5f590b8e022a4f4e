"""The feed: paced, patient, and quick to stop."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from payflow.lib.errors import BackPressure, SourceUnavailable
from payflow.lib.publish.base import OutgoingMessage, Publisher
from simulator import feed
from simulator.feed import Feed
from simulator.generator import Kind, SimulatedEvent


class Recorder(Publisher):
    """Takes messages, or fails as it is told: an entry a call, (messages taken, error)."""

    def __init__(self, *plan: tuple[int, Exception]) -> None:
        self.bodies: list[bytes] = []
        self.calls = 0
        self._plan = list(plan)

    def connect(self) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Nothing to close."""

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        self.calls += 1
        taken, error = self._plan.pop(0) if self._plan else (len(messages), None)
        self.bodies += [message.body for message in messages[:taken]]
        self.published += taken
        if error is not None:
            raise error


def _events() -> Iterator[SimulatedEvent]:
    for number in itertools.count():
        kind = Kind.INVALID if number % 10 == 9 else Kind.VALID
        yield SimulatedEvent(kind=kind, body=b"%d" % number, key=b"k")


def _bodies(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def test_without_a_rate_it_goes_as_fast_as_it_can():
    """All of them, in order, counted by kind."""
    recorder = Recorder()
    run = Feed(recorder, stop=threading.Event(), say=pytest.fail)

    run.run(_events(), count=2_500, rate=None)

    assert recorder.bodies == _bodies(2_500)
    assert recorder.calls == 3
    assert run.sent == {Kind.VALID: 2_250, Kind.INVALID: 250}


def test_a_rate_is_kept():
    """100 events at 200 a second take half a second, not less."""
    recorder = Recorder()

    started = time.monotonic()
    Feed(recorder, stop=threading.Event(), say=pytest.fail).run(_events(), count=100, rate=200)

    assert 0.4 < time.monotonic() - started < 2
    assert recorder.calls > 5
    assert recorder.bodies == _bodies(100)


def test_it_waits_while_the_stream_is_full_or_away(monkeypatch: pytest.MonkeyPatch):
    """Says so once a time, goes on behind what was taken, and sends nothing twice."""
    monkeypatch.setattr(feed, "_FULL_S", 0.01)
    monkeypatch.setattr(feed, "_AWAY_S", 0.01)
    recorder = Recorder(
        (3, BackPressure("full")), (0, BackPressure("full")), (2, SourceUnavailable("away"))
    )
    said: list[str] = []
    run = Feed(recorder, stop=threading.Event(), say=said.append)

    run.run(_events(), count=10, rate=None)

    assert recorder.bodies == _bodies(10)
    assert said == ["full Waiting."]
    assert run.sent.total() == 10


@pytest.mark.parametrize("rate", [None, 0.01, 100.0])
def test_it_stops_at_once(rate: float | None):
    """Between two messages, whatever it was waiting for."""
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()

    started = time.monotonic()
    Feed(Recorder(), stop=stop, say=pytest.fail).run(_events(), count=None, rate=rate)

    assert time.monotonic() - started < 0.6


def test_it_stops_while_it_waits():
    """A full stream does not keep the process alive; what was not sent is not counted."""
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    run = Feed(Recorder(*[(0, BackPressure("full"))] * 1000), stop=stop, say=lambda _text: None)

    started = time.monotonic()
    run.run(_events(), count=None, rate=100)

    assert time.monotonic() - started < 0.6
    assert run.sent.total() == 0


def test_progress_is_said_now_and_then(monkeypatch: pytest.MonkeyPatch):
    """Total and rate since the last time."""
    monkeypatch.setattr(feed, "_PROGRESS_S", 0.2)
    said: list[str] = []

    Feed(Recorder(), stop=threading.Event(), say=said.append).run(
        _events(), count=100, rate=200, progress=True
    )

    assert 1 <= len(said) <= 3
    assert "events sent" in said[0]
