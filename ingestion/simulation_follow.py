"""The simulator process of an installation: it does what its row in `simulations` says.

Each second it

1. reports what it has sent and keeps the row, unless another living process follows it;
2. reads what is wanted now;
3. goes on, changes the rate, or ends the run so that the wanted one can begin.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models.functions import Now

from configuration.models import Source
from ingestion.simulation_model import Simulation
from ingestion.simulation_target import publisher_of, shape_of
from payflow.lib.errors import ConfigurationError, PayflowError, Problem
from simulator.answers import AnswerKey
from simulator.config import SimulatorConfig
from simulator.config_file import scenarios
from simulator.feed import Feed
from simulator.generator import Generator, Kind

_POLL_S = 1.0
#: answer keys that are kept, the newest ones
_KEPT_KEYS = 5
_PROBLEM_LENGTH = 512
_IDLE: dict[str, Any] = {"started_at": None, "rate_now": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a row wants; a change of anything but the rate needs another run."""

    revision: int
    is_wanted: bool
    scenario: str
    rate: float
    source: Source

    def is_same_run(self, other: Wish) -> bool:
        """Whether a run of the other does what this one wants, at another rate perhaps."""
        return (self.is_wanted, self.scenario, self.source.pk) == (
            other.is_wanted,
            other.scenario,
            other.source.pk,
        )


@dataclass(slots=True)
class _Run:
    """The run in progress."""

    wish: Wish
    config: SimulatorConfig
    generator: Generator
    ended: threading.Event
    feed: Feed | None = None
    #: messages sent when the figures were reported last, and when that was
    reported: int = 0
    reported_at: float = 0.0


class Follower:
    """Follows one row until `stop` is set."""

    def __init__(self, name: str, *, stop: threading.Event, say: Callable[[str], None]) -> None:
        """`say` gets what a person should know, one line at a time."""
        self._name = name
        self._stop = stop
        self._say = say
        self._owner = f"{socket.gethostname()}:{os.getpid()}"
        self._wish: Wish | None = None
        self._database_is_away = False

    def run(self) -> None:
        """What cannot be begun is reported and waits until something else is wanted."""
        refused: Wish | None = None
        while not self._stop.is_set():
            wish = self._look({})
            if wish is None or not wish.is_wanted or wish == refused:
                self._take_note(wish)
                self._stop.wait(_POLL_S)
                continue
            try:
                self._simulate(wish)
                refused = None
            except ConfigurationError as exc:
                refused = wish
                self._report_problem(str(exc))
            except PayflowError as exc:  # the streams are away: they are tried again
                self._report_problem(str(exc))
                self._stop.wait(_POLL_S)
        self._look({**_IDLE, "owner": ""})

    def _simulate(self, wish: Wish) -> None:
        config = _scenario(wish.scenario)
        start = datetime.now(UTC)
        generator = Generator(
            config,
            shape=config.shape or shape_of(wish.source),
            seed=secrets.randbits(63) if config.seed is None else config.seed,
            start=start,
            rate=wish.rate,
        )
        run = _Run(wish, config, generator, threading.Event(), reported_at=time.monotonic())
        with publisher_of(wish.source) as publisher, _answer_key(config, start) as answers:
            self._look(
                {
                    **_figures({}),
                    "started_at": start,
                    "rate_now": 0.0,
                    "done_revision": wish.revision,
                    "problem": "",
                    "answer_key": str(answers.path) if answers else "",
                }
            )
            run.feed = Feed(
                publisher,
                stop=run.ended,
                say=self._report_problem,
                answers=answers,
                between=lambda: self._between(run),
            )
            try:
                run.feed.run(generator, total=None, paced=True)
            finally:
                self._look(_figures(run.feed.sent) | _IDLE)

    def _between(self, run: _Run) -> None:
        """Report and obey, if it is time; ends the run when another one is wanted."""
        if self._stop.is_set():
            run.ended.set()
        now = time.monotonic()
        passed_s = now - run.reported_at
        if passed_s < run.config.metrics.publish_interval_seconds or run.feed is None:
            return
        total = run.feed.sent.total()
        report: dict[str, Any] = _figures(run.feed.sent)
        report["rate_now"] = (total - run.reported) / passed_s
        if total > run.reported:
            report["problem"] = ""
        run.reported, run.reported_at = total, now
        wish = self._look(report)
        if wish is None or not wish.is_same_run(run.wish):
            run.ended.set()
        elif wish.revision != run.wish.revision:
            self._change(run, wish)

    def _change(self, run: _Run, wish: Wish) -> None:
        """Go on at the rate that is wanted now."""
        note: dict[str, Any] = {"done_revision": wish.revision}
        try:
            run.generator.change(run.config, rate=wish.rate)
        except ConfigurationError as exc:
            note["problem"] = str(exc)[:_PROBLEM_LENGTH]
        run.wish = wish
        self._look(note)

    def _take_note(self, wish: Wish | None) -> None:
        """Nothing is to run: say so on the page."""
        if wish is not None and not wish.is_wanted:
            self._look({**_IDLE, "done_revision": wish.revision, "problem": ""})

    def _report_problem(self, text: str) -> None:
        self._say(text)
        note = {"problem": text[:_PROBLEM_LENGTH]}
        if self._wish is not None:
            note |= {"done_revision": self._wish.revision}  # type: ignore[dict-item]
        self._look(note)

    def _look(self, report: dict[str, Any]) -> Wish | None:
        """Report, stay the row's owner, and read what is wanted.

        None when the row is gone or another process follows it. While the database is away, what
        was wanted last is wanted still.
        """
        try:
            rows = Simulation.objects.filter(name=self._name)
            fields = {"owner": self._owner, "seen_at": Now(), **report}
            if not rows.mine_or_free(self._owner).update(**fields):
                self._wish = None
                return None
            row = rows.select_related("source").get()
        except DatabaseError as exc:
            connection.close()
            if not self._database_is_away:
                self._say(f"The database is away ({type(exc).__name__}); going on as before.")
            self._database_is_away = True
            return self._wish
        self._database_is_away = False
        self._wish = Wish(
            revision=row.revision,
            is_wanted=row.is_wanted,
            scenario=row.scenario,
            rate=row.rate,
            source=row.source,
        )
        return self._wish


def _scenario(name: str) -> SimulatorConfig:
    known = scenarios()
    if name not in known:
        message = f"there is no scenario {name}; there are: {', '.join(known)}."
        raise ConfigurationError(Problem(pointer="/scenario", message=message))
    return known[name]


def _figures(sent: dict[Kind, int]) -> dict[str, Any]:
    return {
        "published": sum(sent.values()),
        "invalid": sent.get(Kind.INVALID, 0),
        "duplicates": sent.get(Kind.DUPLICATE, 0),
        "violations": sent.get(Kind.VIOLATION, 0),
    }


@contextmanager
def _answer_key(config: SimulatorConfig, start: datetime) -> Iterator[AnswerKey | None]:
    """A file of its own for each run that has violations; old ones go."""
    if not config.compliance.planned():
        yield None
        return
    directory = Path(settings.STATE_DIR) / "simulator"
    directory.mkdir(parents=True, exist_ok=True)
    for old in sorted(directory.glob("answers-*.jsonl"))[: -(_KEPT_KEYS - 1)]:
        old.unlink(missing_ok=True)
    with AnswerKey(directory / f"answers-{start:%Y%m%dT%H%M%S}.jsonl") as answers:
        yield answers
