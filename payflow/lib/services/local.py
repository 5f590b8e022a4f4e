"""All embedded servers of one state directory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from payflow.lib.services.account import Account, servers_dir
from payflow.lib.services.postgres import Postgres
from payflow.lib.services.server import Server, ServiceError
from payflow.lib.services.urls import ServiceUrls, write_urls
from payflow.lib.services.valkey import Broker, Streams

_logger = logging.getLogger(__name__)

#: the servers by name, and the environment variable that names a real one instead
VARIABLES = {"postgres": "DATABASE_URL", "broker": "REDIS_URL", "streams": "STREAMS_URL"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """One server as `services status` shows it."""

    name: str
    running: bool
    #: takes a connection with our password
    healthy: bool
    pid: int | None
    port: int | None


class LocalServices:
    """PostgreSQL and two Valkeys under `state_dir`, shared by every process that asks.

    They outlive the command that starts them and are ended by `stop()`. `only` leaves servers out;
    `postgres_settings` override the defaults of postgresql.conf; `say` takes progress messages.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        only: Collection[str] = tuple(VARIABLES),
        postgres_settings: Mapping[str, str] | None = None,
        say: Callable[[str], None] = _logger.info,
    ) -> None:
        self.state_dir = state_dir.absolute()
        self._only = only
        self._postgres_settings = postgres_settings or {}
        self._say = say
        self._servers: dict[str, Server] = {}

    def start(self) -> ServiceUrls:
        """Start what does not run, write services.json, return the addresses.

        Raises ServiceError (a taken port, a server that does not come up); what it had started
        keeps running. Costs about a second the first time and milliseconds when all runs.
        """
        servers = self.servers()
        for server in servers.values():
            server.start()
        urls = ServiceUrls(
            database_url=_url(servers, "postgres"),
            redis_url=_url(servers, "broker"),
            streams_url=_url(servers, "streams"),
        )
        write_urls(self.state_dir, urls)
        return urls

    def stop(self) -> list[str]:
        """Stop cleanly whatever runs, the database last; the names of what did run."""
        if not (self.state_dir / "servers").exists():
            return []
        return [name for name, server in reversed(self.servers().items()) if server.stop()]

    def status(self) -> list[ServiceStatus]:
        """What runs and whether it answers."""
        if not (self.state_dir / "servers").exists():
            return [
                ServiceStatus(name=name, running=False, healthy=False, pid=None, port=None)
                for name in self._only
            ]
        return [_status(name, server) for name, server in self.servers().items()]

    def servers(self) -> dict[str, Server]:
        """The servers by name (postgres, broker, streams)."""
        if not self._servers:
            account = Account.for_servers(self.state_dir / "servers")
            try:
                root = servers_dir(self.state_dir, account)
            except OSError as exc:
                raise ServiceError(f"No place for the servers' files: {exc}.") from exc
            made: dict[str, Server] = {
                "postgres": Postgres(
                    root / "postgres",
                    account=account,
                    say=self._say,
                    settings=self._postgres_settings,
                ),
                "broker": Broker(root / "broker", account=account, say=self._say),
                "streams": Streams(root / "streams", account=account, say=self._say),
            }
            self._servers = {name: made[name] for name in VARIABLES if name in self._only}
        return self._servers


def _url(servers: Mapping[str, Server], name: str) -> str:
    return servers[name].url() if name in servers else ""


def _status(name: str, server: Server) -> ServiceStatus:
    if not server.directory.exists():
        return ServiceStatus(name=name, running=False, healthy=False, pid=None, port=None)
    running = server.is_running()
    return ServiceStatus(
        name=name,
        running=running,
        healthy=running and _answers(server),
        pid=server.pid() if running else None,
        port=server.port,
    )


def _answers(server: Server) -> bool:
    try:
        return server.answers()
    except ServiceError:
        return False
