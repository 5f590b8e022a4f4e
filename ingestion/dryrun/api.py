"""The REST API of dry runs: start one on a draft, follow its job, cancel it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.shortcuts import get_object_or_404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from configuration.models import ConfigurationVersion, Job
from ingestion import jobs
from ingestion.dryrun.card import may_cancel, may_start
from ingestion.dryrun.form import DEFAULT_LAST
from ingestion.dryrun.run import candidates, new_dry_run
from ingestion.dryrun.scope import MAX_EVENTS, Scope
from payflow.lib.api.problems import Refused, refused
from payflow.lib.errors import ConfigurationError, PayflowError


class DryRunShape(serializers.Serializer[Any]):
    """Which archived events: the last N, or those that arrived in a range."""

    sources = serializers.ListField(child=serializers.CharField(), required=False, max_length=100)
    last = serializers.IntegerField(required=False, min_value=1, max_value=MAX_EVENTS)
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        since, until = attrs.get("since"), attrs.get("until")
        if "last" in attrs and (since or until):
            raise serializers.ValidationError({"last": "send either last, or since and until"})
        if since and until and since >= until:
            raise serializers.ValidationError({"until": "the range ends before it begins"})
        return attrs


class JobShape(serializers.ModelSerializer[Job]):
    """A job with its progress and, when it is done, what came of it."""

    id = serializers.CharField(read_only=True)
    version = serializers.CharField(source="version_id", read_only=True)
    created_by = serializers.SlugRelatedField[Any]("username", read_only=True)

    class Meta:
        model = Job
        fields = (
            "id",
            "kind",
            "title",
            "state",
            "version",
            "done",
            "total",
            "result",
            "error",
            "created_by",
            "created_at",
            "started_at",
            "finished_at",
        )
        read_only_fields = fields


class StartDryRun(APIView):
    """POST: compare a version with what is live; 202 with the job, whose Location follows it."""

    permissions = {"POST": "configuration.view_configurationversion"}

    def post(self, request: Request, pk: int) -> Response:
        if not may_start(request):
            raise PermissionDenied
        version = get_object_or_404(ConfigurationVersion, pk=pk)
        form = DryRunShape(data=request.data)
        form.is_valid(raise_exception=True)
        by = request.user if isinstance(request.user, User) else None
        try:
            job = new_dry_run(version, _scope(version, form.validated_data), by=by)
        except ConfigurationError as exc:
            raise refused(exc) from exc
        except PayflowError as exc:
            raise Refused(HTTPStatus.CONFLICT, str(exc)) from exc
        jobs.submit(job)
        headers = {"Location": f"/api/v1/jobs/{job.pk}/"}
        return Response(JobShape(job).data, status=int(HTTPStatus.ACCEPTED), headers=headers)


class JobDetail(APIView):
    """GET: how far a job is, and its result."""

    permissions = {"GET": "configuration.view_job"}

    def get(self, request: Request, pk: int) -> Response:  # noqa: ARG002  the framework's
        return Response(JobShape(get_object_or_404(Job, pk=pk)).data)


class CancelJob(APIView):
    """POST: ask a job to end; it does so within a second. 409 when it is over already."""

    permissions = {"POST": "configuration.view_job"}

    def post(self, request: Request, pk: int) -> Response:
        if not may_cancel(request):
            raise PermissionDenied
        job = get_object_or_404(Job, pk=pk)
        if not jobs.cancel(job):
            raise Refused(HTTPStatus.CONFLICT, f"{job} is over already: {job.state}.")
        job.refresh_from_db()
        return Response(JobShape(job).data, status=int(HTTPStatus.ACCEPTED))


def _scope(version: ConfigurationVersion, sent: dict[str, Any]) -> Scope:
    """Raises ValidationError for a source that cannot be compared on."""
    known = {source.name: source.pk for source in candidates(version)}
    names = sent.get("sources") or list(known)
    if unknown := [name for name in names if name not in known]:
        uses = ", ".join(known) or "none"
        message = f"{unknown[0]!r} does not use {version.name!r}; sources that do: {uses}"
        raise serializers.ValidationError({"sources": message})
    has_range = "since" in sent or "until" in sent
    return Scope(
        sources=tuple(known[name] for name in names),
        last=None if has_range else sent.get("last", DEFAULT_LAST),
        since=sent.get("since"),
        until=sent.get("until"),
    )
