"""Seats: offered only when one is needed, worthless once expired, taken by a real worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone

from configuration.sources import pause
from ingestion import tasks
from ingestion.archive import archive_storage
from ingestion.models import Drainer, Partition
from ingestion.verify import verify
from metrics.models import NormalizedTransaction
from tests.ingestion.streaming import demo, publish, wait_until

pytestmark = pytest.mark.usefixtures("ready", "streams")

ROOT = Path(__file__).parents[2]


def seats(broker: redis.Redis) -> list[dict[str, Any]]:
    """The task messages in the queue `ingest`, under the prefix of payflow's keys."""
    return [json.loads(message) for message in broker.lrange("payflow:ingest", 0, -1)]


def known_partitions(count: int) -> None:
    for number in range(count):
        Partition.objects.create(source=demo(), name=str(number), position="0-1")


def live_drainers(count: int, *, seen: timedelta = timedelta()) -> None:
    for number in range(count):
        Drainer.objects.create(
            slot=number, owner=f"host:{number}", seen_at=timezone.now() - seen, last_tick=0
        )


def test_one_seat_is_offered_and_no_second_one_while_it_waits(broker):
    """A source whose partitions nobody knows yet needs one drainer; the offer carries no data and
    ends by itself."""
    tasks.dispatch()
    tasks.dispatch()

    (seat,) = seats(broker)
    headers = seat["headers"]
    assert headers["task"] == "ingestion.tasks.drain"
    assert (headers["argsrepr"], headers["kwargsrepr"]) == ("()", "{}")
    expires = datetime.fromisoformat(headers["expires"])
    assert timedelta(0) < expires - datetime.now(UTC) <= timedelta(seconds=4)


@pytest.mark.parametrize(("live", "offered"), [(3, 1), (4, 0), (5, 0)])
def test_seats_are_offered_until_there_is_a_drainer_for_each_partition(broker, live, offered):
    """Four partitions: more than four drainers would idle."""
    known_partitions(4)
    live_drainers(live)

    tasks.dispatch()

    assert len(seats(broker)) == offered


def test_a_drainer_that_gives_no_sign_of_life_holds_no_seat(broker):
    """Four that were last seen ten seconds ago are dead or stuck: others are needed."""
    known_partitions(4)
    live_drainers(4, seen=timedelta(seconds=10))

    tasks.dispatch()

    assert len(seats(broker)) == 1


def test_nothing_to_read_needs_no_seat(broker):
    """Paused sources, stopped and finished partitions offer nothing."""
    known_partitions(2)
    pause(demo(), reason="a test")

    tasks.dispatch()

    assert seats(broker) == []


# --- a real worker --------------------------------------------------------------------------------


@contextmanager
def worker() -> Iterator[subprocess.Popen[bytes]]:
    """A Celery worker of the queue `ingest` as the Procfile starts it, on this test's servers."""
    url = django_settings.REDIS_URL
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "celery", "-A", "payflow", "worker", "--pool=prefork", "-c1"),
            *("-Q", "ingest", "-n", "test@%h", "--without-gossip", "--without-mingle"),
            "--loglevel=INFO",
        ],
        cwd=ROOT,
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "payflow.settings",
            "DATABASE_URL": database_url(),
            "REDIS_URL": url,
            "STREAMS_URL": django_settings.STREAMS_URL,
            "PAYFLOW_ARCHIVE_DIR": archive_storage().path(""),
            "C_FORCE_ROOT": "1",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def database_url() -> str:
    """The address of the database that this test runs in."""
    address, _, _name = os.environ["DATABASE_URL"].rpartition("/")
    return f"{address}/{connection.settings_dict['NAME']}"


def test_a_worker_drops_an_expired_seat_takes_a_live_one_and_stops_in_seconds(
    broker, streams, event
):
    """What flows is stored once; SIGTERM ends worker and drain, and no lease stays behind."""
    tasks.drain.apply_async(expires=0.1)
    publish(streams, [event(n) for n in range(40)])

    with worker() as process:
        wait_until(lambda: seats(broker) == [])
        tasks.dispatch()
        wait_until(lambda: NormalizedTransaction.objects.count() == 40)
        tasks.dispatch()
        publish(streams, [event(n) for n in range(40, 60)])
        wait_until(lambda: NormalizedTransaction.objects.count() == 60)
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
        seconds = time.monotonic() - asked

    assert seconds < 8  # under 5 on a machine of its own
    assert log.count(b"Discarding revoked task: ingestion.tasks.drain") == 1
    assert b"Traceback" not in log
    assert not Partition.objects.exclude(leased_until=None).exists()
    assert not Drainer.objects.exclude(owner="").exists()
    assert verify().is_clean
