"""`manage.py up`, the whole of `make up` after the installation."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from django.conf import settings

from payflow.lib.services import LocalServices
from payflow.lib.services.leftovers import RUN_VARIABLE
from tests.payflow.management.running import environment, free_port, fresh_state_dir, manage

READY = "payflow is ready: "


def test_taken_port_is_one_line_before_anything_starts(tmp_path):
    """A taken port ends `up` with one line that names PAYFLOW_PORT; no server was started."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = manage("up", state_dir=tmp_path, PAYFLOW_PORT=str(port))

    assert done.returncode == 1
    assert f"port {port} " in done.stderr
    assert "PAYFLOW_PORT" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "servers").exists()


class Run:
    """A running `manage.py up` and what it printed."""

    def __init__(self, state_dir: Path, port: int) -> None:
        self.state_dir = state_dir
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up"],
            cwd=settings.BASE_DIR,
            env=environment(state_dir, PAYFLOW_PORT=str(port)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            self.lines += output

    def wait_until_ready(self) -> str:
        """The line with address and login."""
        end = time.monotonic() + 90
        while time.monotonic() < end and self.process.poll() is None:
            for line in tuple(self.lines):
                if line.startswith(READY):
                    return line
            time.sleep(0.1)
        pytest.fail("".join(self.lines))

    def wait(self) -> int:
        code = self.process.wait(30)
        self._reader.join(10)
        return code

    def everything(self) -> list[int]:
        """All processes: this one, what honcho runs, the servers."""
        mark = f"{RUN_VARIABLE}={self.state_dir}".encode()
        pids = [status.pid for status in LocalServices(self.state_dir).status() if status.pid]
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (path / "environ").read_bytes().split(b"\0"):
                    pids.append(int(path.name))
            except OSError:
                continue
        return [*pids, self.process.pid]


@contextmanager
def running(state_dir: Path, port: int) -> Iterator[Run]:
    run = Run(state_dir, port)
    try:
        yield run
    finally:
        run.process.terminate()
        run.wait()


def test_up_runs_and_ctrl_c_stops_all():
    """`up` prints the login when pages answer, refuses a second run, and ends at Ctrl-C."""
    with fresh_state_dir() as state_dir, running(state_dir, free_port()) as run:
        ready = run.wait_until_ready()
        url = ready.removeprefix(READY).split()[0]
        with urlopen(f"{url}livez") as answer:
            answered = answer.status
        second = manage("up", state_dir=state_dir)
        pids = run.everything()
        started = time.monotonic()
        run.process.send_signal(signal.SIGINT)
        code = run.wait()
        seconds = time.monotonic() - started
        alive = [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()]

        assert answered == 200
        assert (state_dir / "admin-password").read_text().strip() in ready
        assert second.returncode == 1
        assert f"already runs here (process {run.process.pid})" in second.stderr
        assert len(pids) > 7
        assert (code, alive) == (0, []), "".join(run.lines)
        assert seconds < 8


@pytest.mark.slow
def test_up_after_kill_9_of_everything():
    """Killed as a whole, or without its children, payflow comes up again at the same place."""
    with fresh_state_dir() as state_dir:
        port = free_port()
        with running(state_dir, port) as run:
            run.wait_until_ready()
            for pid in run.everything():
                os.kill(pid, signal.SIGKILL)
        with running(state_dir, port) as run:
            first = run.wait_until_ready()
            run.process.kill()  # its children live on
            run.process.wait()
            with running(state_dir, port) as again:
                assert again.wait_until_ready() == first
