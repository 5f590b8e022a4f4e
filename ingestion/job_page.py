"""What the page of a job shows."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from configuration.models import ConfigurationVersion, Job, Source
from ingestion.dryrun import card as dry_run_card
from ingestion.dryrun import rule_cards, schema_cards
from ingestion.dryrun.samples import SampleReader
from ingestion.dryrun.scope import MAX_EVENTS, Scope
from payflow.lib.pages.detail import Button, Card, Detail, Notice
from payflow.lib.pages.display import DASH, UNKNOWN, count, joined, moment, pill, row_link, span

State = Job.State
_PILLS: Final = {
    State.QUEUED: ("", "hourglass_empty"),
    State.RUNNING: ("info", "sync"),
    State.DONE: ("ok", ""),
    State.FAILED: ("bad", ""),
    State.CANCELLED: ("", "cancel"),
}


def state_pill(job: Job) -> SafeString:
    kind, icon = _PILLS[State(job.state)]
    return pill(kind, job.get_state_display(), icon)


def seconds_of(job: Job) -> float | None:
    """How long it ran, or runs so far."""
    if job.started_at is None:
        return None
    return ((job.finished_at or timezone.now()) - job.started_at).total_seconds()


def who(job: Job) -> str:
    return str(job.created_by) if job.created_by else "a command"


def detail(request: HttpRequest, job: Job) -> Detail:
    result: dict[str, Any] | None = job.result
    return Detail(
        title=job.title,
        state=state_pill(job),
        meta=[f"by {who(job)}", *([dry_run_card.told(result)] if result else [])],
        notices=_notices(job, result),
        buttons=_buttons(request, job),
        main=_main(request, job, result),
        side=[_facts(job, result), *([_scope(job, result)] if "scope" in job.parameters else [])],
    )


def _main(request: HttpRequest, job: Job, result: dict[str, Any] | None) -> list[Card]:
    if job.state in (State.QUEUED, State.RUNNING):
        return [Card(title="Progress", sub="nothing is written", html=dry_run_card.progress(job))]
    if result is None:
        return [Card(title="Result", empty="It has none: the job ended before it was done.")]
    may_read = request.user.has_perm("ingestion.view_archivefile")
    first = Card(title="What would change", flush=dry_run_card.summary_of(result))
    if result["kind"] == "schema":
        return [first, *schema_cards.cards(result, SampleReader(may_read=may_read))]
    if result["kind"] == "metrics":
        return [first, *rule_cards.metrics_cards(result)]
    return [first, *rule_cards.findings_cards(result)]


def _notices(job: Job, result: dict[str, Any] | None) -> list[Notice]:
    notices = []
    if job.state == State.FAILED:
        notices.append(Notice(kind="bad", icon="error", title="It failed", text=job.error))
    if job.state == State.CANCELLED:
        notices.append(Notice(kind="info", title="It was cancelled", text=job.error))
    if result is None:
        return notices
    if job.version is not None and job.version.checksum != result["checksum"]:
        notices.append(
            Notice(
                kind="warn",
                icon="warning",
                title="The draft was changed since",
                text="The numbers below are of its text at the time. Run it again.",
            )
        )
    if result["unreadable"]:
        notices.append(
            Notice(
                kind="warn",
                icon="warning",
                title=f"{count(result['unreadable'])} batches could not be read",
                text="The archive does not give their objects; their events are left out.",
            )
        )
    if result["is_cut"]:
        notices.append(
            Notice(
                kind="info",
                title=f"The newest {count(MAX_EVENTS)} events of the range",
                text="It holds more than one dry run takes.",
            )
        )
    if not result["events"] and (result["kind"] == "schema" or result["rules"]):
        notices.append(
            Notice(
                kind="warn",
                icon="warning",
                title="No events in this range",
                text="The sources that were chosen have none in the archive for it.",
            )
        )
    return notices


def _buttons(request: HttpRequest, job: Job) -> list[Button]:
    if job.state in (State.QUEUED, State.RUNNING):
        if not dry_run_card.may_cancel(request):
            return []
        url = reverse("admin:configuration_job_cancel", args=[job.pk])
        return [Button(label="Cancel", url=url, icon="cancel", posts=True)]
    if not dry_run_card.may_start(request):
        return []
    version = job.version
    if version is None or version.status != ConfigurationVersion.Status.DRAFT:
        return []
    url = dry_run_card.start_url(version)
    return [Button(label="Run again…", url=url, icon="refresh")]


def _facts(job: Job, result: dict[str, Any] | None) -> Card:
    version = job.version
    shown = (
        row_link("configuration.configurationversion", version.pk, str(version))
        if version
        else "discarded since"
    )
    facts = [
        ("Version", shown),
        *([("Compared with", result["live"])] if result else []),
        ("Asked for", moment(job.created_at)),
        ("Began", moment(job.started_at)),
        *(
            [("Ended", moment(job.finished_at)), ("Took", span(seconds_of(job)))]
            if job.finished_at
            else []
        ),
    ]
    return Card(title="Job", facts=facts)


def _scope(job: Job, result: dict[str, Any] | None) -> Card:
    """What was asked for, and what was found of it."""
    scope = Scope.from_json(job.parameters["scope"])
    names = Source.objects.filter(pk__in=scope.sources)
    if scope.last:
        asked: SafeString | str = f"the last {count(scope.last)}"
    elif scope.since or scope.until:
        begin = moment(scope.since) if scope.since else "the first"
        end = moment(scope.until) if scope.until else "its start"
        asked = joined([begin, DASH, end])
    else:
        asked = "all"
    facts: list[tuple[str, Any]] = [
        ("Asked for", asked),
        (
            "Sources",
            joined(
                (row_link("configuration.source", source.pk, source.name) for source in names), ", "
            ),
        ),
    ]
    if result:
        facts += [
            ("Events", count(result["events"])),
            ("Messages", count(result["messages"])),
            ("Batches", count(result["batches"])),
            ("First arrival", _moment(result["first"])),
            ("Last arrival", _moment(result["last"])),
        ]
    return Card(title="Events", facts=facts)


def _moment(text: str | None) -> SafeString:
    return moment(datetime.fromisoformat(text)) if text else UNKNOWN
