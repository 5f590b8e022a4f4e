"""manage.py configure: versions of schemas and rule sets from the command line."""

from __future__ import annotations

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from django.contrib.auth.models import User
from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
)

from configuration import validators
from configuration.activation import GateClosed, activate, gate_of, roll_back, sources_of
from configuration.bundling import refresh_bundle
from configuration.compatibility import Compatibility
from configuration.diff import as_text, diff_documents
from configuration.documents import Written, parse_text, placed, read_file
from configuration.models import Activation, ConfigurationVersion, Source
from configuration.remote.push import CONTAINER, NotPushed, PushedBefore, push_rules
from configuration.status import status_lines
from configuration.version_names import find_kind, find_version
from configuration.versions import import_document, text_of
from payflow.lib.env import BadEnvironment
from payflow.lib.errors import ConfigurationError, Problem

Kind = ConfigurationVersion.Kind

_EPILOG: Final = """\
A VERSION is NAME (the active one), NAME@3, or KIND/NAME@3 where several kinds have the name; KIND
is schema, metrics or compliance. Nothing is kept of a file that is refused, and nothing goes live
when something is refused. Exit status: 0 done, 1 refused, 2 not understood.

  configure validate acme.yaml                  what is wrong with it, and whether it is compatible
  configure diff acme acme.yaml                 what would change
  configure import acme.yaml --note "3-digit codes" --activate
  configure rollback acme --reason "rejects terminals of 2019"
"""


