"""The launcher against real servers: one set for the module, started, killed and started again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from payflow.lib.services import LocalServices, ServiceError, read_urls
from payflow.lib.services.account import Account
from tests.servers import POSTGRES_SETTINGS


@pytest.fixture(scope="module")
def state_dir() -> Iterator[Path]:
    """A state directory that the user nobody reaches (pytest's own are private)."""
    path = Path(tempfile.mkdtemp(prefix="payflow-services-"))
    path.chmod(0o711)
    yield path / "var"
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def made(state_dir: Path) -> Iterator[LocalServices]:
    services = LocalServices(state_dir, postgres_settings=POSTGRES_SETTINGS)
    yield services
    services.stop()


@pytest.fixture
def services(made: LocalServices) -> LocalServices:
    """The module's servers, running."""
    made.start()
    return made


def pids(services: LocalServices) -> dict[str, int | None]:
    return {status.name: status.pid for status in services.status()}


def pid_of(services: LocalServices, name: str) -> int:
    pid = pids(services)[name]
    assert pid is not None
    return pid


def scalar(db: psycopg.Connection, query: LiteralString) -> Any:
    row = db.execute(query).fetchone()
    assert row is not None
    return row[0]


def listening_addresses(port: int) -> set[str]:
    """Local addresses (hex, as the kernel prints them) on which somebody listens at the port."""
    lines = []
    for table in ("tcp", "tcp6"):
        lines += Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    return {f[1].split(":")[0] for f in fields if f[3] == "0A" and f[1].endswith(f":{port:04X}")}


def test_starting_twice_is_starting_once(services, state_dir):
    """A second start, by another process's launcher, finds the same servers at the same ports."""
    before = pids(services)

    urls = LocalServices(state_dir).start()

    assert urls == services.start()
    assert pids(services) == before
    assert all(before.values())


def test_addresses_are_written_for_the_settings(services, state_dir):
    """services.json holds what start() returned and only its owner may read it."""
    urls = services.start()

    assert read_urls(state_dir) == urls
    assert stat.S_IMODE((state_dir / "services.json").stat().st_mode) == 0o600
    assert set(json.loads((state_dir / "services.json").read_text())) == {
        "database_url",
        "redis_url",
        "streams_url",
    }


def test_no_addresses_before_the_first_start(tmp_path):
    """Where no server was ever started there are no addresses."""
    assert read_urls(tmp_path) is None


def test_postgres_refuses_a_wrong_password(services):
    """The database takes the generated password and no other, over TCP."""
    url = services.start().database_url
    password = urlsplit(url).password

    with psycopg.connect(url) as db:
        stored = scalar(db, "SELECT rolpassword FROM pg_authid WHERE rolname = 'payflow'")

    assert stored.startswith("SCRAM-SHA-256")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url.replace(password, "wrong"))


