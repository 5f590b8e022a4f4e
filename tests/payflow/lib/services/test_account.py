from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from payflow.lib.services.account import Account, program

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root drops privileges")


@pytest.fixture
def open_dir() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="payflow-account-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_program_out_of_reach_is_copied_with_its_layout(tmp_path, open_dir):
    """A program under a private directory is copied with its libraries and made runnable."""
    (tmp_path / "pkg" / "bin").mkdir(parents=True)
    (tmp_path / "pkg.libs").mkdir()
    (tmp_path / "pkg.libs" / "lib").write_text("library")
    script = tmp_path / "pkg" / "bin" / "run"
    script.write_text('#!/bin/sh\ncat "$(dirname "$0")/../../pkg.libs/lib"\n')
    script.chmod(0o700)
    account = Account.for_servers(open_dir / "none")

    path = program(
        script,
        tree=(tmp_path / "pkg", tmp_path / "pkg.libs"),
        copies=open_dir,
        account=account,
    )
    output = subprocess.run(
        [path], user=account.uid, group=account.gid, check=True, capture_output=True
    )

    assert path.is_relative_to(open_dir)
    assert output.stdout == b"library"


def test_program_in_reach_is_not_copied(open_dir):
    """Where the user can run the program it is used in place."""
    path = Path("/bin/true")

    found = program(
        path, tree=(Path("/bin"),), copies=open_dir, account=Account(uid=65534, gid=65534)
    )

    assert found == path
    assert list(open_dir.iterdir()) == []


def test_root_goes_on_as_the_user_who_began(open_dir):
    """`sudo make up` in a user's state directory keeps the servers that user's."""
    os.chown(open_dir, 12345, 12346)

    assert Account.for_servers(open_dir) == Account(uid=12345, gid=12346)
