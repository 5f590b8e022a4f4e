"""The files that start payflow: Makefile, Procfile, CI."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(*command: str, cwd: Path = ROOT, **more: str) -> str:
    env = {**os.environ, **more}
    env.pop("MAKEFLAGS", None)
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=True)
    return done.stdout


def test_make_alone_lists_every_target():
    """`make` without arguments explains each target by the comment above its recipe."""
    text = run("make", "--no-print-directory")

    targets = dict(re.findall(r"^([a-z-]+) {2,}(.+)$", text, re.MULTILINE))
    assert set(targets) == {
        *("help", "up", "down", "test", "test-all", "lint", "bench", "requirements"),
    }


def test_make_test_is_what_ci_runs():
    """The tests that CI requires are those that the README names."""
    assert 'pytest -n 3 -m "not slow and not kill"' in run("make", "-n", "test")
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text()
    assert "make test" in (ROOT / "README.md").read_text()
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def test_lists_are_pinned():
    """Every installed requirement names one version."""
    for name in ("base", "otel", "azure", "dev"):
        lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
        packages = [line for line in lines if line and line[0] not in " #"]
        assert packages
        assert all("==" in line for line in packages)


def test_installation_is_done_once_per_list(tmp_path):
    """.ci/install makes the virtualenv, installs a list once, and again when the list changes."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / "requirements").mkdir()
    shutil.copy(ROOT / ".ci" / "install", tmp_path / ".ci")
    requirements = tmp_path / "requirements" / "base.txt"
    requirements.write_text("# nothing\n")

    first = run(".ci/install", "base", cwd=tmp_path, PYTHON=sys.executable)
    second = run(".ci/install", "base", cwd=tmp_path, PYTHON=sys.executable)
    requirements.write_text("# nothing yet\n")
    third = run(".ci/install", "base", cwd=tmp_path, PYTHON=sys.executable)

    assert "Creating .venv" in first
    assert second == ""
    assert "Installing" in third
    assert "Creating" not in third


def test_processes_of_a_run():
    """The Procfile runs web, both workers and the simulator; only web pools connections."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    commands = dict(line.split(": ", 1) for line in lines)

    assert list(commands) == ["web", "ingest", "tasks", "simulator"]
    assert [name for name, command in commands.items() if "PAYFLOW_ROLE=web" in command] == ["web"]
    assert [name for name, command in commands.items() if " -B " in command] == ["tasks"]
