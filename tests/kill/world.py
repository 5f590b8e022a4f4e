"""A whole payflow of its own: servers, database, real worker processes, and ways to hurt them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import redis

from payflow.lib.services import LocalServices, ServiceUrls
from tests.kill.traffic import Expected
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
LEASE_S = 3


class World:
    """One payflow installation under a directory."""

    def __init__(self, directory: Path, *, partitions: int = 4, durable: bool = False) -> None:
        """`durable`: with the settings of a real installation; tests need no fsync."""
        directory.chmod(0o711)  # root's servers run as nobody
        settings = None if durable else {"fsync": "off"}
        self.services = LocalServices(directory, postgres_settings=settings)
        self.urls: ServiceUrls = self.services.start()
        self.partitions = partitions
        self.logs = directory / "logs"
        self.logs.mkdir(exist_ok=True)
        #: held while a chunk is on its way: what was sent must be known to have arrived
        self._publishing = threading.Lock()
        self._processes: list[subprocess.Popen[bytes]] = []
        self.env = os.environ | {
            "DJANGO_SETTINGS_MODULE": "payflow.settings",
            "PAYFLOW_STATE_DIR": str(directory),
            "DATABASE_URL": self.urls.database_url,
            "REDIS_URL": self.urls.redis_url,
            "STREAMS_URL": self.urls.streams_url,
            "PAYFLOW_LEASE_S": str(LEASE_S),
            "POLARS_MAX_THREADS": "1",
            "C_FORCE_ROOT": "1",
            "PYTHONPATH": str(ROOT),
        }
        self.manage("migrate", "-v0")
        self.manage("load_defaults")
        self.sql(
            "UPDATE sources SET settings = settings || %s::jsonb WHERE name = 'demo'",
            f'{{"partitions": {partitions}}}',
        )

    # --- things a person does ------------------------------------------------------------------

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.env,
            check=False,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert result.returncode == 0 or not check, result.stderr[-3000:]
        return result

    def define(self, name: str, *, broker_type: str, settings: dict[str, Any]) -> None:
        """A source of the schema `transaction`; running workers find it within 10 s."""
        path = self.services.state_dir / f"{name}.json"
        document = {"name": name, "broker_type": broker_type, "settings": settings}
        path.write_text(json.dumps({**document, "schema_name": "transaction"}))
        self.manage("sources", "apply", str(path))

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.urls.database_url, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def streams(self) -> redis.Redis:
        return redis.Redis.from_url(self.urls.streams_url)

    def broker(self) -> redis.Redis:
        return redis.Redis.from_url(self.urls.redis_url)

    def kill_and_restart(self, name: str) -> None:
        """kill -9 of a server, a second of silence, and a start; nothing is published meanwhile."""
        with self._publishing:
            pid = self.services.servers()[name].pid()
            assert pid
            os.kill(pid, signal.SIGKILL)
            time.sleep(1)
            self.services.start()

    def publish(
        self,
        messages: Sequence[bytes],
        *,
        per_second: int | None = None,
        only: int | None = None,
        by_content: bool = False,
    ) -> None:
        """Spread messages over the partitions, or send all to one.

        In turn by default, so that a second delivery lands in another partition and two workers
        race for it; `by_content` keeps it with the first, as a producer with keys does.
        """
        start, chunk = time.monotonic(), 500
        for first in range(0, len(messages), chunk):
            with self._publishing, self.streams() as client:
                pipeline = client.pipeline(transaction=True)
                for number, body in enumerate(messages[first : first + chunk], first):
                    turn = zlib.crc32(body) if by_content else number
                    partition = turn % self.partitions if only is None else only
                    pipeline.xadd(f"payflow.demo.{partition}", {"body": body})
                pipeline.execute()
            if per_second:
                time.sleep(max(0.0, start + first / per_second - time.monotonic()))

    # --- processes -----------------------------------------------------------------------------

    def start(self, *command: str, **env: str) -> subprocess.Popen[bytes]:
        with (self.logs / f"{len(self._processes)}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=self.env | env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def start_drain(self, *arguments: str, **env: str) -> subprocess.Popen[bytes]:
        return self.start("manage.py", "drain", *arguments, **env)

    def start_celery(self, *, processes: int = 2) -> list[subprocess.Popen[bytes]]:
        """The workers as the Procfile starts them."""
        slots = str(processes)
        common = ("-m", "celery", "-A", "payflow", "worker", "--without-gossip", "--without-mingle")
        return [
            self.start(*common, "--pool=prefork", "-c", slots, "-Q", "ingest", "-n", "ingest@%h"),
            self.start(
                *common, "--pool=threads", "-c", "2", "-Q", "default", "-B", "-n", "tasks@%h"
            ),
        ]

    def children_of(self, process: subprocess.Popen[bytes]) -> list[int]:
        """Pids of the pool's children that run Python (a spawn pool also has a tracker)."""
        found = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = status.read_text().rsplit(")", 1)[1].split()
                if int(fields[1]) == process.pid and fields[0] not in "ZX":
                    command = (status.parent / "cmdline").read_bytes()
                    if b"spawn_main" in command:
                        found.append(int(status.parent.name))
            except (OSError, IndexError, ValueError):
                continue
        return found

    # --- waiting and comparing -------------------------------------------------------------------

    def wait_until(self, holds: Callable[[], object], *, seconds: float = 60) -> None:
        """When it takes too long, the partitions and the ends of all logs are shown."""
        wait_until(holds, seconds=seconds, tell=self.state)

    def wait_for(self, messages: int, *, seconds: float = 60) -> None:
        """Until that many messages are committed."""
        self.wait_until(lambda: self.committed() >= messages, seconds=seconds)

    def committed(self) -> int:
        try:
            return int(self.sql("SELECT coalesce(sum(sequence_number), 0) FROM partitions")[0][0])
        except psycopg.OperationalError:
            return -1

    def state(self) -> str:
        rows = self.sql(
            "SELECT name, state, position, sequence_number, attempts, leased_by,"
            " leased_until - now(), stopped_reason, last_error FROM partitions ORDER BY id"
        )
        tails = "\n".join(
            f"--- {log.name}\n{log.read_text()[-1500:]}" for log in sorted(self.logs.iterdir())
        )
        return "\n".join(map(str, rows)) + "\n" + tails

    def assert_exactly_once(self, expected: Expected) -> None:
        """0 lost, 0 double: every table against sums computed from what was sent."""
        (counts,) = self.sql(
            "SELECT sum(messages), sum(accepted), sum(failed), sum(duplicates) FROM batches"
        )
        assert counts == (
            expected.messages,
            expected.accepted,
            expected.failed,
            expected.duplicates,
        )
        rows = self.sql(
            "SELECT count(*), count(DISTINCT event_key), count(DISTINCT id)"
            " FROM normalized_transactions"
        )
        assert rows == [(expected.accepted,) * 3]
        amounts = "SELECT currency, sum({}) FROM {} GROUP BY 1"
        for column, table in (
            ("amount", "normalized_transactions"),
            ("amount_sum", "payment_metrics_5m"),
            ("amount_sum", "payment_metrics_1h"),
        ):
            assert dict(self.sql(amounts.format(column, table))) == dict(expected.amounts), table
        cells = self.sql(
            "SELECT window_start, currency, payment_status, sum(transaction_count)"
            " FROM payment_metrics_5m GROUP BY 1, 2, 3"
        )
        assert {
            (start.isoformat(), currency, status): count for start, currency, status, count in cells
        } == dict(expected.cells)
        assert self.sql("SELECT count(*) FROM failed_items") == [(expected.failed,)]
        assert self.sql("SELECT sum(count) FROM failure_groups") == [(expected.failed,)]

    def assert_verified(self) -> None:
        """`manage.py verify` recomputes everything from the archive and finds no difference."""
        result = self.manage("verify", "--json", check=False)
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]

    def stop(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                with_group(process, signal.SIGKILL)
                process.wait(10)
        self.services.stop()


def with_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal a process and everything it started."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


@contextmanager
def own_world() -> Iterator[World]:
    """A World in a directory that PostgreSQL's user can reach; nothing is left of it."""
    directory = Path(tempfile.mkdtemp(prefix="payflow-world-"))
    try:
        made = World(directory)
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
