"""manage.py simulate --source NAME | --out FILE: realistic payment events, from a seed."""

from __future__ import annotations

import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from configuration.models import Source
from ingestion.sources.factory import ConsumerFactory
from payflow.lib.errors import ConfigurationError, SourceUnavailable
from payflow.lib.publish.base import Publisher
from payflow.lib.publish.factory import create_publisher
from payflow.lib.publish.file import FilePublisher, StdoutPublisher
from simulator.config import Shape, SimulatorConfig
from simulator.feed import Feed
from simulator.generator import Generator, Kind


class Command(BaseCommand):
    help = (
        "Send simulated payment events to a source at a steady rate, or write them to a file as "
        "fast as it goes. The same seed and start give the same bytes."
    )

    #: a file needs no servers; with a source they are checked when it is read
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--source", help="send to this source; optional with --out")
        parser.add_argument("--out", metavar="FILE", help="write NDJSON there instead; - is stdout")
        parser.add_argument("--rate", type=float, default=100.0, help="events a second (100)")
        parser.add_argument(
            "--duration", type=float, default=60.0, help="seconds of events; 0: until stopped (60)"
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
        parser.add_argument("--progress", action="store_true", help="print the rate every 10 s")

    def handle(self, *_args: Any, **options: Any) -> None:
        rate, count = options["rate"], _count(options)
        source = self._source(options["source"])
        publisher = self._publisher(source, options["out"])
        shape = options["shape"] or (source and source.schema_name)
        events = Generator(
            SimulatorConfig(),
            shape=Shape(shape) if shape in set(Shape) else Shape.TRANSACTION,
            seed=secrets.randbits(63) if options["seed"] is None else options["seed"],
            start=options["start"] or datetime.now(UTC),
            rate=rate,
        )
        with _stop_on_signals() as stop, closing(publisher):
            feed = Feed(publisher, stop=stop, say=self._say)
            pace = None if options["out"] else rate
            with suppress(BrokenPipeError):  # the reader of our output has had enough
                feed.run(events, count=count, rate=pace, progress=options["progress"])
            sent = feed.sent
        self._say(
            f"{sent.total():,} events sent, {sent[Kind.INVALID]:,} of them invalid on purpose "
            f"and {sent[Kind.DUPLICATE]:,} delivered a second time."
        )

    def _say(self, text: str) -> None:
        self.stderr.write(text, str)  # plain: nothing of it is an error

    def _source(self, name: str | None) -> Source | None:
        if name is None:
            return None
        self.check()
        try:
            return Source.objects.get(name=name)
        except Source.DoesNotExist:
            known = ", ".join(Source.objects.values_list("name", flat=True)) or "none"
            raise CommandError(f"There is no source {name}; there are: {known}.") from None

    def _publisher(self, source: Source | None, out: str | None) -> Publisher:
        if out is not None:
            publisher = StdoutPublisher() if out == "-" else FilePublisher(Path(out))
            try:
                publisher.connect()  # now: a wrong path does not become right by waiting
            except SourceUnavailable as exc:
                raise CommandError(str(exc)) from exc
            return publisher
        if source is None:
            raise CommandError("Say where to: --source NAME or --out FILE.")
        try:
            settings = ConsumerFactory.validate(source.broker_type, source.settings)
            return create_publisher(source.broker_type, settings)
        except ConfigurationError as exc:
            raise CommandError(f"Source {source.name}: {exc}") from exc


def _count(options: dict[str, Any]) -> int | None:
    """How many events; None: without end."""
    if not 0 < options["rate"] <= 1_000_000:
        raise CommandError("--rate must be above 0 and at most 1,000,000 events a second.")
    if options["count"] is not None:
        if options["count"] < 0:
            raise CommandError("--count must not be negative.")
        return int(options["count"])
    if options["duration"] < 0:
        raise CommandError("--duration must not be negative.")
    events: float = options["rate"] * options["duration"]
    if events > 0:
        return max(1, round(events))
    if options["out"] not in (None, "-"):
        raise CommandError("A file has an end: say --duration or --count.")
    return None


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
