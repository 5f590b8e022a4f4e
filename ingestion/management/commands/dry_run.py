"""manage.py dry_run KIND NAME[@N] [--source NAME]... [--last N | --since --until] [--json]."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from tqdm import tqdm

from configuration.models import ConfigurationVersion, Job
from ingestion import jobs
from ingestion.dryrun.form import DEFAULT_LAST
from ingestion.dryrun.run import candidates, new_dry_run
from ingestion.dryrun.scope import MAX_EVENTS, Scope
from ingestion.dryrun.words import group_text
from ingestion.management.commands.verify import moment, positive
from payflow.lib.errors import ConfigurationError, PayflowError


class Command(BaseCommand):
    help = (
        "Evaluate archived events under a draft and under what is active, and say what differs. "
        "Writes nothing but a job with the result, which the admin shows."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=ConfigurationVersion.Kind.values)
        parser.add_argument(
            "name", metavar="NAME[@N]", help="a schema or rule set; its newest draft, or version N"
        )
        parser.add_argument(
            "--source", action="append", default=[], metavar="NAME", help="default: all that use it"
        )
        parser.add_argument(
            "--last", type=positive, metavar="N", help=f"events; default: {DEFAULT_LAST:,}"
        )
        parser.add_argument("--since", type=moment, help="arrived since a time or duration: 12h")
        parser.add_argument("--until", type=moment, help="arrived before a time or duration")
        parser.add_argument("--json", action="store_true", help="print the result as JSON only")

    def handle(self, *_args: Any, **options: Any) -> None:
        version = _version(options["kind"], options["name"])
        try:
            job = self._running(version, _scope(version, options))
        except ConfigurationError as exc:
            lines = "\n".join(f"  {problem}" for problem in exc.problems)
            raise CommandError(f"{version} cannot be run:\n{lines}") from exc
        except PayflowError as exc:
            raise CommandError(str(exc)) from exc
        # progress goes to the terminal only: output that is piped stays clean
        hidden = options["json"] or not sys.stderr.isatty()
        with tqdm(unit=" events", unit_scale=True, disable=hidden) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            jobs.run(job, on_progress=show)
        job.refresh_from_db()
        if job.state != Job.State.DONE or job.result is None:
            raise CommandError(f"{job}: {job.state}. {job.error}")
        if options["json"]:
            self.stdout.write(json.dumps(job.result))
        else:
            self._print(job, job.result)

    @transaction.atomic
    def _running(self, version: ConfigurationVersion, scope: Scope) -> Job:
        """A job of this process: no worker ever sees it waiting."""
        job = new_dry_run(version, scope)
        jobs.start(job)
        return job

    def _print(self, job: Job, result: dict[str, Any]) -> None:
        self.stdout.write(
            f"{result['draft']} against {result['live']}: {result['events']:,} events of "
            f"{', '.join(result['sources'])} in {result['seconds']} s, job {job.pk}"
        )
        if result["kind"] == "schema":
            for line in _schema_lines(result):
                self.stdout.write(line)
            return
        for rule in result["rules"]:
            self.stdout.write(f"{rule['change']:<8} {rule['name']}: {_numbers(rule)}")
        for series in result.get("series", []):
            self.stdout.write(
                f"  {series['change']:<9}{series['rule']}, {group_text(series['group'])}: "
                f"{series['old']} -> {series['new']}, {series['events']:,} events behind"
            )


def _version(kind: str, name: str) -> ConfigurationVersion:
    name, _, number = name.partition("@")
    versions = ConfigurationVersion.objects.filter(kind=kind, name=name)
    if number:
        wanted = number.removeprefix("v")
        version = versions.filter(number=int(wanted)).first() if wanted.isdecimal() else None
    else:
        version = versions.filter(status="draft").order_by("-number").first()
    if version is None:
        what = f"version {number}" if number else "draft"
        raise CommandError(f"{kind} {name!r} has no {what}")
    return version


def _scope(version: ConfigurationVersion, options: dict[str, Any]) -> Scope:
    usable = {source.name: source.pk for source in candidates(version)}
    unknown = [name for name in options["source"] if name not in usable]
    if unknown:
        known = ", ".join(usable) or "none"
        raise CommandError(f"{unknown[0]!r} does not use {version.name}; those that do: {known}")
    chosen = tuple(usable[name] for name in options["source"] or usable)
    since, until, last = options["since"], options["until"], options["last"]
    if last and (since or until):
        raise CommandError("--last goes with neither --since nor --until")
    if last and last > MAX_EVENTS:
        raise CommandError(f"--last is at most {MAX_EVENTS:,}")
    if since and until and since >= until:
        raise CommandError("--until has to be after --since")
    if since or until:
        return Scope(sources=chosen, since=since, until=until)
    return Scope(sources=chosen, last=last or DEFAULT_LAST)


def _schema_lines(result: dict[str, Any]) -> list[str]:
    lines = [
        f"{label:<16}{result[key]:>14,}"
        for label, key in (
            ("newly failing", "newly_failing"),
            ("newly passing", "newly_passing"),
            ("same verdict", "same"),
            ("read otherwise", "changed"),
        )
    ]
    for kind in ("failing", "passing"):
        lines += [
            f"  {kind:<8} {cause['field'] or 'message'}: {cause['reason']}, "
            f"{cause['expected']}: {cause['events']:,}"
            for cause in result[kind][:20]
        ]
    lines += [
        f"  column   {column['column']}: {column['events']:,}" for column in result["columns"][:20]
    ]
    return lines


def _numbers(rule: dict[str, Any]) -> str:
    if "series" not in rule:
        return f"{rule['new']:,} new findings, {rule['gone']:,} gone, {rule['both']:,} the same"
    series = rule["series"]
    return (
        f"{series['appears']:,} series appear, {series['vanishes']:,} vanish, "
        f"{series['changes']:,} change, {series['same']:,} stay; {rule['events']:,} events behind"
    )
