"""The archive's default storage writes once and durably."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.files.base import ContentFile

from payflow.lib.errors import StorageError
from payflow.lib.storage import WriteOnceFileStorage


def test_a_name_is_written_once(tmp_path: Path) -> None:
    """The second write is an error and leaves the first bytes."""
    storage = WriteOnceFileStorage(location=str(tmp_path))
    storage.save("a/b.parquet", ContentFile(b"first"))

    with pytest.raises(StorageError, match="written once"):
        storage.save("a/b.parquet", ContentFile(b"second"))

    assert (tmp_path / "a" / "b.parquet").read_bytes() == b"first"


def test_a_name_is_never_changed(tmp_path: Path) -> None:
    """Django's own storage would append letters to a name that exists."""
    storage = WriteOnceFileStorage(location=str(tmp_path))

    assert storage.save("x-e1-1.parquet", ContentFile(b"")) == "x-e1-1.parquet"


def test_a_directory_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    """A bad world, to be tried again."""
    (tmp_path / "blocked").write_bytes(b"a file where a directory should be")
    storage = WriteOnceFileStorage(location=str(tmp_path))

    with pytest.raises(StorageError):
        storage.save("blocked/b.parquet", ContentFile(b"bytes"))
