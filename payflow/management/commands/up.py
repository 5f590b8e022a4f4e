"""`manage.py up`: payflow on one machine, in the foreground, until Ctrl-C.

1. Refuse what cannot work: a second run here, a taken port. Nothing has been started yet.
2. End what a killed run has left, start the embedded servers that no variable replaces.
3. `manage.py prepare` in a process of its own: its settings see the addresses of the servers.
4. The Procfile under honcho. Signals reach honcho, which ends the processes and kills after 5 s.
5. The embedded servers, cleanly.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from payflow.lib.env import read_bool, read_int, read_str
from payflow.lib.services import VARIABLES, LocalServices, ServiceError
from payflow.lib.services.leftovers import RUN_VARIABLE, end_leftovers
from payflow.lib.services.run_lock import AlreadyRunning, only_run
from payflow.management.commands.prepare import ADMIN, PASSWORD_FILE

#: honcho itself kills its processes 5 s after it told them to end
_CHILD_PATIENCE_S = 8
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Command(BaseCommand):
    help = "Start the embedded servers, prepare the database and run all processes until Ctrl-C."
    requires_system_checks = []

    def handle(self, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        self.state_dir: Path = settings.STATE_DIR.absolute()
        self.port = read_int("PAYFLOW_PORT", default=8000, minimum=1, maximum=65535)
        self.child: subprocess.Popen[bytes] | None = None
        self.stopping = threading.Event()
        try:
            with only_run(self.state_dir):
                end_leftovers(self.state_dir, patience_s=5)
                _require_free_port(self.port)
                for number in _STOP_SIGNALS:
                    signal.signal(number, self._on_signal)
                self._run()
        except (AlreadyRunning, ServiceError) as exc:
            raise CommandError(str(exc)) from exc

    def _run(self) -> None:
        embedded = [name for name, variable in VARIABLES.items() if not _is_set(variable)]
        services = LocalServices(self.state_dir, only=embedded, say=self._say)
        problem = "the database could not be prepared (see above)"
        try:
            services.start()
            if self._run_child(sys.executable, "manage.py", "prepare") == 0:
                problem = "a process ended by itself (see above)"
                threading.Thread(target=self._announce, daemon=True).start()
                self._run_child(
                    sys.executable, "-m", "honcho", "-e", os.devnull, "start", *_names()
                )
        finally:
            was_asked = self.stopping.is_set()
            self._end(services)
        if not was_asked:
            raise CommandError(f"{problem}; everything was stopped.")

    def _run_child(self, *command: str) -> int | None:
        """Run it to its end in a session of its own: a terminal's Ctrl-C reaches us alone.

        Returns its exit code, None if we were asked to stop.
        """
        if self.stopping.is_set():
            return None
        self.child = subprocess.Popen(
            command, cwd=settings.BASE_DIR, env=self._environment(), start_new_session=True
        )
        if self.stopping.is_set():  # the signal came before there was somebody to pass it to
            self.child.terminate()
        code = self.child.wait()
        return None if self.stopping.is_set() else code

    def _environment(self) -> dict[str, str]:
        environment = {
            "POLARS_MAX_THREADS": "1",  # a worker process is a core; more threads only wait
            "SLOTS": str(os.cpu_count() or 1),
            "PYTHONUNBUFFERED": "1",
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
            "PAYFLOW_PORT": str(self.port),
            "PAYFLOW_STATE_DIR": str(self.state_dir),
            RUN_VARIABLE: str(self.state_dir),
        }
        if os.geteuid() == 0:  # who tries payflow as root need not be told by every worker
            environment["PYTHONWARNINGS"] = "ignore:You're running the worker with superuser"
        return environment

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Pass the wish on; who asks twice does not want to wait."""
        if self.child is not None and self.child.poll() is None:
            if self.stopping.is_set():
                self.child.kill()
            else:
                self.child.terminate()
        self.stopping.set()

    def _end(self, services: LocalServices) -> None:
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        self.stopping.set()
        self._say("Stopping ...")
        if self.child is not None and self.child.poll() is None:
            self.child.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.child.wait(_CHILD_PATIENCE_S)
        end_leftovers(self.state_dir, patience_s=1)
        services.stop()
        self._say("Stopped.")

    def _announce(self) -> None:
        """Print address and login as soon as the pages answer."""
        url = f"http://127.0.0.1:{self.port}/"
        while not _answers(f"{url}livez"):
            if self.stopping.wait(0.2):
                return
        path = self.state_dir / PASSWORD_FILE
        secret = "the password that you chose"  # noqa: S105 - words
        if path.exists():
            secret = f"password {path.read_text(encoding='utf-8').strip()}"
        rule = "=" * 80
        self._say(f"{rule}\npayflow is ready: {url}  user {ADMIN}, {secret}\n{rule}")

    def _say(self, message: str) -> None:
        with suppress(OSError):  # the terminal may be gone; stopping has to go on
            self.stdout.write(message)
            self.stdout.flush()


def _names() -> list[str]:
    """What honcho runs; who watches real payments turns the simulator off."""
    names = ["web", "ingest", "tasks"]
    return [*names, "simulator"] if read_bool("PAYFLOW_SIMULATOR", default=True) else names


def _is_set(variable: str) -> bool:
    return bool(read_str(variable, default=""))


def _require_free_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as exc:
            raise CommandError(
                f"port {port} cannot be used ({exc.strerror}); set PAYFLOW_PORT to use another one."
            ) from None


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own address
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
