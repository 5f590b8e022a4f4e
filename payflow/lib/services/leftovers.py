"""Ends what a killed `manage.py up` has left running.

Every process of a run carries its state directory in its environment, which children inherit and
which neither a lost parent nor a changed process title removes.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

#: the variable that marks the processes of a run
RUN_VARIABLE = "PAYFLOW_RUN"


def end_leftovers(state_dir: Path, *, patience_s: float) -> int:
    """End all processes marked with this state directory: SIGTERM, later SIGKILL; their number."""
    found = _marked(state_dir)
    _signal(found, signal.SIGTERM)
    end = time.monotonic() + patience_s
    while (left := _marked(state_dir)) and time.monotonic() < end:
        time.sleep(0.05)
    _signal(left, signal.SIGKILL)
    while left and _marked(state_dir):
        time.sleep(0.05)
    return len(found)


def _marked(state_dir: Path) -> list[int]:
    """Process ids; those of other users, whose environment we may not read, are not ours."""
    mark = f"{RUN_VARIABLE}={state_dir}".encode()
    pids = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (path / "environ").read_bytes().split(b"\0"):
                pids.append(int(path.name))
    return [pid for pid in pids if pid != os.getpid()]


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
