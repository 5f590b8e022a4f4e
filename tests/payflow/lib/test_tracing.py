"""Traces: what they hold, what they must not hold, and what they cost when they are off."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import DatabaseError
from django.test import Client
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from ingestion import pipeline
from payflow.lib import tracing
from tests.otlp import receiving
from tests.payflow.management.running import free_port

STEPS = ["read", "scrub", "evaluate", "archive", "commit", "acknowledge"]


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Traces are on in this process, and kept in a list."""
    exporter = InMemorySpanExporter()
    assert tracing.start(SimpleSpanProcessor(exporter))
    yield exporter
    tracing.stop()


@pytest.fixture
def collector(monkeypatch) -> Iterator[list[ExportTraceServiceRequest]]:
    """A receiver that the standard variable names; what it got."""
    with receiving() as (url, got):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        yield got
        tracing.stop()


def run(code: str, **env: str) -> str:
    """What a Python process of its own prints."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command,
        cwd=settings.BASE_DIR,
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def only(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    (found,) = (span for span in spans.get_finished_spans() if span.name == name)
    return found


def test_traces_that_are_off_are_one_object_that_does_nothing():
    """No import of OpenTelemetry, and less than a microsecond a step."""
    imported = run("import sys, payflow.lib.tracing; print('opentelemetry' in sys.modules)")
    start = time.perf_counter()
    for _ in range(20_000):
        with tracing.span("scrub"):
            pass
    each_us = (time.perf_counter() - start) / 20_000 * 1e6

    assert imported == "False\n"
    assert tracing.start() is False
    assert tracing.span("scrub") is tracing.span("commit")
    assert each_us < 2


def test_a_batch_is_one_trace_of_its_steps(ingest, event, spans):
    """Each step lies within the batch, in the order of the path."""
    ingest([event(1), event(2), b"{"])

    batch = only(spans, "batch")
    steps = [span for span in spans.get_finished_spans() if span.parent]
    assert [span.name for span in steps] == STEPS
    assert batch.context
    for step in steps:
        assert step.parent
        assert step.parent.span_id == batch.context.span_id
        assert step.context
        assert step.context.trace_id == batch.context.trace_id
        assert batch.start_time <= step.start_time <= step.end_time <= batch.end_time
    assert batch.attributes
    assert batch.attributes["payflow.messages"] == 3
    assert batch.attributes["payflow.accepted"] == 2
    assert batch.attributes["payflow.failed"] == 1
    assert batch.attributes["payflow.partition"]


def test_an_error_keeps_its_class_only(spans):
    """The text of an error may quote what a customer sent."""
    secret = "4111 1111 1111 1111"
    with pytest.raises(DatabaseError), pipeline.Stopwatch()("evaluate"):
        raise DatabaseError(secret)

    span = only(spans, "evaluate")
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "DatabaseError"
    assert not span.events
    assert secret not in span.to_json()


@pytest.fixture
def web(db, spans) -> Client:
    """A client whose handler was built with traces on."""
    return Client(raise_request_exception=False)


def test_a_request_is_named_by_its_route(web, spans):
    """An address may hold what somebody looked for: it is in no span."""
    caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    web.get("/login/?q=C-4711", headers={"traceparent": caller})

    span = only(spans, "GET /login/")
    assert span.attributes == {
        "http.request.method": "GET",
        "http.route": "/login/",
        "http.response.status_code": 200,
    }
    assert span.context
    assert f"{span.context.trace_id:032x}" == caller.split("-")[1]
    assert "C-4711" not in span.to_json()


def test_a_request_that_fails_is_marked(web, spans, monkeypatch):
    """By its status; the error's text is in the log of the server, if anywhere."""
    monkeypatch.setattr("django.contrib.admin.sites.AdminSite.login", None)
    web.get("/login/")

    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "500"


def test_probes_and_scrapes_are_not_traced(web, spans):
    """They come every few seconds and would bury the rest."""
    web.get("/livez")
    web.get("/metrics")

    assert spans.get_finished_spans() == ()


def test_spans_reach_a_collector_by_otlp(collector):
    """The standard variables are enough; what waits is sent when the process ends."""
    with tracing.recording(), tracing.span("scrub"):
        pass

    (request,) = collector
    (resource,) = request.resource_spans
    service = {a.key: a.value.string_value for a in resource.resource.attributes}["service.name"]
    assert service == "payflow"
    assert [span.name for span in resource.scope_spans[0].spans] == ["scrub"]
    assert tracing.span("scrub") is tracing.span("commit")


def test_a_collector_that_is_away_holds_nobody_up():
    """A worker has five seconds to stop, and gives its last spans one of them."""
    code = """if True:
        import time
        from payflow.lib import tracing
        tracing.start()
        with tracing.span("scrub"):
            pass
        print(time.monotonic())
    """
    ended = run(code, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}")

    assert 1 <= time.monotonic() - float(ended) < 5


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")]
)
def test_the_standard_switches_turn_traces_off(collector, monkeypatch, name, value):
    """Even where a collector is named."""
    monkeypatch.setenv(name, value)

    assert tracing.start() is False


def test_traces_that_are_not_installed_are_a_warning(collector, monkeypatch, caplog):
    """Payments go on; the log says what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    with tracing.recording():
        assert tracing.start() is False

    assert {record.action for record in caplog.records} == {"tracing_unavailable"}
    assert "requirements/otel.txt" in caplog.text
