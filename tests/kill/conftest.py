"""One World a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kill.world import World, own_world


@pytest.fixture
def payflow_world() -> Iterator[World]:
    with own_world() as made:
        yield made
