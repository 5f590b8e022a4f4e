"""manage.py drain: what a Celery seat does, without Celery. Both may run at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ingestion.drain import Drainer
from ingestion.leaves import ensure_leaves


class Command(BaseCommand):
    help = "Drain a fair share of the partitions until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--source", action="append", help="only this source (repeatable)")
        parser.add_argument(
            "--until-idle", action="store_true", help="end when everything that is held was read"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        stop = threading.Event()

        def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, ask_to_stop)
        ensure_leaves()
        Drainer(stop=stop, sources=options["source"]).run(until_idle=options["until_idle"])
