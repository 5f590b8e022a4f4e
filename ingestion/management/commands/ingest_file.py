"""manage.py ingest_file PATH --schema NAME | --source NAME: take a file in, exactly once."""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from ingestion.ingest import IngestReport, ingest_file
from ingestion.leaves import ensure_leaves
from payflow.lib.errors import ConfigurationError, Permanent


class Command(BaseCommand):
    help = "Take a file of events in, exactly once: NDJSON, a JSON array, CSV (.gz too) or Parquet."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path, metavar="PATH")
        target = parser.add_mutually_exclusive_group(required=True)
        target.add_argument("--schema", default="", help="name of an active transaction schema")
        target.add_argument(
            "--source", default="", help="name of a source of files, with its route table"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object only")

    def handle(self, *_args: Any, **options: Any) -> None:
        if not options["path"].is_file():
            raise CommandError(f"{options['path']} is no file")
        stop = threading.Event()

        def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, ask_to_stop)
        ensure_leaves()
        # progress goes to the terminal only: output that is piped stays clean
        hidden = options["json"] or not sys.stderr.isatty()
        with tqdm(unit=" events", unit_scale=True, disable=hidden) as bar:

            def show(report: IngestReport) -> None:
                bar.update(report.read - bar.n)
                bar.set_postfix(accepted=report.accepted, failed=report.failed)

            try:
                report = ingest_file(
                    options["path"],
                    schema=options["schema"],
                    source=options["source"],
                    stop=stop,
                    on_progress=show,
                )
            except ConfigurationError as exc:
                raise CommandError("\n".join(map(str, exc.problems))) from exc
            except Permanent as exc:
                raise CommandError(str(exc)) from exc
        if options["json"]:
            self.stdout.write(json.dumps(report.as_dict()))
        else:
            for name, value in report.as_dict().items():
                self.stdout.write(f"{name:<12}{value:>14,}")
        if stop.is_set():
            raise CommandError("stopped: run the same command again to go on")
