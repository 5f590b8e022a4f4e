"""manage.py seek SOURCE PARTITION --to TARGET: move a checkpoint, or say what that would do."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ingestion import seeking
from ingestion.models import Partition
from ingestion.partitions import full_name
from ingestion.seek_plan import SeekRefused, Target, as_json, parse_target, why_not
from ingestion.seek_words import effect, moved_events
from payflow.lib.errors import ConfigurationError, SourceUnavailable


def target(text: str) -> Target:
    """earliest, latest, a time with its zone, or a position."""
    try:
        if text in ("earliest", "latest"):
            return parse_target(text)
        if "T" in text or ":" in text:
            return parse_target("time", moment=datetime.fromisoformat(text))
        return parse_target("position", position=text)
    except SeekRefused as exc:
        raise ArgumentTypeError(str(exc)) from exc
    except ValueError as exc:
        raise ArgumentTypeError(f"{text!r} is no time like 2026-11-20T13:20:00Z") from exc


class Command(BaseCommand):
    help = "Move a partition's checkpoint to the earliest or latest message, a time or a position."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", help="its name")
        parser.add_argument("partition", help="its number, as the page of the source lists it")
        parser.add_argument(
            "--to",
            required=True,
            type=target,
            metavar="TARGET",
            help="earliest, latest, a time (2026-11-20T13:20:00Z) or a position",
        )
        parser.add_argument("--reason", default="", help="why: it stays in the audit log")
        parser.add_argument("--by", metavar="USER", help="who does it, for the audit log")
        parser.add_argument(
            "--dry-run", action="store_true", help="only say what would be skipped or read again"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        rows = Partition.objects.select_related("source")
        row = rows.filter(source__name=options["source"], name=options["partition"]).first()
        if row is None:
            raise CommandError(f"there is no partition {options['source']}/{options['partition']}")
        try:
            made = seeking.plan(row, options["to"])
            said, told = as_json(made) | {"dry_run": options["dry_run"]}, effect(made)
            lines = [f"{told.title}. {told.text}".rstrip(), "Nothing was changed."]
            if not options["dry_run"]:
                moved = seeking.seek(made, by=_person(options["by"]), reason=options["reason"])
                said |= seeking.as_details(moved) | {"seek": str(moved.pk)}
                lines = [f"Done. Events: {moved_events(moved.events)}."]
        except (SeekRefused, SourceUnavailable, ConfigurationError) as exc:
            raise CommandError(why_not(exc)) from exc
        if options["json"]:
            self.stdout.write(json.dumps(said))
            return
        lines.insert(0, f"{full_name(row)}: from {said['from']} to {said['to']}")
        self.stdout.write("\n".join(lines))


def _person(name: str | None) -> User | None:
    if not name:
        return None
    by = User.objects.filter(username=name).first()
    if by is None:
        raise CommandError(f"there is no user {name!r}")
    return by