class _Help(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """The examples keep their lines."""


class Command(BaseCommand):
    help = "Import, compare, activate and roll back versions of schemas and rule sets."

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **options)
        parser.formatter_class = _Help
        parser.epilog = _EPILOG
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        importing = actions.add_parser("import", help="make a draft of each file")
        importing.add_argument("files", nargs="+", type=Path, metavar="FILE")
        importing.add_argument("--activate", action="store_true", help="and make it live")
        importing.add_argument("--note", default="", help="what is new, for the history")
        _add_people(importing)
        exporting = actions.add_parser("export", help="write a version as YAML or JSON")
        exporting.add_argument("kind", choices=list(Kind), metavar="KIND")
        exporting.add_argument("name", metavar="NAME")
        exporting.add_argument("--version", type=int, dest="number", help="default: the active one")
        exporting.add_argument("--output", type=Path, metavar="FILE|DIR", help="default: here")
        exporting.add_argument("--format", choices=["yaml", "json"], default="yaml")
        validating = actions.add_parser("validate", help="say what is wrong with files")
        validating.add_argument("files", nargs="+", type=Path, metavar="FILE")
        comparing = actions.add_parser("diff", help="what differs, by field and rule")
        comparing.add_argument("old", metavar="VERSION|FILE")
        comparing.add_argument("new", metavar="VERSION|FILE")
        activating = actions.add_parser("activate", help="make a version live")
        activating.add_argument("reference", metavar="VERSION")
        activating.add_argument("--reason", default="", help="why, for the audit trail")
        _add_people(activating)
        rolling_back = actions.add_parser("rollback", help="make an earlier version live again")
        rolling_back.add_argument("reference", metavar="NAME", help="NAME@3 for a certain version")
        rolling_back.add_argument("--reason", default="", help="why, for the audit trail")
        rolling_back.add_argument("--by", metavar="USER", help="who does it")
        pushing = actions.add_parser("push", help="write active rule sets to a blob container")
        pushing.add_argument("names", nargs="*", metavar="NAME", help="default: all of them")
        pushing.add_argument("--container", default=CONTAINER, help=f"default: {CONTAINER}")
        actions.add_parser("status", help="what is active, drafted and kept elsewhere")
        actions.add_parser("refresh", help="rebuild the bundles, after an upgrade of payflow")

    def handle(self, *_args: Any, **options: Any) -> None:
        getattr(self, f"_{options['action']}")(options)

    # actions

    def _import(self, options: dict[str, Any]) -> None:
        by = _person(options["by"])
        # all can be read before anything is kept; what they say may build on those before them
        written = [_read(path) for path in options["files"]]
        for path, file in zip(options["files"], written, strict=True):
            with _refusal(f"{path} is refused", file):
                version = import_document(
                    kind=file.kind,
                    name=file.name,
                    document=file.document,
                    text=file.text,
                    note=options["note"],
                    author=by,
                )
            if options["activate"]:
                self._go_live(version, by=by, reason=options["note"], override=options["override"])
            else:
                self.stdout.write(f"{_titled(version)}: {version.status}")

    def _export(self, options: dict[str, Any]) -> None:
        number = f"@{options['number']}" if options["number"] else ""
        with _refusal("nothing to export"):
            version = find_version(f"{options['kind']}/{options['name']}{number}")
        text, path = text_of(version), options["output"]
        if options["format"] == "json":
            text = json.dumps(parse_text(text), indent=2, ensure_ascii=False) + "\n"
        if path is None:
            self.stdout.write(text, ending="" if text.endswith("\n") else "\n")
            return
        if path.is_dir():
            path = path / f"{version.name}.{version.kind}.{options['format']}"
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as exc:
            raise CommandError(f"{path} cannot be written: {exc.strerror}") from exc
        self.stdout.write(f"{_titled(version)}: written to {path}")

    def _validate(self, options: dict[str, Any]) -> None:
        refused = 0
        for path in options["files"]:
            try:
                file = _read(path)
                with _refusal(f"{path} is refused", file):
                    validators.validate_document(file.kind, file.document, file.name)
            except CommandError as exc:
                refused += 1
                self.stderr.write(str(exc))
            else:
                self.stdout.write(f"{path}: valid {Kind(file.kind).label.lower()} {file.name}")
                self._say_compatibility(file)
        if refused:
            raise CommandError(f"{refused} of {len(options['files'])} files are refused")

    def _diff(self, options: dict[str, Any]) -> None:
        (kind, old), (other, new) = (_side(options[side]) for side in ("old", "new"))
        if kind != other:
            raise CommandError(f"a {Kind(kind).label.lower()} has nothing in common with a {other}")
        changes = diff_documents(kind, old, new)
        self.stdout.write(as_text(changes) or "no difference")
        if kind == Kind.SCHEMA and changes:
            self._write_verdicts(validators.compare_schemas(old, new))

    def _activate(self, options: dict[str, Any]) -> None:
        with _refusal("nothing was activated"):
            version = find_version(options["reference"])
        self._go_live(
            version,
            by=_person(options["by"]),
            reason=options["reason"],
            override=options["override"],
        )

    def _rollback(self, options: dict[str, Any]) -> None:
        name, _, number = options["reference"].partition("@")
        with _refusal("nothing was rolled back"):
            kind, _, name = name.rpartition("/")
            kind = kind or find_kind(name)
            entry = roll_back(
                kind,
                name,
                by=_person(options["by"]),
                reason=options["reason"],
                to=find_version(f"{kind}/{name}@{number}") if number else None,
            )
        self._say_live(entry)

    def _push(self, options: dict[str, Any]) -> None:
        try:
            pushed = push_rules(options["names"], container=options["container"])
        except (NotPushed, PushedBefore, BadEnvironment) as exc:
            raise CommandError(str(exc)) from exc
        if not pushed:
            raise CommandError("no active rule set has this name")
        for item in pushed:
            self.stdout.write(f"{_titled(item.version)}: {item.path} {item.status}")

    def _status(self, _options: dict[str, Any]) -> None:
        for line in status_lines():
            self.stdout.write(line)

    def _refresh(self, _options: dict[str, Any]) -> None:
        for source in Source.objects.all():
            with _refusal(f"{source.name} keeps the bundle it has"):
                bundle = refresh_bundle(source)
            self.stdout.write(f"{source.name}: bundle {bundle.hash[:12]}")

    # what they share

    def _go_live(
        self, version: ConfigurationVersion, *, by: User | None, reason: str, override: str
    ) -> None:
        with _refusal(f"{version} is not live"):
            entry = activate(version, by=by, reason=reason, override_reason=override)
        self._say_live(entry)

    def _say_live(self, entry: Activation) -> None:
        version, sources = entry.version, sources_of(entry)
        used = f", now used by {', '.join(source.name for source in sources)}" if sources else ""
        self.stdout.write(f"{_titled(version)}: {version.status}{used}")

    def _say_compatibility(self, file: Written) -> None:
        active = ConfigurationVersion.objects.filter(
            kind=file.kind, name=file.name, status="active"
        ).first()
        if file.kind == Kind.SCHEMA and active is not None:
            self.stdout.write(f"  against {active}, gate: {gate_of(file.name)}")
            found = validators.compare_schemas(active.document, file.document)
            self._write_verdicts(found, indent="  ")

    def _write_verdicts(self, found: Compatibility, *, indent: str = "") -> None:
        for name, verdict in (("backward", found.backward), ("forward", found.forward)):
            answer = "yes" if verdict.ok else "cannot tell" if verdict.is_unknown else "no"
            self.stdout.write(f"{indent}{name} compatible: {answer}")
            for reason in verdict.against:
                self.stdout.write(f"{indent}  {reason}")


def _add_people(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--override", default="", metavar="REASON", help="go live although the gate refuses"
    )
    parser.add_argument("--by", metavar="USER", help="who does it; needed for four eyes")


def _read(path: Path) -> Written:
    with _refusal(f"{path} is refused"):
        return read_file(path)


def _side(text: str) -> tuple[str, dict[str, Any]]:
    """(kind, document) of a file or a version."""
    with _refusal(f"{text} cannot be compared"):
        if Path(text).is_file():
            written = read_file(Path(text))
            return written.kind, written.document
        version = find_version(text)
        return version.kind, version.document


def _person(name: str | None) -> User | None:
    if name is None:
        return None
    user = User.objects.filter(username=name).first()
    if user is None:
        raise CommandError(f"there is no user {name!r}")
    return user


def _titled(version: ConfigurationVersion) -> str:
    return f"{version.get_kind_display()} {version}"


@contextmanager
def _refusal(what: str, written: Written | None = None) -> Iterator[None]:
    """Problems as lines under a sentence, with the line of the file where there is one."""
    try:
        yield
    except ConfigurationError as exc:
        problems: list[Problem] = exc.problems
        if written is not None:
            problems = placed(problems, written.lines)
        lines = [f"{what}:", *(f"  {problem}" for problem in problems)]
        if isinstance(exc, GateClosed):
            lines.append('  --override "REASON" makes it live all the same')
        raise CommandError("\n".join(lines)) from exc
