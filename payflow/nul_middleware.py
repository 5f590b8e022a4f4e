"""A NUL character in an address or a form is a bad request, not an error of payflow."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest

from payflow.lib.nul import WHY_NOT, is_about_nul


class RefuseNul:
    """Answers 400 where the database could not take a value because of one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(
        self,
        request: HttpRequest,  # noqa: ARG002  Django's signature
        exception: Exception,
    ) -> HttpResponse | None:
        if not is_about_nul(exception):
            return None
        return HttpResponseBadRequest(WHY_NOT, content_type="text/plain; charset=utf-8")
