"""One World a test, in a directory that PostgreSQL's user can reach."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kill.world import World, world


@pytest.fixture
def payflow_world() -> Iterator[World]:
    directory = Path(tempfile.mkdtemp(prefix="payflow-kill-"))
    try:
        with world(directory) as made:
            yield made
    finally:
        shutil.rmtree(directory, ignore_errors=True)
