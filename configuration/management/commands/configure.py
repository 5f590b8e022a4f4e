"""manage.py configure import FILE... [--activate] [--note TEXT] | status | refresh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from configuration.activation import activate, sources_of
from configuration.bundling import refresh_bundle
from configuration.documents import read_document
from configuration.models import ConfigurationVersion, Source
from configuration.versions import import_document
from payflow.lib.errors import ConfigurationError


class Command(BaseCommand):
    help = "Import, activate and list versions of transaction schemas and rule sets."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        importing = actions.add_parser("import", help="make a draft of each file")
        importing.add_argument("files", nargs="+", type=Path, metavar="FILE")
        importing.add_argument("--activate", action="store_true", help="and make it live")
        importing.add_argument("--note", default="", help="why, for the history")
        actions.add_parser("status", help="what is active, and the bundle of each source")
        actions.add_parser("refresh", help="rebuild the bundles, after an upgrade of payflow")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["action"] == "import":
            for path in options["files"]:
                self._import(path, note=options["note"], live=options["activate"])
        elif options["action"] == "refresh":
            for source in Source.objects.all():
                self.stdout.write(f"{source.name}: bundle {refresh_bundle(source).hash[:12]}")
        else:
            self._status()

    def _import(self, path: Path, *, note: str, live: bool) -> None:
        try:
            kind, name, document = read_document(path)
            version = import_document(kind=kind, name=name, document=document, note=note)
            sources = sources_of(activate(version)) if live else []
        except ConfigurationError as exc:
            lines = "\n".join(f"  {problem}" for problem in exc.problems)
            raise CommandError(f"{path} is refused:\n{lines}") from exc
        used = f", now used by {', '.join(s.name for s in sources)}" if sources else ""
        self.stdout.write(f"{version.get_kind_display()} {version}: {version.status}{used}")

    def _status(self) -> None:
        for version in ConfigurationVersion.objects.exclude(status="retired"):
            self.stdout.write(f"{version.get_kind_display()} {version}: {version.status}")
        for source in Source.objects.select_related("active_bundle"):
            bundle = source.active_bundle
            self.stdout.write(
                f"Source {source.name}: {bundle.hash[:12] if bundle else 'no bundle'}"
            )
