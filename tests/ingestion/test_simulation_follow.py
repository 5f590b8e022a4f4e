"""The process that obeys a row: it runs, changes and stops what the row says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import connection
from django.db.models import F
from django.utils import timezone

from configuration.models import Source
from ingestion.simulation_follow import Follower
from ingestion.simulation_model import Simulation


@pytest.fixture
def row(transactional_db: None, streams: redis.Redis, settings: Any, tmp_path: Path) -> Simulation:
    """What is wanted: a normal day at 300 a second."""
    settings.STATE_DIR = tmp_path
    source = Source.objects.create(
        name="demo",
        broker_type="redis_streams",
        settings={"stream": "demo", "partitions": 2},
        schema_name="transaction",
    )
    return Simulation.objects.create(name="demo", scenario="normal-day", rate=300, source=source)


@pytest.fixture
def said() -> list[str]:
    """What the process says."""
    return []


@pytest.fixture
def follow(row: Simulation, said: list[str]) -> Iterator[Callable[[], threading.Event]]:
    """Starts a follower in a thread; all are stopped and awaited at the end."""
    running: list[tuple[threading.Event, threading.Thread]] = []

    def start() -> threading.Event:
        stop = threading.Event()

        def run() -> None:
            try:
                Follower("demo", stop=stop, say=said.append).run()
            finally:
                connection.close()

        thread = threading.Thread(target=run)
        thread.start()
        running.append((stop, thread))
        return stop

    yield start
    for stop, thread in running:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def _until(row: Simulation, holds: Callable[[Simulation], bool], timeout_s: float = 8) -> None:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        row.refresh_from_db()
        if holds(row):
            return
        time.sleep(0.05)
    pytest.fail(f"not in time: {vars(row)}")


def _want(row: Simulation, **fields: Any) -> None:
    Simulation.objects.filter(pk=row.pk).update(revision=F("revision") + 1, **fields)


def _length(streams: redis.Redis) -> int:
    return int(streams.xlen("demo.0")) + int(streams.xlen("demo.1"))


def test_it_runs_what_is_wanted_and_reports_it(row, follow, streams):
    """Published is what the streams hold; rate, since and owner are known."""
    stop = follow()
    _until(row, lambda r: r.published > 300 and r.rate_now > 0)
    assert row.started_at is not None
    assert row.owner
    assert 150 < row.rate_now < 450

    stop.set()
    _until(row, lambda r: r.owner == "")

    assert row.published == _length(streams)
    assert row.started_at is None


def test_it_stops_and_starts_as_it_is_told(row, follow, streams):
    """Within two polls; a start counts anew."""
    follow()
    _until(row, lambda r: r.published > 100)

    _want(row, is_wanted=False)
    _until(row, lambda r: r.done_revision == 2)
    held = _length(streams)
    time.sleep(0.5)
    assert _length(streams) == held
    assert row.started_at is None

    _want(row, is_wanted=True)
    _until(row, lambda r: r.done_revision == 3 and r.published > 0)
    assert row.published < held + 300


def test_another_rate_goes_on_in_the_same_run(row, follow):
    """Neither the start nor the count begins anew."""
    follow()
    _until(row, lambda r: r.published > 100)
    started = row.started_at

    _want(row, rate=1_500)
    _until(row, lambda r: r.rate_now > 1_000)

    assert row.started_at == started


def test_another_scenario_is_another_run_with_an_answer_key(row, follow, tmp_path):
    """Each of its lines is a violation that was published."""
    follow()
    _until(row, lambda r: r.published > 100)
    started = row.started_at

    _want(row, scenario="compliance-mix", rate=1_000)
    _until(row, lambda r: r.violations > 50)

    assert row.started_at != started
    lines = Path(row.answer_key).read_text().splitlines()
    assert len(lines) >= 50
    assert Path(row.answer_key).is_relative_to(tmp_path)
    assert {"aml", "kyc"} <= {json.loads(line)["kind"].partition("_")[0] for line in lines}


def test_what_cannot_run_is_reported_until_something_else_is_wanted(row, follow, said):
    """Said once, not every second."""
    _want(row, scenario="gone")
    follow()
    _until(row, lambda r: "there is no scenario gone" in r.problem)
    time.sleep(1.2)
    assert len(said) == 1

    _want(row, scenario="normal-day")
    _until(row, lambda r: r.published > 0)
    assert row.problem == ""


def test_a_second_process_waits_while_the_first_lives(row, follow, streams):
    """And takes over once the first one has been silent for some seconds."""
    now = timezone.now()
    Simulation.objects.update(owner="elsewhere:1", seen_at=now + timedelta(seconds=1))
    follow()
    time.sleep(1.5)
    assert _length(streams) == 0

    Simulation.objects.update(seen_at=now - timedelta(seconds=6))
    _until(row, lambda r: r.published > 0)

    assert row.owner != "elsewhere:1"
