"""Pages of jobs: the list, how far one is, what came of it, and the form of a dry run."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import display

from configuration.models import ConfigurationVersion, Job
from ingestion import job_page, jobs
from ingestion.dryrun import card as dry_run_card
from ingestion.dryrun.form import DryRunForm
from ingestion.dryrun.run import new_dry_run
from ingestion.dryrun.scope import MAX_EVENTS
from payflow.lib.errors import ConfigurationError, Permanent
from payflow.lib.pages.admin import Empty, ReadOnlyAdmin
from payflow.lib.pages.detail import Detail
from payflow.lib.pages.display import UNKNOWN, count, moment, row_link, row_url, span


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ("job", "state_", "version_", "n_events", "started", "took", "by")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("created_at", RangeDateTimeFilter),
    )
    list_select_related = ("version", "created_by")
    search_fields = ("title",)
    search_scope = "Jobs are found by a part of their title."
    ordering = ("-pk",)
    empty = Empty(
        title="No job has run yet",
        text="Long work is kept here with its result. A dry run of a draft is started on the "
        "draft's page, or by:",
        command="manage.py dry_run schema transaction --last 100000",
        icon="pending_actions",
    )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path(
                "<int:pk>/live/",
                view(require_GET(self.live_view)),
                name="configuration_job_live",
            ),
            path(
                "<int:pk>/cancel/",
                view(require_POST(self.cancel_view)),
                name="configuration_job_cancel",
            ),
            path(
                "dry-run/<int:version_id>/",
                view(self.dry_run_view),
                name="configuration_job_dry_run",
            ),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        rows: QuerySet[Job] = super().get_queryset(request)
        # a result may be a megabyte, and a list shows none of it
        return rows.defer("result", "parameters")

    @display(description="job")
    def job(self, row: Job) -> str:
        return row.title

    @display(description="state")
    def state_(self, row: Job) -> SafeString:
        return job_page.state_pill(row)

    @display(description="version")
    def version_(self, row: Job) -> SafeString:
        if row.version is None:
            return UNKNOWN
        return row_link("configuration.configurationversion", row.version_id, str(row.version))

    @display(description="events")
    def n_events(self, row: Job) -> str:
        is_done = row.state == Job.State.DONE or not row.total
        return count(row.done) if is_done else f"{count(row.done)} of {count(row.total)}"

    @display(description="started")
    def started(self, row: Job) -> SafeString:
        return moment(row.started_at or row.created_at)

    @display(description="took")
    def took(self, row: Job) -> str:
        return span(job_page.seconds_of(row))

    @display(description="by")
    def by(self, row: Job) -> str:
        return job_page.who(row)

    def detail(self, request: HttpRequest, row: Job) -> Detail:
        return job_page.detail(request, row)

    def live_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """How far a job is: the part of a page that is fetched anew."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        job = get_object_or_404(Job.objects.defer("result"), pk=pk)
        context = {"job": job, "progress": dry_run_card.Shown(job)}
        return render(request, "payflow/job_progress.html", context)

    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not dry_run_card.may_cancel(request):
            raise PermissionDenied
        job = get_object_or_404(Job, pk=pk)
        if jobs.cancel(job):
            self.log_change(request, job, f"Cancelled {job}.")
            messages.success(request, f"{job} ends within seconds. Nothing was written.")
        else:
            messages.warning(request, f"{job} was over already.")
        return redirect(row_url("configuration.job", job.pk))

    def dry_run_view(self, request: HttpRequest, version_id: int) -> HttpResponse:
        """The form, and on its POST the job."""
        if not dry_run_card.may_start(request):
            raise PermissionDenied
        version = get_object_or_404(ConfigurationVersion, pk=version_id)
        if request.method != "POST":
            return self._form(request, version, DryRunForm(version))
        form = DryRunForm(version, request.POST)
        if not form.is_valid():
            return self._form(request, version, form, status=422)
        try:
            job = new_dry_run(version, form.scope(), by=_person(request))
        except (ConfigurationError, Permanent) as exc:
            problems = exc.problems if isinstance(exc, ConfigurationError) else [exc]
            return self._form(request, version, form, problems=problems, status=422)
        jobs.submit(job)
        self.log_addition(request, job, f"Started {job}.")
        return redirect(row_url("configuration.job", job.pk))

    def _form(
        self,
        request: HttpRequest,
        version: ConfigurationVersion,
        form: DryRunForm,
        *,
        problems: Any = (),
        status: int = 200,
    ) -> HttpResponse:
        if version.problems and not problems:
            problems = ["It has mistakes. Mend them on its page first."]
        response = self.render_page(
            request,
            "payflow/dry_run_form.html",
            version,
            title=f"Dry run of {version}",
            version=version,
            form=form,
            chosen=form.chosen_sources(),
            problems=problems,
            most=MAX_EVENTS,
            zone=timezone.localtime().tzname(),
        )
        response.status_code = status
        return response


def _person(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None
