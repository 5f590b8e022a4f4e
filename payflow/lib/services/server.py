"""One embedded server: its files, its port and password, how it is started, found and stopped.

A server holds the file `alive` locked for as long as any of its processes lives: the descriptor is
inherited. So "does it run?" and "are the last backends of a killed one gone?" are questions to the
kernel, which a process id that was reused, a zombie or a stale pid file cannot answer wrongly.
"""

from __future__ import annotations

import fcntl
import os
import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

from payflow.lib.env import generated_secret
from payflow.lib.errors import Retryable
from payflow.lib.services.account import Account

#: recovery of a killed PostgreSQL reads up to max_wal_size of log first
START_TIMEOUT_S = 300
STOP_TIMEOUT_S = 60
_ORPHANS_TIMEOUT_S = 30
#: below the ports that the kernel gives to outgoing connections (32768 and up)
_PORTS = range(15_000, 32_000)


#: servers that this process started; kept, because a Popen that is dropped complains
_children: list[subprocess.Popen[bytes]] = []


class ServiceError(Retryable):
    """An embedded server does not start, stop or answer."""


class Server(ABC):
    """A server program on 127.0.0.1 with its own directory, port and password."""

    #: the directory's name and the word of messages
    name: ClassVar[str]
    #: file name of the program, by which a living process is known to be ours
    executable: ClassVar[str]
    #: signals that stop it, the gentle one first
    stop_signals: ClassVar[tuple[signal.Signals, ...]]

    def __init__(self, directory: Path, *, account: Account, say: Callable[[str], None]) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.account = account
        self._say = say

    # --- what a kind of server has to say --------------------------------------------------------

    @abstractmethod
    def prepare(self) -> None:
        """Make the data directory ready; no process of this server lives."""

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments; no secret among them (`ps` shows them to everybody)."""

    @abstractmethod
    def configuration(self) -> bytes:
        """What the program reads on its standard input."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it takes a connection with our password. Raises ServiceError if never will."""

    @abstractmethod
    def url(self) -> str:
        """The address with the password."""

    # --- start and stop --------------------------------------------------------------------------

    def start(self) -> None:
        """Start it unless it runs; returns when it answers. Safe from several processes at once."""
        try:
            self.directory.mkdir(exist_ok=True)
            with self._command_lock():
                if not self.is_running():
                    self._start()
                self._wait_until_it_answers()
        except PermissionError as exc:
            raise ServiceError(
                f"{exc.filename} belongs to another user: start {self.name} as that user."
            ) from exc

    def stop(self) -> bool:
        """Stop it cleanly; False if it did not run."""
        if not self.directory.exists():
            return False
        with self._command_lock():
            if not self.is_running():
                return False
            pid = self.pid()
            for number in self.stop_signals:
                self._signal(number)
                if self._is_gone_within(STOP_TIMEOUT_S):
                    _reap(ended=pid)
                    return True
            raise ServiceError(f"{self.name} (process {pid}) does not stop.")

    def is_running(self) -> bool:
        """Whether its main process lives (orphans of a killed one do not count)."""
        return not self._try_alive_lock() and self.pid() is not None

    def pid(self) -> int | None:
        """The main process, if it lives and is this server's program."""
        _reap()
        try:
            pid = int((self.directory / "pid").read_text(encoding="ascii"))
            state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        is_dead = state.rpartition(")")[2].split()[0] in "ZX"
        is_ours = self.executable.encode() in arguments
        return pid if is_ours and not is_dead else None

    # --- port and password, chosen once ----------------------------------------------------------

    @property
    def port(self) -> int:
        """The port, chosen at the first start and kept."""
        path = self.directory / "port"
        if not path.exists():
            path.write_text(f"{_free_port()}\n", encoding="ascii")
        return int(path.read_text(encoding="ascii"))

    @property
    def password(self) -> str:
        """The password, generated at the first start (mode 0600, beside the data it protects)."""
        return generated_secret(self.directory / "password")

    def _require_free_port(self) -> None:
        if not _is_free(self.port):
            raise ServiceError(
                f"Port {self.port} of the embedded {self.name} is taken by another program. "
                f"Stop that program, or delete {self.directory / 'port'} to have another chosen."
            )

    def _start(self) -> None:
        with self._alive_lock() as alive:
            self._require_free_port()
            self.account.make_private_dir(self.data)
            self.prepare()
            self._spawn(alive)

    # --- processes -------------------------------------------------------------------------------

    def _spawn(self, alive: int) -> None:
        with (self.directory / "server.log").open("wb") as log:
            child = self.account.popen(
                self.command(),
                stdin=subprocess.PIPE,
                output=log,
                cwd=self.data,
                pass_fds=(alive,),
            )
        _children.append(child)
        (self.directory / "pid").write_text(f"{child.pid}\n", encoding="ascii")
        assert child.stdin is not None  # noqa: S101 - it is a pipe
        with suppress(BrokenPipeError):  # it died at once: the wait tells what its log says
            child.stdin.write(self.configuration())
            child.stdin.close()

    def _wait_until_it_answers(self) -> None:
        end = time.monotonic() + START_TIMEOUT_S
        patience = time.monotonic() + 5
        while not self.answers():
            if self.pid() is None:
                raise ServiceError(f"{self.name} stopped while starting. {self.last_words()}")
            if time.monotonic() > end:
                raise ServiceError(f"{self.name} does not answer after {START_TIMEOUT_S} s.")
            if time.monotonic() > patience:
                self._say(f"{self.name} is still starting (it may be recovering) ...")
                patience = end
            time.sleep(0.02)

    def _is_gone_within(self, timeout_s: float) -> bool:
        end = time.monotonic() + timeout_s
        while not self._try_alive_lock():
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def _signal(self, number: signal.Signals) -> None:
        pid = self.pid()
        if pid is not None:
            os.kill(pid, number)

    def last_words(self) -> str:
        """The end of its log, for an error message."""
        try:
            text = (self.directory / "server.log").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        return " ".join(text.split("\n")[-4:]).strip()

    # --- locks -----------------------------------------------------------------------------------

    @contextmanager
    def _command_lock(self) -> Iterator[None]:
        """One command at a time works on this server."""
        with (self.directory / "lock").open("w", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _try_alive_lock(self) -> bool:
        """True if no process of this server lives."""
        with (self.directory / "alive").open("w", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # two who ask do not collide
            except BlockingIOError:
                return False
            return True

    @contextmanager
    def _alive_lock(self) -> Iterator[int]:
        """The lock to hand to a new server; waits for the orphans of a killed one."""
        end = time.monotonic() + _ORPHANS_TIMEOUT_S
        with (self.directory / "alive").open("w", encoding="ascii") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise ServiceError(
                            f"Processes of a dead {self.name} still hold {self.data}."
                        ) from None
                    time.sleep(0.05)
            yield file.fileno()


def _reap(*, ended: int | None = None) -> None:
    """Servers that this process started and that died must not stay zombies.

    `ended` is known to be on its way out (it has given up its lock): it is waited for.
    """
    for child in tuple(_children):
        if child.pid == ended:
            child.wait()
        if child.poll() is not None:
            with suppress(ValueError):  # another thread was faster
                _children.remove(child)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    candidates = random.sample(_PORTS, 200)
    for port in candidates:
        if _is_free(port):
            return port
    raise ServiceError("No free port between 15000 and 32000 on 127.0.0.1.")
