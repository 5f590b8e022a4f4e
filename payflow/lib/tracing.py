"""Traces by OpenTelemetry: an extra (requirements/otel.txt), off unless OTEL_* names a collector.

One trace a batch (read, scrub, evaluate, archive, commit, acknowledge) and one a web request. Spans
hold ids, counts and classes of errors; no payload, no address with a query, no text of an error.

While traces are off, nothing of OpenTelemetry is imported and `span` gives one shared object that
does nothing. `start` belongs into the process that does the work, after fork or spawn: the thread
that exports does not survive a fork.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Span, Tracer

logger = logging.getLogger(__name__)

#: seconds that a process which ends gives its last spans: workers have five to stop
_LAST_SPANS_S: Final = 1.0
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_OFF: Final[AbstractContextManager[None]] = nullcontext()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sdk:
    """What this process traces with."""

    provider: TracerProvider
    tracer: Tracer


_sdk: _Sdk | None = None


def start(processor: SpanProcessor | None = None) -> bool:
    """Trace from now on, in this process, if a collector is named; True if traces are on.

    `processor` takes the spans instead of the exporter that OTEL_* describe. Traces that are wanted
    but not installed are a warning: payments matter more.
    """
    global _sdk  # noqa: PLW0603  a fact about this process
    if _sdk is None and (processor is not None or _is_wanted()):
        try:
            _sdk = _make_sdk(processor)
        except ModuleNotFoundError as exc:
            logger.warning(
                "no traces: install requirements/otel.txt",
                extra={"action": "tracing_unavailable", "missing": exc.name},
            )
            return False
        atexit.register(stop)
    return _sdk is not None


def stop() -> None:
    """Send what waits, for a second at most, and trace no more."""
    global _sdk  # noqa: PLW0603
    if _sdk is None:
        return
    # a collector that is away would be tried again for longer than a worker may take to end
    last = threading.Thread(target=_sdk.provider.shutdown, daemon=True)
    _sdk = None
    atexit.unregister(stop)
    last.start()
    last.join(_LAST_SPANS_S)


@contextmanager
def recording() -> Iterator[None]:
    """Traces are on inside the block, if they are wanted; whoever started them ends them."""
    is_mine = _sdk is None and start()
    try:
        yield
    finally:
        if is_mine:
            stop()


def span(name: str) -> AbstractContextManager[Any]:
    """One step of what is going on."""
    return _OFF if _sdk is None else _recorded(_sdk.tracer, name)


def batch_span(*, received_at: datetime, **ids: str | int) -> AbstractContextManager[Any]:
    """The whole way of one batch; it began, and with it the step `read`, when it arrived."""
    return _OFF if _sdk is None else _recorded_batch(_sdk.tracer, received_at, ids)


@contextmanager
def request_span(method: str, headers: Mapping[str, str]) -> Iterator[Span]:
    """A web request, part of the caller's trace if its headers say so. Traces must be on."""
    from opentelemetry.trace import SpanKind  # noqa: PLC0415  the extra
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
        TraceContextTextMapPropagator,
    )

    if _sdk is None:
        raise RuntimeError("traces are off")
    known = ("traceparent", "tracestate")
    carrier = {name: headers[name] for name in known if name in headers}
    with _sdk.tracer.start_as_current_span(
        method,
        context=TraceContextTextMapPropagator().extract(carrier),
        kind=SpanKind.SERVER,
        attributes={"http.request.method": method},
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        yield current


def annotate(facts: Mapping[str, str | int]) -> None:
    """Add what turned out to the span that is open now."""
    if _sdk is not None:
        from opentelemetry.trace import get_current_span  # noqa: PLC0415  the extra

        get_current_span().set_attributes(_attributes(facts))


def mark_failed(current: Span, why: str) -> None:
    """`why` is a class of error or a status, never a text that may quote a payload."""
    from opentelemetry.trace import StatusCode  # noqa: PLC0415  the extra

    current.set_status(StatusCode.ERROR, why)


@contextmanager
def _recorded(tracer: Tracer, name: str, **options: Any) -> Iterator[None]:
    with tracer.start_as_current_span(
        name,
        # OpenTelemetry would keep the error's text and its frames' source
        record_exception=False,
        set_status_on_exception=False,
        **options,
    ) as current:
        try:
            yield
        except Exception as exc:
            mark_failed(current, type(exc).__name__)
            raise


@contextmanager
def _recorded_batch(
    tracer: Tracer, received_at: datetime, ids: Mapping[str, str | int]
) -> Iterator[None]:
    began = round(received_at.timestamp() * 1e9)
    with _recorded(tracer, "batch", start_time=began, attributes=_attributes(ids)):
        tracer.start_span("read", start_time=began).end()
        yield


def _attributes(facts: Mapping[str, str | int]) -> dict[str, str | int]:
    return {f"payflow.{name}": value for name, value in facts.items()}


def _is_wanted() -> bool:
    return (
        any(os.environ.get(name) for name in _ENDPOINTS)
        and os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() != "true"
        and os.environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() == "otlp"
    )


def _make_sdk(processor: SpanProcessor | None) -> _Sdk:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415  the extra
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    resource = Resource.create()
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "payflow"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
    return _Sdk(provider=provider, tracer=provider.get_tracer("payflow"))
