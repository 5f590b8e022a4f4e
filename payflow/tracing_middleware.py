"""Traces of web requests, when traces are on (payflow/lib/tracing.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse

from payflow.lib import tracing

#: asked every few seconds by machines: their traces would bury those of people
_UNTRACED: Final = frozenset({"/livez", "/readyz", "/metrics"})


class TraceRequests:
    """A span a request, named by method and route: an address may hold what somebody looked for."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        # here and not in wsgi.py: Django builds its handler in the process that answers
        if not tracing.start():
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path in _UNTRACED:
            return self.get_response(request)
        method = request.method or ""
        with tracing.request_span(method, request.headers) as span:
            response = self.get_response(request)
            if request.resolver_match is not None:
                route = request.resolver_match.route
                span.update_name(f"{method} /{route}")
                span.set_attribute("http.route", f"/{route}")
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= 500:
                tracing.mark_failed(span, str(response.status_code))
            return response