@pytest.mark.parametrize("name", ["redis_url", "streams_url"])
def test_valkey_refuses_without_password(services, name):
    """Both Valkeys answer nothing without their password."""
    url = getattr(services.start(), name)
    parts = urlsplit(url)

    with (
        redis.Redis(host=parts.hostname, port=parts.port, retry=Retry(NoBackoff(), 0)) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()
    with redis.Redis.from_url(url) as client:
        assert client.ping()


def test_servers_listen_on_loopback_only(services):
    """No other machine reaches the servers, and there is no unix socket."""
    for status in services.status():
        assert status.port is not None
        assert listening_addresses(status.port) == {"0100007F"}
    with psycopg.connect(services.start().database_url) as db:
        assert scalar(db, "SHOW unix_socket_directories") == ""


def test_password_is_in_no_command_line(services):
    """`ps` shows no password to other users."""
    urls = services.start()
    passwords = [
        urlsplit(url).password.encode()
        for url in (urls.database_url, urls.redis_url, urls.streams_url)
    ]

    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        assert not any(password in line for password in passwords)


def test_postgres_settings_are_in_force(services):
    """The measured settings reach the server: no WAL compression, rare checkpoints, no JIT."""
    with psycopg.connect(services.start().database_url) as db:
        assert scalar(db, "SHOW wal_compression") == "off"
        assert scalar(db, "SHOW checkpoint_timeout") == "15min"
        assert scalar(db, "SHOW jit") == "off"
        assert scalar(db, "SHOW synchronous_commit") == "on"
        assert scalar(db, "SELECT current_setting('max_connections')::int") >= 100


def test_postgres_log_repeats_no_values(services):
    """A statement that fails leaves neither its text nor the row in the server's log."""
    with psycopg.connect(services.start().database_url) as db:
        with pytest.raises(psycopg.errors.UniqueViolation):
            db.execute(
                "CREATE TEMP TABLE t (a text UNIQUE); INSERT INTO t VALUES ('4111x'), ('4111x')"
            )
        db.rollback()
        log = scalar(db, "SELECT pg_read_file(pg_current_logfile())")

    assert "duplicate key" in log
    assert "4111x" not in log


def test_valkeys_differ_in_what_they_keep(services):
    """The streams are append-only and never evict; the broker keeps nothing."""
    urls = services.start()

    with redis.Redis.from_url(urls.streams_url, decode_responses=True) as client:
        streams = client.config_get("append*") | client.config_get("maxmemory-policy")
    with redis.Redis.from_url(urls.redis_url, decode_responses=True) as client:
        broker = client.config_get("appendonly") | client.config_get("save")

    assert streams["appendonly"] == "yes"
    assert streams["appendfsync"] == "always"
    assert streams["maxmemory-policy"] == "noeviction"
    assert broker == {"appendonly": "no", "save": ""}


def test_killed_servers_start_again_with_their_data(services):
    """After kill -9 of all three at once, what was acknowledged is there, at the same addresses."""
    urls = services.start()
    with psycopg.connect(urls.database_url) as db:
        db.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        db.execute("INSERT INTO kept VALUES (1)")
    with redis.Redis.from_url(urls.streams_url) as client:
        client.xadd("kept", {"body": b"x"})

    for name in ("postgres", "broker", "streams"):
        os.kill(pid_of(services, name), signal.SIGKILL)
    again = services.start()

    assert again == urls
    with psycopg.connect(urls.database_url) as db:
        assert scalar(db, "SELECT count(*) FROM kept") == 1
    with redis.Redis.from_url(urls.streams_url) as client:
        assert client.xlen("kept") == 1


def test_start_waits_for_the_backends_of_a_killed_postmaster(services):
    """While a backend of a killed server still works, no second server touches its data."""
    urls = services.start()
    busy = psycopg.connect(urls.database_url, autocommit=True)
    backend = busy.info.backend_pid
    os.kill(backend, signal.SIGSTOP)  # a backend that is slow to notice
    os.kill(pid_of(services, "postgres"), signal.SIGKILL)

    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(services.start)
        time.sleep(0.5)
        was_done = starting.done()
        os.kill(backend, signal.SIGCONT)
        starting.result(timeout=20)
    busy.close()

    assert not was_done
    assert not Path(f"/proc/{backend}").exists() or is_zombie(backend)


def is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"


def test_stale_pid_files_do_not_block(services, state_dir):
    """A pid file that names a living stranger (a reused number) blocks no start and no stop."""
    services.stop()
    directory = state_dir / "servers" / "postgres"
    stranger = str(os.getpid())
    (directory.resolve() / "pid").write_text(stranger)
    (directory.resolve() / "data" / "postmaster.pid").write_text(f"{stranger}\n{directory}\n")

    assert services.status()[0].running is False
    services.start()

    assert services.status()[0].healthy is True


def test_two_starts_at_once_make_one_server(services, state_dir):
    """Commands that start at the same moment agree on one server."""
    services.stop()

    with ThreadPoolExecutor(4) as pool:
        launchers = [
            LocalServices(state_dir, postgres_settings=POSTGRES_SETTINGS) for _ in range(4)
        ]
        urls = set(pool.map(LocalServices.start, launchers))

    assert len(urls) == 1
    assert len({tuple(pids(launcher).values()) for launcher in launchers}) == 1
    for launcher in launchers:
        launcher.stop()


def test_taken_port_is_said_clearly(services, state_dir):
    """A port taken by another program is named with the way out, and nothing else is touched."""
    port = services.status()[1].port
    services.stop()

    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(ServiceError, match=rf"Port {port} .* taken by another program.*delete"),
    ):
        services.start()

    assert services.start().redis_url.endswith(f":{port}/0")


