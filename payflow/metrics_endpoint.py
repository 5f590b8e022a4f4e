"""`/metrics` for Prometheus: the figures of the whole installation, from whichever web process.

It wants `Authorization: Bearer <PAYFLOW_METRICS_TOKEN>`, always: behind a proxy on the same machine
everybody's requests come from the loopback address, so an address is no proof of who asks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder

from payflow.figures import Figures

#: seconds that all who ask share what was read; below any sensible interval between scrapes, so
#: that no later answer, of this process or of another, can be older than an earlier one
KEEP_S: Final = 5.0


class Shared:
    """The figures, read by one thread at a time and kept for a moment."""

    def __init__(self, figures: Figures) -> None:
        self._lock = threading.Lock()
        self._figures = figures
        self._families: Sequence[Family] = ()
        self._read_at = -KEEP_S

    def collect(self) -> Sequence[Family]:
        with self._lock:
            if time.monotonic() - self._read_at >= KEEP_S:
                self._families = self._figures.read()
                self._read_at = time.monotonic()
            return self._families


_shared = Shared(Figures())


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """In the text format that the Accept header asks for; 401 without the token."""
    if not _has_token(request):
        response = HttpResponse("The bearer token PAYFLOW_METRICS_TOKEN is needed.\n", status=401)
        response["WWW-Authenticate"] = 'Bearer realm="payflow metrics"'
        response["Content-Type"] = "text/plain; charset=utf-8"
        return response
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(_shared), content_type=content_type)


def _has_token(request: HttpRequest) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    expected = settings.PAYFLOW["METRICS_TOKEN"]
    return scheme.lower() == "bearer" and constant_time_compare(token.strip(), expected)
