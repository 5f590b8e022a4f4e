"""A watched directory: each YAML or JSON file in it is a document.

Files that are links are followed, as Kubernetes mounts a ConfigMap; names that begin with a dot
are not looked at, nor are directories within.
"""

from __future__ import annotations

import stat
import time
from pathlib import Path
from typing import Final

from configuration.remote.found import (
    ENOUGH,
    MAX_DOCUMENTS,
    Found,
    Unreachable,
    found_text,
    key_of,
    without_rivals,
)

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
#: seconds that a file is left alone after it was written: it may be half of one
_SETTLED_S: Final = 0.5


class Directory:
    """Reads a file again only when its time, size or inode has changed."""

    name = "directory"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.title = f"the directory {path}"
        #: file name -> what it looked like, what it said
        self._read: dict[str, tuple[tuple[int, int, int], Found]] = {}

    def read(self) -> list[Found]:
        """The documents of the directory. Raises Unreachable when it cannot be listed."""
        try:
            paths = sorted(
                path
                for path in self.path.iterdir()
                if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
            )
        except OSError as exc:
            raise Unreachable(f"{self.title} cannot be read: {exc.strerror}") from exc
        if len(paths) > MAX_DOCUMENTS:
            raise Unreachable(f"{self.title} holds more than {MAX_DOCUMENTS} documents")
        before, self._read = self._read, {}
        for path in paths:
            if (entry := _entry(path, before.get(path.name))) is not None:
                self._read[path.name] = entry
        return without_rivals([found for _, found in self._read.values()])


def _entry(
    path: Path, before: tuple[tuple[int, int, int], Found] | None
) -> tuple[tuple[int, int, int], Found] | None:
    """What a file looks like and says; what it said before while it is being written."""
    try:
        status = path.stat()
    except OSError as exc:
        return (0, 0, 0), Found(key=key_of(path.name), problem=f"cannot be read: {exc.strerror}")
    if not stat.S_ISREG(status.st_mode):
        return None
    look = (status.st_mtime_ns, status.st_size, status.st_ino)
    if before is not None and before[0] == look:
        return before
    if 0 <= time.time() - status.st_mtime < _SETTLED_S:
        return before
    return look, _document(path)


def _document(path: Path) -> Found:
    try:
        with path.open("rb") as file:
            return found_text(key_of(path.name), file.read(ENOUGH))
    except OSError as exc:
        return Found(key=key_of(path.name), problem=f"cannot be read: {exc.strerror}")
