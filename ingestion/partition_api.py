"""The REST API of one partition: move its checkpoint, pause it, resume it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.contrib.auth.models import User
from django.shortcuts import get_object_or_404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ingestion import partitions, seeking
from ingestion.models import Partition
from ingestion.partitions import MAX_REASON, full_name
from ingestion.seek_plan import KINDS, SeekRefused, Target, as_json, parse_target, why_not
from payflow.lib.api.problems import Refused, refused
from payflow.lib.errors import ConfigurationError, SourceUnavailable

_CHANGE = "ingestion.change_partition"


class SeekShape(serializers.Serializer[Any]):
    """Where to go and why; `dry_run` only says what it would do."""

    to = serializers.ChoiceField(choices=KINDS)
    time = serializers.DateTimeField(required=False)
    position = serializers.CharField(required=False, max_length=48)
    reason = serializers.CharField(required=False, max_length=MAX_REASON)
    dry_run = serializers.BooleanField(default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        kind = attrs["to"]
        for name in ("time", "position"):
            if (name in attrs) != (kind == name):
                needed = f"to {kind!r} {'needs' if kind == name else 'has'} "
                message = needed + ("one" if kind == name else "none")
                raise serializers.ValidationError({name: message})
        if not attrs["dry_run"] and "reason" not in attrs:
            raise serializers.ValidationError({"reason": "say why: it stays in the audit log"})
        try:
            attrs["target"] = _target(attrs)
        except SeekRefused as exc:
            raise serializers.ValidationError({kind: str(exc)}) from exc
        return attrs


class ReasonShape(serializers.Serializer[Any]):
    """Why."""

    reason = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=MAX_REASON
    )


class SeekPartition(APIView):
    """POST: move the checkpoint; the answer says what that skipped or repeated.

    409 when it cannot go there, or was moved meanwhile; 503 when the broker does not answer.
    """

    permissions = {"POST": _CHANGE}

    def post(self, request: Request, name: str, partition: str) -> Response:
        row = _partition(name, partition)
        form = SeekShape(data=request.data)
        form.is_valid(raise_exception=True)
        sent = form.validated_data
        try:
            made = seeking.plan(row, sent["target"])
            if sent["dry_run"]:
                return Response(as_json(made) | {"dry_run": True})
            moved = seeking.seek(made, by=_person(request), reason=sent["reason"])
        except SeekRefused as exc:
            raise Refused(HTTPStatus.CONFLICT, str(exc)) from exc
        except SourceUnavailable as exc:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, why_not(exc)) from exc
        except ConfigurationError as exc:
            raise refused(exc, HTTPStatus.CONFLICT) from exc
        return Response(as_json(made) | seeking.as_details(moved) | {"seek": str(moved.pk)})


class PausePartition(APIView):
    """POST: let nobody read it; 409 when it is not active."""

    permissions = {"POST": _CHANGE}

    def post(self, request: Request, name: str, partition: str) -> Response:
        row = _partition(name, partition)
        form = ReasonShape(data=request.data)
        form.is_valid(raise_exception=True)
        if not partitions.pause(row, reason=form.validated_data["reason"], by=_person(request)):
            raise Refused(HTTPStatus.CONFLICT, f"{full_name(row)} is {row.state}, not active.")
        return _state(row)


class ResumePartition(APIView):
    """POST: read it on from where it stands; 409 when it was neither stopped nor paused."""

    permissions = {"POST": _CHANGE}

    def post(self, request: Request, name: str, partition: str) -> Response:
        row = _partition(name, partition)
        if not partitions.resume(row, by=_person(request)):
            raise Refused(HTTPStatus.CONFLICT, f"{full_name(row)} is {row.state} already.")
        return _state(row)


def _partition(name: str, partition: str) -> Partition:
    rows = Partition.objects.select_related("source")
    return get_object_or_404(rows, source__name=name, name=partition)


def _target(sent: dict[str, Any]) -> Target:
    return parse_target(sent["to"], position=sent.get("position", ""), moment=sent.get("time"))


def _person(request: Request) -> User | None:
    return request.user if isinstance(request.user, User) else None


def _state(row: Partition) -> Response:
    row.refresh_from_db()
    return Response(
        {
            "partition": full_name(row),
            "state": row.state,
            "position": row.position,
            "sequence_number": row.sequence_number,
        }
    )
