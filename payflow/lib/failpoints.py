"""Named places where a test makes the process die or freeze, to prove that this changes nothing.

PAYFLOW_FAIL_AT="name[:count]" sends the process SIGKILL, or PAYFLOW_FAIL_SIGNAL, when the place is
passed for the `count`-th time (1 by default). Unset, which is always the case in production, a
place costs one comparison.
"""

from __future__ import annotations

import os
import signal
from typing import Final, Literal

FailPoint = Literal[
    "after_read",
    "after_scrub",
    "after_evaluate",
    "after_archive",
    "after_number",
    "after_lookup",
    "after_checkpoint",
    "after_transactions",
    "after_failed_items",
    "after_manifest",
    "after_groups",
    "before_commit",
    "after_commit",
    "after_acknowledge",
]

_name, _, _count = os.environ.get("PAYFLOW_FAIL_AT", "").partition(":")
_remaining = int(_count or 1)
_signal = signal.Signals[os.environ.get("PAYFLOW_FAIL_SIGNAL", "SIGKILL")]
_ARMED: Final = bool(_name)


def fail_point(name: FailPoint) -> None:
    """Die or freeze here if a test asked for it."""
    global _remaining  # noqa: PLW0603  one counter for the process is the point
    if not _ARMED or name != _name:
        return
    _remaining -= 1
    if _remaining == 0:
        os.kill(os.getpid(), _signal)
