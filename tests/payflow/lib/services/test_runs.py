"""One run per state directory, and the end of what a killed one has left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from payflow.lib.services.leftovers import RUN_VARIABLE, end_leftovers
from payflow.lib.services.run_lock import AlreadyRunning, end_run, only_run

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(1)
time.sleep(60)
"""
HOLDER = """
import sys, time
from pathlib import Path
from payflow.lib.services.run_lock import only_run
with only_run(Path(sys.argv[1])):
    print(1, flush=True)
    time.sleep(60)
"""


def test_second_run_is_refused_with_the_first_ones_process(tmp_path):
    """Who comes second is told which process runs and how to run beside it."""
    with (
        only_run(tmp_path),
        pytest.raises(AlreadyRunning, match=rf"process {os.getpid()}\)"),
        only_run(tmp_path),
    ):
        pass


def test_lock_ends_with_its_run(tmp_path):
    """A finished run leaves nothing that refuses the next."""
    with only_run(tmp_path):
        pass

    with only_run(tmp_path), pytest.raises(AlreadyRunning), only_run(tmp_path):
        pass
    assert end_run(tmp_path, timeout_s=1) is False


def test_killed_run_holds_nothing(tmp_path):
    """After kill -9 of a run the next one starts."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        run.stdout.readline()
        run.kill()

    with only_run(tmp_path):
        pass


def test_end_run_ends_it(tmp_path):
    """`make down` ends a run of another terminal, and says when there was none."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        run.stdout.readline()

        assert end_run(tmp_path, timeout_s=10) is True

    assert run.returncode == -signal.SIGTERM
    assert end_run(tmp_path, timeout_s=10) is False


def test_leftovers_end_even_when_they_refuse(tmp_path):
    """What a killed run left is ended, a process of another run is not."""
    ours = {**os.environ, RUN_VARIABLE: str(tmp_path)}
    others = {**os.environ, RUN_VARIABLE: f"{tmp_path}2"}
    command = [sys.executable, "-uc", STUBBORN]

    with (
        subprocess.Popen(command, env=ours, stdout=subprocess.PIPE) as left,
        subprocess.Popen(command, env=others, stdout=subprocess.PIPE) as stranger,
    ):
        for process in (left, stranger):
            assert process.stdout is not None
            process.stdout.readline()
        number = end_leftovers(tmp_path, patience_s=0.2)
        survives = stranger.poll() is None
        stranger.kill()

    assert number == 1
    assert left.returncode == -signal.SIGKILL
    assert survives
