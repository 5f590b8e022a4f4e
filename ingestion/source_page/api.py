"""The REST API of sources: how they are, pause and resume, test a connection."""

from __future__ import annotations

from http import HTTPStatus
from itertools import islice
from typing import Any, Final

from django.contrib.auth.models import User
from django.shortcuts import get_object_or_404
from django.utils import timezone
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from configuration import sources
from configuration.documents import unstorable
from configuration.models import Source
from configuration.sources import shown_setting
from ingestion.models import Partition
from ingestion.partition_page import is_leased
from ingestion.partitions import lag_is_known
from ingestion.source_models import SourceError
from ingestion.source_page.connection_check import (
    CheckedConnection,
    TooManyChecks,
    check_connection,
)
from ingestion.source_page.reading import RATE_S, Summary, summaries_of
from ingestion.source_page.state import health_of
from payflow.lib.api.problems import Refused, refused
from payflow.lib.api.wire import NewestFirst
from payflow.lib.errors import ConfigurationError

_VIEW: Final = "configuration.view_source"
_CHANGE: Final = "configuration.change_source"
_ERRORS: Final = 20


class SourceShape(serializers.BaseSerializer[Source]):
    """A source in a list; `context["summaries"]` is what the tables say of each."""

    def to_representation(self, instance: Source) -> dict[str, Any]:
        summary: Summary = self.context["summaries"][instance.pk]
        health = health_of(instance, summary)
        return {
            "name": instance.name,
            "broker_type": instance.broker_type,
            "state": health.name,
            "state_text": health.text,
            "paused_at": instance.paused_at,
            "paused_reason": instance.paused_reason,
            "partitions": summary.partitions,
            "stopped_partitions": summary.stopped,
            "paused_partitions": summary.paused,
            "messages_per_second": round(summary.rate, 3),
            "lag_events": summary.lag_events,
            "lag_seconds": summary.lag_seconds,
        }


class WholeSourceShape(SourceShape):
    """A source with its settings, connections, partitions and last errors."""

    def to_representation(self, instance: Source) -> dict[str, Any]:
        summary: Summary = self.context["summaries"][instance.pk]
        settings = {name: shown_setting(value) for name, value in instance.settings.items()}
        return {
            **super().to_representation(instance),
            "settings": settings,
            "settings_serial": instance.settings_serial,
            "connections": [_connection(row) for row in summary.connections],
            "partition_list": _partitions(instance, summary),
            "errors": [
                _error(row) for row in SourceError.objects.filter(source=instance)[:_ERRORS]
            ],
        }


def _connection(row: Any) -> dict[str, Any]:
    return {
        "worker": row.owner,
        "connected_since": row.connected_since,
        "failing_since": row.failing_since,
        "error": row.error,
        "retry_at": row.retry_at,
        "seen_at": row.seen_at,
    }


def _partitions(source: Source, summary: Summary) -> list[dict[str, Any]]:
    """Those that are not finished; lag is null when nobody says."""
    now = timezone.now()
    rows = Partition.objects.filter(source=source).exclude(state=Partition.State.FINISHED)
    found = []
    for row in rows.order_by("pk"):
        known = lag_is_known(row, now=now)
        found.append(
            {
                "name": row.name,
                "state": row.state,
                "stopped_reason": row.stopped_reason,
                "position": row.position,
                "messages_taken": row.sequence_number,
                "messages_per_second": round(summary.messages.get(row.pk, 0) / RATE_S, 3),
                "lag_events": row.lag_events if known else None,
                "lag_seconds": row.lag_seconds if known else None,
                "lease_owner": row.leased_by if is_leased(row) else "",
                "lease_epoch": row.lease_epoch,
                "committed_at": row.committed_at,
            }
        )
    return found


def _error(row: SourceError) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "partition": row.partition_name,
        "message": row.message,
        "first_at": row.first_at,
        "last_at": row.last_at,
        "times": row.times,
    }


class SourceList(ListAPIView[Source]):
    """GET: sources, newest first."""

    permissions = {"GET": _VIEW}
    pagination_class = NewestFirst
    serializer_class = SourceShape
    queryset = Source.objects.select_related("active_bundle")

    def get_serializer(self, rows: Any, **kwargs: Any) -> Any:
        """With what the tables say of the rows of this page."""
        return SourceShape(rows, context=_context(rows), **kwargs)


class SourceDetail(APIView):
    """GET: how a source is, with its connections and partitions."""

    permissions = {"GET": _VIEW}

    def get(self, request: Request, name: str) -> Response:  # noqa: ARG002  the framework's
        return _answer(_source(name))


class PauseSource(APIView):
    """POST {"reason"}: workers give its partitions back. Paused already: nothing changes."""

    permissions = {"POST": _CHANGE}

    def post(self, request: Request, name: str) -> Response:
        form = ReasonShape(data=request.data)
        form.is_valid(raise_exception=True)
        source = _readable(name)
        sources.pause(source, reason=form.validated_data["reason"], by=_user(request))
        return _answer(_source(name))


class ResumeSource(APIView):
    """POST: workers take its partitions again. Not paused: nothing changes."""

    permissions = {"POST": _CHANGE}

    def post(self, request: Request, name: str) -> Response:
        sources.resume(_readable(name), by=_user(request))
        return _answer(_source(name))


class CheckSource(APIView):
    """POST [{"settings"}]: what must hold for it to be read, with its settings or with others.

    200 whether it holds or not: `ok` says so. 503 while too many tests run.
    """

    permissions = {"POST": _CHANGE}

    def post(self, request: Request, name: str) -> Response:
        source = _readable(name)
        form = SettingsShape(data=request.data)
        form.is_valid(raise_exception=True)
        settings = sources.unhidden(
            form.validated_data.get("settings", source.settings), source.settings
        )
        if problems := list(islice(unstorable(settings, "/settings"), _ERRORS)):
            raise Refused(
                HTTPStatus.UNPROCESSABLE_ENTITY, "Such settings cannot be kept.", problems
            )
        try:
            found = check_connection(
                source.broker_type, source=source.name, settings=settings, by=_user(request)
            )
        except ConfigurationError as exc:
            raise refused(exc) from exc
        except TooManyChecks as exc:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(exc)) from exc
        return Response(_as_json(found))


class ReasonShape(serializers.Serializer[Any]):
    """Why."""

    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=256)


class SettingsShape(serializers.Serializer[Any]):
    """Settings to try in place of those that the source has."""

    settings = serializers.DictField(required=False)


def _as_json(found: CheckedConnection) -> dict[str, Any]:
    return {
        "ok": found.is_ok,
        "seconds": round(found.seconds, 3),
        "steps": [
            {"name": step.name, "ok": step.is_ok, "detail": step.detail} for step in found.steps
        ],
    }


def _source(name: str) -> Source:
    return get_object_or_404(Source.objects.select_related("active_bundle"), name=name)


def _readable(name: str) -> Source:
    """A source that workers read; raises Refused for files, which a command reads."""
    source = _source(name)
    if source.broker_type == "file":
        raise Refused(
            HTTPStatus.CONFLICT, "A source of files is read by a command, not by workers."
        )
    return source


def _user(request: Request) -> User | None:
    return request.user if isinstance(request.user, User) else None


def _context(rows: Any) -> dict[str, Any]:
    return {"summaries": summaries_of([row.pk for row in rows], now=timezone.now())}


def _answer(source: Source) -> Response:
    return Response(WholeSourceShape(source, context=_context([source])).data)
