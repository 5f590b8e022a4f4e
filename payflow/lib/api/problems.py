"""Errors as application/problem+json (RFC 9457), with a JSON pointer for each thing wrong."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from payflow.lib.errors import ConfigurationError, Problem
from payflow.lib.nul import WHY_NOT, is_about_nul

CONTENT_TYPE: Final = "application/problem+json"


class Refused(exceptions.APIException):
    """A request that cannot be granted, with everything that is wrong.

    `wait_s`: seconds after which it may be repeated, where that may help.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        problems: Sequence[Problem] = (),
        *,
        wait_s: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.status_code = status
        self.problems = problems
        self.wait_s = wait_s


def refused(
    exc: ConfigurationError, status: HTTPStatus = HTTPStatus.UNPROCESSABLE_ENTITY
) -> Refused:
    """A wrong document as an answer: 422, or what the caller says."""
    detail = (type(exc).__doc__ or "").strip().splitlines()[0]
    return Refused(status, detail, exc.problems)


def handle(exc: Exception, context: dict[str, Any]) -> Response | None:  # noqa: ARG001  the framework's
    """The answer to an error; None lets Django answer 500, whose cause stands in the log."""
    if isinstance(exc, Http404):
        exc = exceptions.NotFound("There is no such thing.")
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied()
    elif is_about_nul(exc):
        exc = exceptions.ParseError(WHY_NOT)
    if not isinstance(exc, exceptions.APIException):
        return None
    status = HTTPStatus(exc.status_code)
    body: dict[str, Any] = {"type": "about:blank", "title": status.phrase, "status": int(status)}
    if isinstance(exc, exceptions.ValidationError):
        body |= {"detail": "The request is not as it should be.", "errors": _fields(exc.detail)}
    else:
        body["detail"] = str(exc.detail)
    if isinstance(exc, Refused) and exc.problems:
        body["errors"] = as_json(exc.problems)
    response = Response(body, status=int(status), content_type=CONTENT_TYPE)
    if header := getattr(exc, "auth_header", None):
        response["WWW-Authenticate"] = header
    if isinstance(exc, Refused) and exc.wait_s is not None:
        response["Retry-After"] = str(exc.wait_s)
    return response


def as_json(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """The pointer into the document, its line in the text (0: none), and what is wrong there."""
    return [
        {"pointer": problem.pointer, "line": problem.line, "detail": problem.message}
        for problem in problems
    ]


def _fields(detail: Any, pointer: str = "") -> list[dict[str, str]]:
    if isinstance(detail, dict):
        return [e for name, item in detail.items() for e in _fields(item, f"{pointer}/{name}")]
    if isinstance(detail, list):
        return [e for item in detail for e in _fields(item, pointer)]
    return [{"pointer": pointer, "detail": str(detail)}]
