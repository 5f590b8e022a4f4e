"""The default archive: local files that are written once and are on disk when `save` returns."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage

from payflow.lib.errors import StorageError


class WriteOnceFileStorage(FileSystemStorage):
    """A FileSystemStorage that never renames, never overwrites, and syncs file and directory."""

    def get_available_name(self, name: str, max_length: int | None = None) -> str:  # noqa: ARG002
        """The name as it is: one that exists is the caller's error, not a reason to rename."""
        return name

    def _save(self, name: str, content: File[Any]) -> str:
        target = Path(self.path(name))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as out:
                for chunk in _chunks(content):
                    out.write(chunk)
                out.flush()
                os.fsync(out.fileno())
            _sync_directory(target.parent)
        except OSError as exc:
            if target.exists() and isinstance(exc, FileExistsError):
                raise StorageError(f"{name} exists: archive names are written once") from exc
            raise StorageError(f"cannot write {name}: {exc.strerror}") from exc
        return name


def _chunks(content: File[Any]) -> Iterator[bytes]:
    content.seek(0)
    yield from content.chunks()


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
