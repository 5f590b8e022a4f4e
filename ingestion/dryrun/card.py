"""What the page of a version says of its dry runs: the last result, or how far the run is."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from configuration.models import ConfigurationVersion, Job
from ingestion.dryrun import rule_cards, schema_cards
from ingestion.dryrun.run import KIND
from ingestion.dryrun.words import table
from payflow.lib.pages.detail import Button, Card
from payflow.lib.pages.display import count, joined, link, moment, row_url, span

_TITLE: Final = "Dry run on archived events"
#: rows of the table on the page of a version; all of them are on the job's page
_ROWS: Final = 5


def may_start(request: HttpRequest) -> bool:
    """Who writes drafts or makes them live may ask what they would change."""
    return any(
        request.user.has_perm(f"configuration.{verb}_configurationversion")
        for verb in ("change", "activate")
    )


def may_cancel(request: HttpRequest) -> bool:
    """Who may start one, and who keeps traffic running: a job takes every core."""
    return may_start(request) or request.user.has_perm("configuration.change_job")


def start_url(version: ConfigurationVersion) -> str:
    return reverse("admin:configuration_job_dry_run", args=[version.pk])


def button(request: HttpRequest, version: ConfigurationVersion) -> Button | None:
    """In the head of a draft's page."""
    if version.status != ConfigurationVersion.Status.DRAFT or version.problems:
        return None
    if not may_start(request):
        return None
    return Button(label="Dry run…", url=start_url(version), icon="play_arrow")


def card(request: HttpRequest, version: ConfigurationVersion) -> Card | None:
    """The last dry run; for a draft without one, what it would tell."""
    if not request.user.has_perm("configuration.view_job"):
        return None
    job = Job.objects.filter(kind=KIND, version=version).order_by("-pk").first()
    is_draft = version.status == ConfigurationVersion.Status.DRAFT
    if job is None:
        return _never(request, version) if is_draft else None
    if job.state in (Job.State.QUEUED, Job.State.RUNNING):
        return Card(title=_TITLE, sub="nothing is written", html=progress(job))
    again = may_start(request) and is_draft and not version.problems
    corner = link(start_url(version), "Run again") if again else ""
    if job.result is None:
        return Card(title=_TITLE, corner=corner, html=ended(job))
    return _result(job, job.result, version, corner)


def warning(version: ConfigurationVersion) -> str:
    """What the last dry run of this text says against making it live; "" when nothing."""
    job = Job.objects.filter(kind=KIND, version=version, state=Job.State.DONE).last()
    result = job.result if job else None
    if not result or result["checksum"] != version.checksum or not result.get("newly_failing"):
        return ""
    return (
        f"The dry run found {count(result['newly_failing'])} of {count(result['events'])} "
        "events that would newly fail."
    )


def _never(request: HttpRequest, version: ConfigurationVersion) -> Card:
    text = (
        "Not run yet. It says which archived events would fail or pass, and what reads otherwise."
        if version.kind == ConfigurationVersion.Kind.SCHEMA
        else "Not run yet. It says which series and findings would change on archived events."
    )
    if version.problems:
        text = "A draft with mistakes cannot be run. Mend it first."
    can = may_start(request) and not version.problems
    more = Button(label="Dry run…", url=start_url(version)) if can else None
    return Card(title=_TITLE, empty=text, more=more)


def _result(
    job: Job, result: dict[str, Any], version: ConfigurationVersion, corner: SafeString | str
) -> Card:
    heads, rows = table_of(result)
    stale = ""
    if result["checksum"] != version.checksum:
        stale = "The draft was changed since."
    elif version.is_draft and result["live"] != _live_name(version):
        stale = "Another version is active since."
    warning = format_html('<span class="pf-t-warn">{}</span>', stale) if stale else ""
    details = link(row_url("configuration.job", job.pk), "All details")
    return Card(
        title=_TITLE,
        sub=told(result),
        corner=corner,
        flush=joined([summary_of(result), table(heads, rows[:_ROWS])], ""),
        foot=format_html(
            '{}<span>{}</span><span class="r">{}</span>', warning, details, moment(job.finished_at)
        ),
    )


def _live_name(version: ConfigurationVersion) -> str:
    active = ConfigurationVersion.objects.filter(
        kind=version.kind, name=version.name, status=ConfigurationVersion.Status.ACTIVE
    ).first()
    return str(active) if active else ""


def told(result: dict[str, Any]) -> str:
    """`18,144,220 events in 52 s, nothing written`."""
    return f"{count(result['events'])} events in {span(result['seconds'])}, nothing written"


def summary_of(result: dict[str, Any]) -> SafeString:
    """Key figures and a chart, by the kind of the draft."""
    if result["kind"] == "schema":
        return schema_cards.summary(result)
    if result["kind"] == "metrics":
        return rule_cards.metrics_summary(result)
    return rule_cards.findings_summary(result)


def table_of(result: dict[str, Any]) -> tuple[Any, Any]:
    """The first table: why events would fail, or the rules that differ."""
    if result["kind"] == "schema":
        return schema_cards.causes_table(result)
    if result["kind"] == "metrics":
        return rule_cards.rules_table(result)
    return rule_cards.findings_table(result)


def progress(job: Job) -> SafeString:
    """How far a job is; static/payflow/job.js fetches it anew until it is over."""
    return render_to_string("payflow/job_live.html", {"job": job, "progress": Shown(job)})


def ended(job: Job) -> SafeString:
    """A job that has no result."""
    word = "Cancelled" if job.state == Job.State.CANCELLED else "Failed"
    return format_html(
        '<p><b>{}.</b> {}</p><p class="pf-small pf-mt">{} {}</p>',
        word,
        job.error,
        link(row_url("configuration.job", job.pk), "Details"),
        moment(job.finished_at),
    )


class Shown:
    """A job that is not over, in words."""

    def __init__(self, job: Job) -> None:
        self.job = job

    @property
    def is_over(self) -> bool:
        return self.job.state not in (Job.State.QUEUED, Job.State.RUNNING)

    @property
    def text(self) -> str:
        job = self.job
        if job.state == Job.State.QUEUED:
            return "Waiting for a worker; one job runs at a time."
        if job.cancel_asked_at:
            return "Ending…"
        if not job.total:
            return "Looking up the events…"
        return f"{count(job.done)} of {count(job.total)} events"

    @property
    def left(self) -> str:
        """How long it will take from here on, once that can be told."""
        job = self.job
        if not (job.started_at and job.seen_at and job.total and job.done):
            return ""
        seconds = (job.seen_at - job.started_at).total_seconds()
        if seconds < 2:
            return ""
        return f"about {span(seconds * max(0, job.total - job.done) / job.done)} left"
