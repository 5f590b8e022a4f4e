"""The servers of a test run: its own PostgreSQL and Valkeys in a temporary directory.

`tests.settings` calls `start()` before it reads payflow's settings. Under pytest-xdist the
controller starts them and the workers, which inherit its environment, share them: pytest-django
gives each worker a database of its own, and this module a database number of each Valkey.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from payflow.lib.services import LocalServices, ServiceUrls, read_urls

_PREFIX = "payflow-tests-"
_VARIABLE = "PAYFLOW_TEST_SERVERS"

#: A test run proves nothing about power cuts; killed processes lose nothing without fsync.
POSTGRES_SETTINGS = {"fsync": "off", "shared_buffers": "256MB", "max_wal_size": "1GB"}


def start() -> ServiceUrls:
    """Start them once per run, and point every variable that the settings read at them."""
    state_dir = Path(os.environ[_VARIABLE]) if _VARIABLE in os.environ else _start_servers()
    urls = read_urls(state_dir)
    assert urls is not None
    number = _valkey_database()
    for variable, url in (
        ("DATABASE_URL", urls.database_url),
        ("REDIS_URL", f"{urls.redis_url.rpartition('/')[0]}/{number}"),
        ("STREAMS_URL", f"{urls.streams_url.rpartition('/')[0]}/{number}"),
    ):
        os.environ[variable] = url
        os.environ.pop(f"{variable}_FILE", None)
    own = state_dir / os.environ.get("PYTEST_XDIST_WORKER", "main")
    (own / "static").mkdir(parents=True, exist_ok=True)  # WhiteNoise warns where there is none
    os.environ["PAYFLOW_STATE_DIR"] = str(own)
    return urls


def stop(state_dir: Path) -> None:
    """Stop the servers under `state_dir` and remove all their files."""
    LocalServices(state_dir).stop()
    shutil.rmtree(state_dir, ignore_errors=True)


def _start_servers() -> Path:
    _sweep()
    state_dir = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    state_dir.chmod(0o711)  # root's servers run as nobody
    services = LocalServices(state_dir, postgres_settings=POSTGRES_SETTINGS)
    services.start()
    os.environ[_VARIABLE] = str(state_dir)
    atexit.register(_stop_own, services, os.getpid())
    return state_dir


def _stop_own(services: LocalServices, owner: int) -> None:
    if os.getpid() == owner:  # not in a child that was forked
        services.stop()
        shutil.rmtree(services.state_dir, ignore_errors=True)


def _sweep() -> None:
    """End what a killed test run of this user has left behind."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        pid = path.name.removeprefix(_PREFIX).partition("-")[0]
        with suppress(FileNotFoundError):
            if path.stat().st_uid == os.geteuid() and not Path(f"/proc/{pid}").exists():
                stop(path)


def _valkey_database() -> int:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    return int(worker.removeprefix("gw")) + 1 if worker else 0
