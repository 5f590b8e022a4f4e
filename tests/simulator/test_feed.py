"""The feed: paced, patient, and quick to stop."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from payflow.lib.errors import BackPressure, SourceUnavailable
from payflow.lib.publish.base import OutgoingMessage, Publisher
from simulator import feed
from simulator.answers import AnswerKey
from simulator.feed import Feed
from simulator.generator import Kind, SimulatedEvent
from simulator.patterns import Answer


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


def _events(rate: float = 200.0) -> Iterator[SimulatedEvent]:
    for number in itertools.count():
        kind = Kind.INVALID if number % 10 == 9 else Kind.VALID
        yield SimulatedEvent(kind, b"%d" % number, b"k", round(number * 1e6 / rate))


def _bodies(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def test_without_a_rate_it_goes_as_fast_as_it_can():
    """All of them, in order, counted by kind."""
    recorder = Recorder()
    run = Feed(recorder, stop=threading.Event(), say=pytest.fail)

    run.run(_events(), total=2_500, paced=False)

    assert recorder.bodies == _bodies(2_500)
    assert recorder.calls == 3
    assert run.sent == {Kind.VALID: 2_250, Kind.INVALID: 250}


def test_a_rate_is_kept():
    """100 events at 200 a second take half a second, not less."""
    recorder = Recorder()

    started = time.monotonic()
    Feed(recorder, stop=threading.Event(), say=pytest.fail).run(_events(), total=100, paced=True)

    assert 0.4 < time.monotonic() - started < 5
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

    run.run(_events(), total=10, paced=False)

    assert recorder.bodies == _bodies(10)
    assert said == ["full Waiting."]
    assert run.sent.total() == 10


@pytest.mark.parametrize("rate", [None, 0.01, 100.0])
def test_it_stops_at_once(rate: float | None):
    """Between two messages, whatever it was waiting for."""
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()

    started = time.monotonic()
    Feed(Recorder(), stop=stop, say=pytest.fail).run(
        _events(rate or 1.0), total=None, paced=rate is not None
    )

    assert time.monotonic() - started < 10  # the next message of the slow one is due in 100 s


def test_it_stops_while_it_waits(monkeypatch: pytest.MonkeyPatch):
    """A full stream does not keep the process alive; what was not sent is not counted."""
    monkeypatch.setattr(feed, "_FULL_S", 60)
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    run = Feed(Recorder(*[(0, BackPressure("full"))] * 1000), stop=stop, say=lambda _text: None)

    started = time.monotonic()
    run.run(_events(), total=None, paced=True)

    assert time.monotonic() - started < 10
    assert run.sent.total() == 0


def test_what_comes_between_is_called_at_least_each_batch():
    """Also while nothing is due and while the stream is full: that is how a run is told to stop."""
    calls: list[int] = []
    recorder = Recorder((0, BackPressure("full")))
    feed_ = Feed(
        recorder,
        stop=threading.Event(),
        say=lambda _text: None,
        batch=10,
        between=lambda: calls.append(recorder.calls),
    )

    feed_.run(_events(), total=50, paced=True)

    assert len(calls) >= 6
    assert 1 in calls


def test_the_answers_are_those_of_what_was_sent(tmp_path: Path):
    """An event that the stream has not taken has no line yet."""
    stop = threading.Event()
    answers = [_answer(number) for number in range(4)]
    events = [
        SimulatedEvent(Kind.VIOLATION, b"%d" % n, b"k", n, answer)
        for n, answer in enumerate(answers)
    ]
    recorder = Recorder((3, BackPressure("full")))

    with AnswerKey(tmp_path / "answers.jsonl") as key:
        run = Feed(recorder, stop=stop, say=lambda _text: stop.set(), answers=key)
        run.run(events, total=None, paced=False)

    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [line["transaction_id"] for line in lines] == ["tx-0", "tx-1", "tx-2"]
    assert lines[0] == {
        "transaction_id": "tx-0",
        "kind": "aml_structuring",
        "severity": "high",
        "pattern_id": "aml_structuring-1",
        "event": 1,
        "events": 4,
        "occurred_at": "1970-01-01T00:00:00.000000Z",
    }


def _answer(number: int) -> Answer:
    return Answer(
        transaction_id=f"tx-{number}",
        kind="aml_structuring",
        severity="high",
        pattern_id="aml_structuring-1",
        event=number + 1,
        events=4,
        occurred_us=number,
    )
