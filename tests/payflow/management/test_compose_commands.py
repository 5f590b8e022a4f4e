"""Every command that docker-compose.yml runs of ours, run as it stands there, without Docker.

Only what a container would bring is put in its place: addresses, the state directory, a free port.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import Request, urlopen

import psycopg
import pytest
from django.conf import settings
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.compose import command, environment, health_command
from tests.otlp import receiving
from tests.payflow.management.running import free_port

TOKEN = "token-of-this-test"
VARIABLES = {
    "POSTGRES_PASSWORD": "x",
    "BROKER_PASSWORD": "x",
    "STREAMS_PASSWORD": "x",
    "DJANGO_SECRET_KEY": "secret-of-this-test",
    "PAYFLOW_SCRUB_KEY": "key-of-this-test",
    "PAYFLOW_ADMIN_PASSWORD": "password-of-this-test",
    "PAYFLOW_METRICS_TOKEN": TOKEN,
    "SLOTS": "1",
    "HOSTNAME": socket.gethostname(),
}
LONG_RUNNING = ("web", "ingest", "tasks", "simulator")


class Installation:
    """The services of the file, as processes on the servers of this test run."""

    def __init__(self, directory: Path, *, database_url: str, collector: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.addresses = {
            "DATABASE_URL": database_url,
            "REDIS_URL": settings.REDIS_URL,
            "STREAMS_URL": settings.STREAMS_URL,
            "PAYFLOW_STATE_DIR": str(directory / "state"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOSTNAME": VARIABLES["HOSTNAME"],
            "PYTHONWARNINGS": "ignore:You're running the worker with superuser",
        }

    def environment(self, service: str, *, like: str = "") -> dict[str, str]:
        """What the file gives the service, or one that is like it, and where things are here."""
        declared = environment(like or service, VARIABLES)
        return declared | self.addresses | {"OTEL_SERVICE_NAME": service}

    def here(self, words: list[str]) -> list[str]:
        """A container has port 8000 and /tmp to itself."""
        places = {":8000": f":{self.port}", "/tmp/": f"{self.directory}/"}
        for there, here in places.items():
            words = [word.replace(there, here) for word in words]
        return words

    def start(self, service: str, words: Sequence[str] = (), *, like: str = "") -> None:
        with (self.directory / f"{service}.log").open("wb") as log:
            self.processes[service] = subprocess.Popen(
                [*words] or self.here(command(service, VARIABLES)),
                cwd=settings.BASE_DIR,
                env=self.environment(service, like=like),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def is_well(self, service: str) -> bool:
        done = subprocess.run(
            self.here(health_command(service, VARIABLES)),
            cwd=settings.BASE_DIR,
            env=self.environment(service),
            capture_output=True,
            check=False,
            timeout=30,
        )
        return done.returncode == 0

    def get(self, path: str, headers: Mapping[str, str]) -> str:
        request = Request(f"http://127.0.0.1:{self.port}{path}", headers=dict(headers))
        with urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())

    def logs(self) -> str:
        return "\n".join(
            f"--- {log.name}\n{log.read_text()[-2000:]}" for log in self.directory.glob("*.log")
        )

    def stop(self, *services: str) -> dict[str, int]:
        """SIGTERM to all at once, as `docker compose stop`; exit codes by service."""
        for service in services:
            self.processes[service].terminate()
        return {service: self.processes[service].wait(10) for service in services}


@contextmanager
def installation(directory: Path, *, collector: str) -> Iterator[Installation]:
    """On a database of its own; whatever still runs at the end is killed."""
    server, _, _ = os.environ["DATABASE_URL"].rpartition("/")
    name = f"compose_{os.getpid()}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        made = Installation(directory, database_url=f"{server}/{name}", collector=collector)
        try:
            yield made
        finally:
            for process in made.processes.values():
                with suppress(ProcessLookupError):
                    process.kill()
                process.wait()
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def wait_for(condition: Callable[[], bool], made: Installation, *, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with suppress(OSError):
            if condition():
                return
        assert time.monotonic() < deadline, made.logs()
        time.sleep(0.2)


def figure(made: Installation, name: str) -> float:
    """The sum over a metric's samples, as Prometheus would scrape them."""
    text = made.get("/metrics", {"Authorization": f"Bearer {TOKEN}"})
    samples = [sample for family in parse_text(text) for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == name)


def senders(spans: Iterable[ExportTraceServiceRequest], name: str) -> set[str]:
    """The services whose processes have sent a span of this name."""
    return {
        attribute.value.string_value
        for request in spans
        for resource in request.resource_spans
        if any(span.name == name for scope in resource.scope_spans for span in scope.spans)
        for attribute in resource.resource.attributes
        if attribute.key == "service.name"
    }


@pytest.mark.usefixtures("broker", "streams")
def test_the_services_work_together_and_stop_when_told(tmp_path):
    """Events go from the simulator to /metrics, every health check is good, SIGTERM ends all.

    Traces come from web, from the pool's child of a worker and from `drain` alike.
    """
    with receiving() as (url, spans), installation(tmp_path, collector=url) as made:
        made.start("prepare")
        assert made.processes["prepare"].wait(60) == 0, made.logs()
        for service in LONG_RUNNING:
            made.start(service)
        made.start("drain", [sys.executable, "manage.py", "drain"], like="ingest")

        wait_for(lambda: "payflow" in made.get("/login/", {}), made)
        wait_for(lambda: senders(spans, "commit") == {"ingest", "drain"}, made)
        wait_for(lambda: figure(made, "payflow_drainers") == 2, made)
        wait_for(lambda: figure(made, "payflow_messages_total") > 0, made)
        well = {service: made.is_well(service) for service in LONG_RUNNING}
        codes = made.stop(*LONG_RUNNING, "drain")

        assert well == dict.fromkeys(LONG_RUNNING, True), made.logs()
        assert codes == dict.fromkeys((*LONG_RUNNING, "drain"), 0), made.logs()
        assert senders(spans, "GET /login/") == {"web"}