def test_lost_password_is_said_clearly(services, state_dir):
    """A cluster whose password file was replaced is not waited for until a timeout."""
    path = state_dir / "servers" / "postgres" / "password"
    kept = path.read_text()
    path.write_text("another")

    try:
        with pytest.raises(ServiceError, match="refuses the password"):
            LocalServices(state_dir).start()
    finally:
        path.write_text(kept)


def test_stop_is_clean_and_complete(services):
    """stop() ends every process, says what it ended, and ends nothing the second time."""
    before = pids(services)

    stopped = services.stop()

    assert stopped == ["streams", "broker", "postgres"]
    assert services.stop() == []
    assert not any(Path(f"/proc/{pid}").exists() for pid in before.values())
    assert not any(status.running for status in services.status())


def test_server_that_cannot_start_says_why(services, state_dir):
    """The last words of a server that refuses to start are in the error."""
    services.stop()
    broken = LocalServices(state_dir, postgres_settings={"no_such_setting": "1"})

    with pytest.raises(ServiceError, match=r"PostgreSQL stopped while starting.*no_such_setting"):
        broken.start()


def test_only_what_is_asked_for_starts(tmp_path):
    """A server that a variable replaces is neither started nor given an address."""
    tmp_path.chmod(0o711)
    services = LocalServices(tmp_path / "var", only=["broker"])

    try:
        urls = services.start()
    finally:
        services.stop()
        if os.geteuid() == 0:
            shutil.rmtree((tmp_path / "var" / "servers").resolve(), ignore_errors=True)

    assert urls.redis_url
    assert (urls.database_url, urls.streams_url) == ("", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops privileges")
def test_root_drops_privileges(services):
    """Started by root, no server runs as root."""
    owners = {Path(f"/proc/{pid}").stat().st_uid for pid in pids(services).values()}

    assert 0 not in owners


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops privileges")
def test_root_in_a_private_home(tmp_path):
    """In a directory that nobody may enter, root's servers get their files elsewhere and work."""
    tmp_path.chmod(0o700)
    services = LocalServices(tmp_path / "var", postgres_settings=POSTGRES_SETTINGS)

    try:
        with psycopg.connect(services.start().database_url) as db:
            assert scalar(db, "SELECT 1") == 1
        elsewhere = (tmp_path / "var" / "servers").resolve()
        mode = stat.S_IMODE(tmp_path.stat().st_mode)
    finally:
        services.stop()

    assert not elsewhere.is_relative_to(tmp_path)
    assert mode == 0o700
    shutil.rmtree(elsewhere)


UNPRIVILEGED = """
import sys
from pathlib import Path
import psycopg
from payflow.lib.services import LocalServices
services = LocalServices(Path(sys.argv[1]))
try:
    with psycopg.connect(services.start().database_url) as db:
        print(db.execute("SELECT 1").fetchone())
finally:
    services.stop()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_user_without_privileges():
    """Whoever is not root runs the servers as himself."""
    account = Account.for_servers(Path("/nowhere"))
    if not account.reaches(Path(sys.executable)):
        pytest.skip("the virtualenv is out of reach for nobody")
    directory = Path(tempfile.mkdtemp(prefix="payflow-services-"))
    account.own(directory)

    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, directory],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        check=False,
    )
    owner = (directory / "servers" / "postgres" / "data").stat().st_uid
    shutil.rmtree(directory)

    assert done.stdout == "(1,)\n", done.stderr
    assert owner == account.uid
