"""Waiting for what other threads and processes bring about."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(
    holds: Callable[[], object], *, seconds: float = 60, tell: Callable[[], object] = str
) -> float:
    """Seconds that it took; when it takes too long, `tell` says how things stand."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() < began + seconds, f"not within {seconds} s: {tell()}"
        time.sleep(0.05)
    return time.monotonic() - began
