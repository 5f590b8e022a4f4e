"""Named places where a test makes the process die, to prove that dying there changes nothing.

PAYFLOW_FAIL_AT="name[:count]" kills the process with SIGKILL when the place is passed for the
`count`-th time (1 by default). Unset, which is always the case in production, a place costs one
comparison.
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
_ARMED: Final = bool(_name)


def fail_point(name: FailPoint) -> None:
    """Die here if a test asked for it."""
    global _remaining  # noqa: PLW0603  one counter for the process is the point
    if not _ARMED or name != _name:
        return
    _remaining -= 1
    if _remaining == 0:
        os.kill(os.getpid(), signal.SIGKILL)
