"""Runs manage.py as a user would: in a process, without the addresses of this test run."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

_NOT_INHERITED = ("DATABASE_URL", "REDIS_URL", "STREAMS_URL", "DJANGO_SETTINGS_MODULE")


@contextmanager
def fresh_state_dir() -> Iterator[Path]:
    """A state directory that root's servers reach, emptied of servers at the end."""
    root = Path(tempfile.mkdtemp(prefix="payflow-up-"))
    root.chmod(0o711)
    try:
        yield root / "var"
    finally:
        manage("down", state_dir=root / "var")
        shutil.rmtree(root)


def environment(state_dir: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    return {**kept, "PAYFLOW_STATE_DIR": str(state_dir), **more}


def manage(*arguments: str, state_dir: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """`manage.py ARGUMENTS` to its end."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env=environment(state_dir, **more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
