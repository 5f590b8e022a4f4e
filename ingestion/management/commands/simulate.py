"""manage.py simulate --source NAME | --out FILE: realistic payment events, from a seed."""

from __future__ import annotations

import secrets
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from configuration.models import Source
from ingestion.simulation_follow import Follower
from ingestion.simulation_model import Simulation
from ingestion.simulation_options import events_of, shipped, with_options
from ingestion.simulation_target import publisher_of, publisher_to, shape_of
from payflow.lib.errors import ConfigurationError, PayflowError
from payflow.lib.publish.base import Publisher
from simulator.answers import AnswerKey
from simulator.config import Shape, SimulatorConfig
from simulator.config_file import WatchedFile, scenarios
from simulator.feed import Feed
from simulator.generator import Generator, Kind
from simulator.report import Report

#: how often a configuration file is looked at
_WATCH_S = 1.0


class Command(BaseCommand):
    help = (
        "Send simulated payment events to a source at a steady rate, or write them to a file as "
        "fast as it goes. The same seed, start and configuration give the same bytes."
    )

    #: a file needs no servers; with a source they are checked when it is read
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--config", type=Path, metavar="FILE", help="a YAML file; watched")
        what.add_argument("--scenario", help=f"a shipped one: {', '.join(scenarios())}")
        parser.add_argument("--source", help="send to this source; optional with --out")
        parser.add_argument("--out", metavar="FILE", help="write NDJSON there instead; - is stdout")
        parser.add_argument("--rate", type=float, help="events a second (100)")
        parser.add_argument(
            "--duration", type=float, help="seconds of events; 0: until stopped (60)"
        )
        parser.add_argument("--count", type=int, help="number of events, instead of --duration")
        parser.add_argument("--seed", type=int, help="default: another one each time")
        parser.add_argument(
            "--shape",
            choices=[shape.value for shape in Shape],
            help="default: the source's schema if it is one of these, else transaction",
        )
        parser.add_argument(
            "--start", type=_moment, help="time of the first event, ISO 8601 (default: now)"
        )
        parser.add_argument(
            "--answers", type=Path, metavar="FILE", help="write there which events are violations"
        )
        parser.add_argument("--progress", action="store_true", help="print the rate every 10 s")
        parser.add_argument(
            "--follow",
            action="store_true",
            help="run what the page Simulator says, until stopped; the other options (--source "
            "demo, --scenario normal-day, --rate 500) only say how it begins for the first time",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["follow"]:
            self._follow(options)
            return
        try:
            self._run(options)
        except PayflowError as exc:
            raise CommandError(str(exc)) from exc

    def _run(self, options: dict[str, Any]) -> None:
        watched = WatchedFile(options["config"]) if options["config"] else None
        config = with_options(watched.config if watched else shipped(options["scenario"]), options)
        count = events_of(config)
        source = self._source(options["source"]) if options["source"] else None
        publisher = self._publisher(source, config)
        generator = Generator(
            config,
            shape=config.shape or shape_of(source),
            seed=secrets.randbits(63) if config.seed is None else config.seed,
            start=options["start"] or datetime.now(UTC),
            rate=config.transaction.volume.rate,
        )
        key = config.compliance.answer_key
        with (
            _stop_on_signals() as stop,
            closing(publisher),
            closing(self._report(config, count)) as report,
            AnswerKey(key) if key else nullcontext() as answers,
        ):
            reload = (
                _Reload(watched, options, generator=generator, report=report) if watched else None
            )

            def between() -> None:
                report.progress(feed.sent)
                if reload is not None:
                    reload.look()

            feed = Feed(
                publisher,
                stop=stop,
                say=report.say,
                answers=answers,
                batch=config.output.batch_size,
                limit=config.output.rate_limit,
                between=between,
            )
            with suppress(BrokenPipeError):  # the reader of our output has had enough
                feed.run(generator, total=count, paced=config.output.is_broker)
        self._say(_summary(feed.sent, retried=publisher.retried))

    def _report(self, config: SimulatorConfig, count: int | None) -> Report:
        on_terminal = sys.stderr.isatty() and not config.logging.file
        return Report(
            config.logging, config.metrics, write=self._say, total=count, show_bar=on_terminal
        )

    def _follow(self, options: dict[str, Any]) -> None:
        self.check()
        name = options["source"] or "demo"
        scenario = options["scenario"] or "normal-day"
        shipped(scenario)
        source = self._source(name)
        Simulation.objects.get_or_create(
            name=name,
            defaults={"source": source, "scenario": scenario, "rate": options["rate"] or 500},
        )
        with _stop_on_signals() as stop:
            Follower(name, stop=stop, say=self._say).run()

    def _say(self, text: str) -> None:
        self.stderr.write(text, str)  # plain: nothing of it is an error

    def _source(self, name: str) -> Source:
        self.check()
        try:
            return Source.objects.get(name=name)
        except Source.DoesNotExist:
            known = ", ".join(Source.objects.values_list("name", flat=True)) or "none"
            raise CommandError(f"There is no source {name}; there are: {known}.") from None

    def _publisher(self, source: Source | None, config: SimulatorConfig) -> Publisher:
        output = config.output
        if source is not None and output.is_broker:
            return publisher_of(source)
        if output.destination == "stream" and output.connection_string is None:
            raise CommandError(
                "Say where to: --source NAME or --out FILE (or output.connection_string)."
            )
        publisher = publisher_to(output)
        if not output.is_broker:
            publisher.connect()  # now: a wrong path does not become right by waiting
        return publisher


class _Reload:
    """Takes a changed configuration file up while the run goes on; a wrong one changes nothing.

    What was opened at the start stays as it is: output, answer key, log and volume.
    """

    def __init__(
        self,
        watched: WatchedFile,
        options: dict[str, Any],
        *,
        generator: Generator,
        report: Report,
    ) -> None:
        self._watched, self._options = watched, options
        self._generator, self._report = generator, report
        self._looked_at = time.monotonic()

    def look(self) -> None:
        """If it is time; what has changed counts from the next batch on."""
        now = time.monotonic()
        if now < self._looked_at + _WATCH_S:
            return
        self._looked_at = now
        try:
            changed = self._watched.changed()
            if changed is None:
                return
            config = with_options(changed, self._options)
            self._generator.change(config, rate=config.transaction.volume.rate)
        except ConfigurationError as exc:
            self._report.say(f"{self._watched.path} is wrong, the old one goes on: {exc}")
        else:
            self._report.say(f"{self._watched.path} has changed and counts now.")


def _summary(sent: Counter[Kind], *, retried: int) -> str:
    text = (
        f"{sent.total():,} events sent, {sent[Kind.INVALID]:,} of them invalid on purpose "
        f"and {sent[Kind.DUPLICATE]:,} delivered a second time"
    )
    part = f"; {sent[Kind.VIOLATION]:,} belong to violations" if sent[Kind.VIOLATION] else ""
    again = f"; {retried:,} sends were repeated after an error" if retried else ""
    return f"{text}{part}{again}."


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set instead of what they did before."""
    stop = threading.Event()

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {n: signal.signal(n, ask_to_stop) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
