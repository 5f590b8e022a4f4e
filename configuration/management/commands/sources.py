"""manage.py sources apply FILE... | list: sources by files, as schemas and rules are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from configuration.models import Source
from configuration.sources import define, read_source
from payflow.lib.errors import ConfigurationError


class Command(BaseCommand):
    help = "Make sources from files, change their settings and routes, and list them."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        applying = actions.add_parser(
            "apply", help="make the source of each file, or change the one of that name"
        )
        applying.add_argument("files", nargs="+", type=Path, metavar="FILE")
        applying.add_argument("--by", metavar="USER", help="who does it, for the audit trail")
        actions.add_parser("list", help="every source, and what its messages are checked against")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["action"] == "list":
            for source in Source.objects.select_related("active_bundle"):
                self.stdout.write(f"{source.name}: {source.broker_type}, {_schemas(source)}")
            return
        by = None
        if options["by"]:
            by = User.objects.filter(username=options["by"]).first()
            if by is None:
                raise CommandError(f"there is no user {options['by']!r}")
        for path in options["files"]:
            self._apply(path, by=by)

    def _apply(self, path: Path, *, by: User | None) -> None:
        try:
            source, done = define(read_source(path.read_text()), by=by)
        except OSError as exc:
            raise CommandError(f"{path} cannot be read: {exc.strerror}") from exc
        except UnicodeDecodeError as exc:
            raise CommandError(f"{path} is not UTF-8") from exc
        except ConfigurationError as exc:
            lines = "\n".join(f"  {problem}" for problem in exc.problems)
            raise CommandError(f"{path} is refused:\n{lines}") from exc
        self.stdout.write(f"{source.name}: {done}, {_schemas(source)}")


def _schemas(source: Source) -> str:
    bundle = source.active_bundle
    if bundle is None:
        return "no bundle"
    names = dict.fromkeys(f"{schema['name']} v{schema['version']}" for schema in bundle.schemas)
    return ", ".join(names)
