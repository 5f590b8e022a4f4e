"""manage.py verify [--since --partition --sample --json]: the database against the archive."""

from __future__ import annotations

import json
import re
import sys
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from ingestion.verify import Report, Scope, verify
from payflow.lib.errors import Permanent

_DURATION: Final = re.compile(r"(\d+)([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str) -> datetime:
    """A time (ISO 8601, UTC unless it says otherwise) or how long ago: 90s, 30m, 12h, 7d, 2w."""
    if duration := _DURATION.fullmatch(text):
        return timezone.now() - timedelta(**{_UNITS[duration[2]]: int(duration[1])})
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ArgumentTypeError(
            f"{text!r} is neither a time (2026-11-20T10:00) nor a duration (90s, 30m, 12h, 7d)"
        ) from exc
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is not a number of batches")
    return int(text)


class Command(BaseCommand):
    help = "Recompute batches from the archive and name everything that is stored otherwise."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", type=moment, help="arrived since a time or duration: 12h")
        parser.add_argument("--partition", default="", metavar="SOURCE/NAME")
        parser.add_argument(
            "--sample", type=positive, metavar="N", help="N batches chosen at random"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object only")

    def handle(self, *_args: Any, **options: Any) -> None:
        scope = Scope(
            since=options["since"], partition=options["partition"], sample=options["sample"]
        )
        # progress goes to the terminal only: output that is piped stays clean
        hidden = options["json"] or not sys.stderr.isatty()
        with tqdm(unit=" parts", unit_scale=True, disable=hidden) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            try:
                report = verify(scope, on_progress=show)
            except Permanent as exc:
                raise CommandError(str(exc)) from exc
        if options["json"]:
            self.stdout.write(json.dumps(report.as_dict()))
        else:
            self._print(report)
        if not report.is_clean:
            sys.exit(1)

    def _print(self, report: Report) -> None:
        for name, count in report.compared.items():
            self.stdout.write(f"{name:<24}{count:>14,}")
        self.stdout.write(f"{'parts per second':<24}{report.parts_per_s:>14,}")
        for note in report.explanations():
            self.stdout.write(f"note: {note}")
        for difference in report.listed:
            self.stdout.write(str(difference))
        if report.differences > len(report.listed):
            self.stdout.write(f"... and {report.differences - len(report.listed):,} more")
        self.stdout.write("clean" if report.is_clean else f"{report.differences:,} differences")
