"""Endpoints of versions: draft, validate, compare, activate, roll back."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Final

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from configuration import activation, validators, versions
from configuration.activation import FourEyes, GateClosed
from configuration.api.shapes import (
    ActivateShape,
    ActivationShape,
    AuditShape,
    NewDraftShape,
    ReasonShape,
    SaveDraftShape,
    VersionShape,
    WholeVersionShape,
)
from configuration.diff import diff_documents
from configuration.documents import Written, tell
from configuration.models import Activation, AuditEntry, ConfigurationVersion
from payflow.lib.api.problems import Refused, as_json, refused
from payflow.lib.errors import ConfigurationError

#: of the number of a row
_MAX_DIGITS: Final = 19
_VIEW: Final = "configuration.view_configurationversion"
_ADD: Final = "configuration.add_configurationversion"
_CHANGE: Final = "configuration.change_configurationversion"
_ACTIVATE: Final = "configuration.activate_configurationversion"
_ROLL_BACK: Final = "configuration.rollback_configurationversion"


class VersionList(ListAPIView[ConfigurationVersion]):
    """GET: versions, newest first, by kind, name and status. POST: a new draft."""

    permissions = {"GET": _VIEW, "POST": _ADD}
    serializer_class = VersionShape

    def get_queryset(self) -> QuerySet[ConfigurationVersion]:
        wanted = {
            name: value
            for name in ("kind", "name", "status")
            if (value := self.request.query_params.get(name))
        }
        return ConfigurationVersion.objects.filter(**wanted).select_related(
            "author", "approval_asked_by"
        )

    def post(self, request: Request) -> Response:
        """201 with the draft: one that is wrong is kept too, and says what is wrong."""
        sent = _checked(NewDraftShape, request)
        told = _told(_text(sent))
        draft = versions.create_draft(
            kind=told.kind,
            name=told.name,
            text=told.text,
            author=_user(request),
            note=sent["note"],
        )
        return _answer(draft, status=HTTPStatus.CREATED)


class Validation(APIView):
    """POST: everything that is wrong with a document; nothing is kept.

    Rules are tried, which costs: it is for those who write them.
    """

    permissions = {"POST": _CHANGE}

    def post(self, request: Request) -> Response:
        told = _told(_text(_checked(NewDraftShape, request)))
        _, problems = versions.check_text(told.kind, told.name, told.text)
        return Response(
            {
                "kind": told.kind,
                "name": told.name,
                "valid": not problems,
                "errors": as_json(problems),
            }
        )


class VersionDetail(APIView):
    """GET: all of a version. PUT: another text for a draft. DELETE: discard a draft.

    The ETag is that of the text; `If-Match` on PUT keeps two editors from overwriting each other.
    """

    permissions = {"GET": _VIEW, "PUT": _CHANGE, "DELETE": _CHANGE}

    def get(self, request: Request, pk: int) -> Response:  # noqa: ARG002  the framework's
        return _answer(_version(pk))

    def put(self, request: Request, pk: int) -> Response:
        sent = _checked(SaveDraftShape, request)
        try:
            saved = versions.save_draft(
                _version(pk),
                _text(sent),
                by=_user(request),
                note=sent.get("note"),
                expected=_expected(request),
            )
        except versions.StaleDraft as exc:
            raise Refused(HTTPStatus.PRECONDITION_FAILED, str(exc)) from exc
        except versions.NotADraft as exc:
            raise Refused(HTTPStatus.CONFLICT, str(exc)) from exc
        except ConfigurationError as exc:
            raise refused(exc) from exc
        return _answer(saved)

    def delete(self, request: Request, pk: int) -> Response:
        try:
            versions.discard_draft(_version(pk), by=_user(request))
        except versions.NotADraft as exc:
            raise Refused(HTTPStatus.CONFLICT, str(exc)) from exc
        return Response(status=HTTPStatus.NO_CONTENT)


class NewDraft(APIView):
    """POST: a draft with the content of this version."""

    permissions = {"POST": _ADD}

    def post(self, request: Request, pk: int) -> Response:
        draft = versions.new_draft_from(_version(pk), author=_user(request))
        return _answer(draft, status=HTTPStatus.CREATED)


class Difference(APIView):
    """GET ?against=<id>: changes from that version to this one; without it, from the active one."""

    permissions = {"GET": _VIEW}

    def get(self, request: Request, pk: int) -> Response:
        new = _version(pk)
        old = self._against(request, new)
        changes = diff_documents(new.kind, old.document if old else {}, new.document)
        return Response(
            {
                "from": VersionShape(old).data if old else None,
                "to": VersionShape(new).data,
                "changes": [
                    {
                        "area": change.area,
                        "subject": change.subject,
                        "what": change.what,
                        "action": change.action,
                        "old": change.old,
                        "new": change.new,
                        "pointer": change.pointer,
                        "note": change.note,
                    }
                    for change in changes
                ],
                "compatibility": _compatibility(old, new),
            }
        )

    @staticmethod
    def _against(request: Request, new: ConfigurationVersion) -> ConfigurationVersion | None:
        given = request.query_params.get("against")
        same = ConfigurationVersion.objects.filter(kind=new.kind, name=new.name)
        if given is None:
            return same.filter(status="active").first()
        if not given.isdecimal() or len(given) > _MAX_DIGITS:
            raise ValidationError({"against": "must be the id of a version"})
        return get_object_or_404(same, pk=given)


class Activate(APIView):
    """POST: make it live. 409 when gate or four eyes refuse, 422 when it is wrong.

    `If-Match` with the ETag of the text that was looked at: 412 when it was saved again since.
    """

    permissions = {"POST": _ACTIVATE}

    def post(self, request: Request, pk: int) -> Response:
        version, sent = _version(pk), _checked(ActivateShape, request)
        if _expected(request) not in (None, versions.text_token(version)):
            message = f"{version} was saved again meanwhile: look at it once more"
            raise Refused(HTTPStatus.PRECONDITION_FAILED, message)
        try:
            entry = activation.activate(version, by=_user(request), **sent)
        except (GateClosed, FourEyes) as exc:
            raise refused(exc, HTTPStatus.CONFLICT) from exc
        except ConfigurationError as exc:
            raise refused(exc) from exc
        return Response(ActivationShape(entry).data)


class AskApproval(APIView):
    """POST: ask a second person to make a draft live."""

    permissions = {"POST": _CHANGE}

    def post(self, request: Request, pk: int) -> Response:
        version, sent = _version(pk), _checked(ReasonShape, request)
        try:
            activation.ask_approval(version, by=_user(request), **sent)
        except versions.NotADraft as exc:
            raise Refused(HTTPStatus.CONFLICT, str(exc)) from exc
        except ConfigurationError as exc:
            raise refused(exc) from exc
        return _answer(version)


class RollBack(APIView):
    """POST: make a version that was live before the active one again."""

    permissions = {"POST": _ROLL_BACK}

    def post(self, request: Request, pk: int) -> Response:
        version, sent = _version(pk), _checked(ReasonShape, request)
        try:
            entry = activation.roll_back(
                version.kind, version.name, to=version, by=_user(request), **sent
            )
        except ConfigurationError as exc:
            raise refused(exc, HTTPStatus.CONFLICT) from exc
        return Response(ActivationShape(entry).data)


class ActivationList(ListAPIView[Activation]):
    """GET: what went live, newest first."""

    permissions = {"GET": "configuration.view_activation"}
    serializer_class = ActivationShape
    queryset = Activation.objects.select_related(
        "version__author", "previous__author", "activated_by", "approved_by"
    )


class AuditList(ListAPIView[AuditEntry]):
    """GET: who did what, newest first."""

    permissions = {"GET": "configuration.view_auditentry"}
    serializer_class = AuditShape
    queryset = AuditEntry.objects.select_related("actor")


# --- what they share -----------------------------------------------------------------------------


def _user(request: Request) -> User:
    user = request.user
    if not isinstance(user, User):  # the permission has seen to it
        raise TypeError
    return user


def _version(pk: int) -> ConfigurationVersion:
    rows = ConfigurationVersion.objects.select_related("author", "approval_asked_by")
    return get_object_or_404(rows, pk=pk)


def _expected(request: Request) -> str | None:
    """The text_token() that the caller has seen; None where it does not matter to them."""
    return request.headers.get("If-Match", "").strip().strip('"') or None


def _checked(shape: type[Any], request: Request) -> dict[str, Any]:
    form = shape(data=request.data)
    form.is_valid(raise_exception=True)
    sent: dict[str, Any] = form.validated_data
    return sent


def _text(sent: dict[str, Any]) -> str:
    """The document as it is kept: YAML as it was sent, JSON in lines."""
    if "text" in sent:
        text: str = sent["text"]
        return text
    try:
        return json.dumps(sent["document"], indent=2, ensure_ascii=False) + "\n"
    except RecursionError as exc:
        raise ParseError("not to be read: it is nested too deeply") from exc


def _told(text: str) -> Written:
    """A document that can be read, with its kind and name. Raises Refused (422)."""
    try:
        return tell(text)
    except ConfigurationError as exc:
        raise refused(exc) from exc


def _compatibility(
    old: ConfigurationVersion | None, new: ConfigurationVersion
) -> dict[str, Any] | None:
    """Of two valid schemas; None for anything else."""
    if old is None or new.kind != "schema" or old.problems or new.problems:
        return None
    found = validators.compare_schemas(old.document, new.document)
    return {
        direction: {
            "ok": verdict.ok,
            "reasons": [
                {"pointer": reason.pointer, "effect": reason.effect, "detail": str(reason)}
                for reason in verdict.reasons
            ],
        }
        for direction, verdict in (("backward", found.backward), ("forward", found.forward))
    }


def _answer(version: ConfigurationVersion, *, status: HTTPStatus = HTTPStatus.OK) -> Response:
    data = WholeVersionShape(version).data
    headers = {"ETag": f'"{versions.text_token(version)}"'}
    return Response(data, status=int(status), headers=headers)
