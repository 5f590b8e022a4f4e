"""The version that a running payflow says it is."""

from __future__ import annotations

import tomllib
from pathlib import Path

from payflow.lib.version import VERSION


def test_the_version_is_that_of_the_project():
    """pyproject.toml is not read at run time: raise both together."""
    project = tomllib.loads(
        Path(__file__).parents[2].joinpath("pyproject.toml").read_text(encoding="utf-8")
    )["project"]

    assert project["version"] == VERSION
