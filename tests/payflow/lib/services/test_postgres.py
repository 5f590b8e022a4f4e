from __future__ import annotations

import pytest

from payflow.lib.services import postgres

GIB = 2**30


@pytest.mark.parametrize(
    ("memory_gib", "mib"), [(0.5, 128), (4, 512), (16, 2048), (24, 3072), (256, 4096)]
)
def test_shared_buffers_follow_the_memory(memory_gib, mib):
    """An eighth of the memory, between 128 MiB and 4 GiB."""
    assert postgres.shared_buffers_mib(int(memory_gib * GIB)) == mib


@pytest.mark.parametrize(("disk_gib", "mib"), [(5, 1024), (40, 4096), (500, 8192)])
def test_wal_follows_the_disk(disk_gib, mib):
    """A tenth of the disk, between 1 and 8 GiB."""
    assert postgres.max_wal_mib(disk_gib * GIB) == mib


def test_defaults_name_nothing_the_wheel_lacks(tmp_path):
    """The wheel is built without lz4, zstd and io_uring: naming them would stop the server."""
    text = str(postgres.default_settings(tmp_path))

    assert not any(word in text for word in ("lz4", "zstd", "io_uring"))
