"""What stands in an event at the field that would fail, read from the archive for who may see it.

Results of jobs hold no payload: what a person sees of one is read when the page is asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from deadletter.payload import visible
from ingestion import archive
from payflow.lib.errors import StorageError

#: objects that one page opens
MAX_READ: Final = 30
_MAX_SHOWN: Final = 60
_INDEX: Final = re.compile(r"\[(\d+)\]")


class SampleReader:
    """Reads a few samples for one page; afterwards, and without permission, it gives nothing."""

    def __init__(self, *, may_read: bool) -> None:
        self._left = MAX_READ if may_read else 0
        self._bodies: dict[tuple[str, int], bytes | None] = {}

    def __call__(self, sample: Mapping[str, Any], field: str) -> str | None:
        """The JSON text at a path of a sample's message, shortened; None when it is not known."""
        body = self._body(sample["file"], sample["row"])
        return None if body is None or not field else value_at(body, field)

    def _body(self, file: str, row: int) -> bytes | None:
        at = (file, row)
        if at not in self._bodies:
            if not self._left:
                return None
            self._left -= 1
            try:
                self._bodies[at] = archive.read_row(file, row)["body"]
            except StorageError:
                self._bodies[at] = None
        return self._bodies[at]


def value_at(body: bytes, field: str) -> str | None:
    """What stands at `a.b[0].c`: "absent" where nothing does, None where it cannot be read."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for name in _INDEX.sub(r".\1", field).split("."):
        if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, dict) and name in value:
            value = value[name]
        else:
            return "absent"
    text = visible(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"
