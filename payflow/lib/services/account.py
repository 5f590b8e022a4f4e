"""Whom the embedded servers run as, and where they keep their files.

PostgreSQL refuses to run as root. Root therefore drops to `nobody`, who may reach neither a
virtualenv nor a state directory below a private home (/root is 0700): the programs are then copied
beside the data, and the data moves to /var/lib/payflow with a link to it in the state directory.
Nobody's permissions are never widened by changing directories that are not ours.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_OUTSIDE = Path("/var/lib/payflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user of the system; `uid` None means the one we already are."""

    uid: int | None = None
    gid: int | None = None

    @classmethod
    def for_servers(cls, directory: Path) -> Account:
        """Ourselves; if we are root, the user who made `directory` before, else `nobody`."""
        if os.geteuid() != 0:
            return cls()
        if directory.exists() and directory.stat().st_uid != 0:
            return cls(uid=directory.stat().st_uid, gid=directory.stat().st_gid)
        entry = pwd.getpwnam("nobody")
        return cls(uid=entry.pw_uid, gid=entry.pw_gid)

    def popen(
        self,
        command: list[str],
        *,
        stdin: int,
        output: IO[bytes],
        cwd: Path,
        pass_fds: tuple[int, ...] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a program as this user, in a session of its own: no terminal signal reaches it."""
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            pass_fds=pass_fds,
            start_new_session=True,
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
            umask=0o077,
        )

    def own(self, path: Path) -> None:
        """Give the path to this user."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def make_private_dir(self, path: Path) -> None:
        """A directory (0700) of this user."""
        path.mkdir(mode=0o700, exist_ok=True)
        self.own(path)

    def reaches(self, path: Path) -> bool:
        """Whether this user may enter the directory, or run the program, at `path`."""
        if self.uid is None:
            return os.access(path, os.X_OK)
        test = subprocess.run(
            ["/usr/bin/test", "-x", str(path)],
            user=self.uid,
            group=self.gid,
            extra_groups=[],
            cwd="/",
            check=False,
        )
        return test.returncode == 0


def servers_dir(state_dir: Path, account: Account) -> Path:
    """The directory of all servers of this state directory, reachable for the account."""
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir / "servers"
    if not path.exists():
        path.unlink(missing_ok=True)  # a link to what somebody removed
        if account.reaches(state_dir):
            path.mkdir(mode=0o755)
        else:
            path.symlink_to(_outside())
    if not path.is_symlink():
        path.chmod(0o755)  # the umask may have been stricter
        if not account.reaches(path):
            message = f"{path} was made where the user nobody cannot reach it; move {state_dir}."
            raise PermissionError(message)
    return path.resolve()


def program(path: Path, *, tree: tuple[Path, ...], copies: Path, account: Account) -> Path:
    """`path` itself, or its copy below `copies` when the account cannot run it where it is.

    `tree` are directories beside each other that the program needs; their layout is kept, because
    the wheel's programs find their libraries by a path relative to themselves ($ORIGIN).
    """
    if account.reaches(path):
        return path
    base = tree[0].parent
    stamp = copies / f"{tree[0].name}-{_version(path)}"
    if not stamp.exists():
        draft = Path(tempfile.mkdtemp(dir=copies))
        draft.chmod(0o755)
        for directory in tree:
            if directory.exists():
                copy = draft / directory.relative_to(base)
                shutil.copytree(directory, copy, symlinks=True)
                _open_to_all(copy)
        draft.rename(stamp)
    return stamp / path.relative_to(base)


def _open_to_all(directory: Path) -> None:
    """Readable, and runnable where the owner may run it: an installer's umask may have been 077."""
    directory.chmod(0o755)
    for path in directory.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _version(path: Path) -> str:
    """Changes when the wheel is replaced: the copy must follow it."""
    stat = path.stat()
    return f"{stat.st_size:x}-{int(stat.st_mtime):x}"


def _outside() -> Path:
    _OUTSIDE.mkdir(mode=0o755, parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix="servers-", dir=_OUTSIDE))
    path.chmod(0o755)
    return path
