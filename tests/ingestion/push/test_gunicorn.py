"""Pushes through gunicorn: what only real HTTP and a real process can show."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from ingestion.models import Batch
from ingestion.push.body import MAX_BODY
from ingestion.push.models import PushRequest
from metrics.models import NormalizedTransaction
from tests.ingestion.conftest import event, ready
from tests.ingestion.push.conftest import URL
from tests.ingestion.streaming import drain_all, wait_until

__all__ = ["event", "ready"]

ROOT = Path(__file__).resolve().parents[3]


class Web:
    """gunicorn as the Procfile starts it, on this test's database and streams."""

    def __init__(self, log: Path) -> None:
        self._log = log
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        server = os.environ["DATABASE_URL"].rpartition("/")[0]
        env = os.environ | {
            "DJANGO_SETTINGS_MODULE": "payflow.settings",
            "DATABASE_URL": f"{server}/{connection.settings_dict['NAME']}",
            "STREAMS_URL": settings.STREAMS_URL,
            "PAYFLOW_ROLE": "web",
        }
        # fmt: off
        command = ["-m", "gunicorn", "payflow.wsgi", "--worker-class", "gthread", "--workers", "1",
                   "--threads", "8", "--bind", f"127.0.0.1:{self.port}", "--no-control-socket"]
        # fmt: on
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=env,
                stderr=log,
                stdout=log,
                start_new_session=True,
            )
        wait_until(self._answers, seconds=30)

    def kill(self) -> None:
        """kill -9, master and worker."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False


@pytest.fixture
def web(transactional_db: None, tmp_path: Path) -> Iterator[Web]:
    made = Web(tmp_path / "web.log")
    made.start()
    yield made
    made.kill()


@pytest.fixture
def keep_answers(transactional_db: None) -> Iterator[Callable[[], None]]:
    """No answer can be kept until this is called: who tried until then has not kept it."""
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event = 'PgSleep';"
        "DROP FUNCTION IF EXISTS wait_long CASCADE"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION wait_long() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(12); RETURN NEW; END';"
            "CREATE TRIGGER slow BEFORE UPDATE ON push_requests FOR EACH ROW"
            " WHEN (NEW.state = 'done') EXECUTE FUNCTION wait_long()"
        )
        yield lambda: cursor.execute(end) and None
        cursor.execute(end)


@pytest.mark.usefixtures("ready", "streams")
def test_dying_between_publish_and_answer_counts_once(web, keep_answers, token, event, queued):
    """The sender repeats the request: its events come twice and count once."""
    body = json.dumps([event(number) for number in range(50)])
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Idempotency-Key": "k",
    }
    first = web.connect()
    first.request("POST", URL, body, headers)
    wait_until(lambda: len(queued()) == 50)
    web.kill()
    with pytest.raises(ConnectionError):
        first.getresponse()
    first.close()
    keep_answers()
    web.start()

    held = _post(web, body, headers)
    PushRequest.objects.update(running_until="2026-01-01T00:00:00Z")
    repeated = _post(web, body, headers)
    drain_all()

    assert (held, repeated) == (409, 202)
    assert len(queued()) == 0  # trimmed behind the checkpoint
    assert sum(batch.messages for batch in Batch.objects.all()) == 100
    assert NormalizedTransaction.objects.count() == 50
    assert _post(web, body, headers) == 202
    assert len(queued()) == 0


def test_a_request_that_breaks_off_queues_nothing(web, token, queued, streams):
    """What came of it may end within an event, or look like a whole one."""
    head = (
        f"POST {URL} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/x-ndjson\r\n"
    ).encode()

    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as cut:
        cut.sendall(head + b"Content-Length: 100\r\n\r\n" + b'{"a":1}\n{"b":2}\n')
        cut.shutdown(socket.SHUT_WR)
        answer = cut.recv(4096)
    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as chunked:
        chunked.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
        refused = chunked.recv(4096)
    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as large:
        large.sendall(head + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1))
        too_large = large.recv(4096)

    assert answer == b"" or b" 400 " in answer.splitlines()[0]
    assert b" 411 " in refused.splitlines()[0]
    assert b" 413 " in too_large.splitlines()[0]
    assert queued() == []


def _post(web: Web, body: str, headers: dict[str, str]) -> int:
    connected = web.connect()
    connected.request("POST", URL, body, headers)
    answer = connected.getresponse()
    answer.read()
    connected.close()
    return answer.status
