"""One `manage.py up` per state directory: the file up.lock, locked while it runs."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from payflow.lib.errors import Permanent
from payflow.lib.services.server import ServiceError

_FILE = "up.lock"


class AlreadyRunning(Permanent):
    """Another `manage.py up` runs in this state directory."""


@contextmanager
def only_run(state_dir: Path) -> Iterator[None]:
    """Be the only run; raises AlreadyRunning. A killed run holds nothing."""
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / _FILE).open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"payflow already runs here (process {_holder(state_dir)}): stop it with Ctrl-C or "
                "`make down`, or set PAYFLOW_STATE_DIR and PAYFLOW_PORT to run another one."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def end_run(state_dir: Path, *, timeout_s: float) -> bool:
    """Ask a run to end and wait for it; False if there was none."""
    was_running = False
    end = time.monotonic() + timeout_s
    while True:
        try:
            with only_run(state_dir):
                return was_running
        except AlreadyRunning:
            if not was_running:
                with suppress(ProcessLookupError):
                    os.kill(_holder(state_dir), signal.SIGTERM)
            was_running = True
        if time.monotonic() > end:
            raise ServiceError(f"payflow (process {_holder(state_dir)}) does not end.")
        time.sleep(0.1)


def _holder(state_dir: Path) -> int:
    return int((state_dir / _FILE).read_text(encoding="ascii"))
