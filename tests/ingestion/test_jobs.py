"""Jobs: one at a time, with progress, cancel, and an end whatever happens to their worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
import redis
from django.utils import timezone

from configuration.models import Job
from ingestion import jobs, tasks
from payflow.lib.errors import StorageError

State = Job.State


@pytest.fixture
def kind(transactional_db: None) -> Iterator[Callable[[jobs.Runner], str]]:
    """Register what the job of one test does."""

    def register(runner: jobs.Runner) -> str:
        jobs.register("of_a_test", runner)
        return "of_a_test"

    yield register
    jobs._runners.pop("of_a_test", None)


def _job(kind: str, **fields: Any) -> Job:
    return Job.objects.create(kind=kind, title="A job", **fields)


def test_a_job_keeps_its_result(kind):
    """And how far it came, when it ended."""

    def work(job: Job, progress: jobs.Progress) -> dict[str, Any]:
        progress.tell(done=3, total=3)
        return {"answer": job.parameters["question"] + 1}

    job = jobs.create(kind(work), "A job", parameters={"question": 41})

    assert jobs.run_waiting() == 1

    job.refresh_from_db()
    assert (job.state, job.result, job.done, job.total) == (State.DONE, {"answer": 42}, 3, 3)
    assert job.finished_at is not None


def test_jobs_run_one_at_a_time_in_their_order(kind):
    """A second worker finds one running and leaves the rest to it."""
    seen: list[int] = []

    def work(job: Job, _progress: jobs.Progress) -> dict[str, Any]:
        seen.append(job.pk)
        assert jobs.run_waiting() == 0, "what a second worker gets meanwhile"
        return {}

    made = [_job(kind(work)).pk for _ in range(3)]

    assert jobs.run_waiting() == 3
    assert seen == made


def test_a_running_job_is_cancelled_at_its_next_sign_of_life(kind):
    """Nothing is kept of it but that it was cancelled."""

    def work(job: Job, progress: jobs.Progress) -> dict[str, Any]:
        assert jobs.cancel(job)
        progress.tell(done=1, total=9)
        raise AssertionError("it went on")

    job = _job(kind(work))

    jobs.run_waiting()

    job.refresh_from_db()
    assert (job.state, job.result) == (State.CANCELLED, None)


def test_a_waiting_job_is_cancelled_at_once(kind):
    """No worker ever sees it; what is over cannot be cancelled."""
    job = _job(kind(lambda _job, _progress: {}))

    assert jobs.cancel(job)
    assert jobs.run_waiting() == 0

    job.refresh_from_db()
    assert job.state == State.CANCELLED
    assert not jobs.cancel(job)


def test_a_failure_that_payflow_knows_is_told_in_words(kind):
    """The text of its own errors never holds payload."""

    def work(_job: Job, _progress: jobs.Progress) -> dict[str, Any]:
        raise StorageError("the archive does not answer")

    job = _job(kind(work))

    jobs.run_waiting()

    job.refresh_from_db()
    assert (job.state, job.error) == (State.FAILED, "the archive does not answer")


def test_an_unknown_failure_is_told_by_its_class(kind):
    """Its text might quote an event."""

    def work(_job: Job, _progress: jobs.Progress) -> dict[str, Any]:
        raise ValueError("4111 1111 1111 1111")

    job = _job(kind(work))

    with pytest.raises(ValueError, match="4111"):
        jobs.run_waiting()

    job.refresh_from_db()
    assert (job.state, job.error) == (State.FAILED, "It failed: ValueError.")


def test_a_job_whose_worker_is_silent_fails(kind, broker):
    """So that it can be started again, and the next one begins."""
    long_ago = timezone.now() - timedelta(seconds=jobs.SILENT_S + 1)
    lost = _job(kind(lambda _job, _progress: {}), state=State.RUNNING, seen_at=long_ago)
    alive = _job("other", state=State.RUNNING, seen_at=timezone.now())

    tasks.sweep_jobs()

    lost.refresh_from_db()
    alive.refresh_from_db()
    assert (lost.state, alive.state) == (State.FAILED, State.RUNNING)
    assert "start it again" in lost.error


def test_a_worker_that_was_given_up_does_not_overwrite_that(kind):
    """Frozen for a minute, it wakes up and finds its job failed."""

    def work(job: Job, progress: jobs.Progress) -> dict[str, Any]:
        Job.objects.filter(pk=job.pk).update(state=State.FAILED, error="given up")
        progress.tell(done=1, total=1)
        raise AssertionError("it went on")

    job = _job(kind(work))

    jobs.run_waiting()

    job.refresh_from_db()
    assert (job.state, job.error) == (State.FAILED, "given up")


def test_workers_are_told_again_of_a_job_that_waits(kind, broker):
    """Its message may have been lost; while one runs, nobody needs to be told."""
    job = _job(kind(lambda _job, _progress: {}))

    tasks.sweep_jobs()

    assert broker.llen("payflow:default") == 1
    broker.flushdb()
    Job.objects.filter(pk=job.pk).update(state=State.RUNNING, seen_at=timezone.now())
    _job("of_a_test")

    tasks.sweep_jobs()

    assert broker.llen("payflow:default") == 0


def test_a_job_ends_when_its_process_has_to(kind, monkeypatch):
    """payflow stops within seconds; the job says why it has no result."""

    def work(_job: Job, progress: jobs.Progress) -> dict[str, Any]:
        jobs._worker_ends()
        progress.tell(done=1, total=9)
        raise AssertionError("it went on")

    job = _job(kind(work))
    monkeypatch.setattr(jobs, "_ending", type(jobs._ending)())

    jobs.run_waiting()

    job.refresh_from_db()
    assert (job.state, job.error) == (
        State.FAILED,
        "payflow was stopped while the job ran; start it again.",
    )


def test_a_job_is_kept_while_the_broker_is_away(kind):
    """Whoever started it gets its page; workers are told when the broker is back."""
    job = jobs.create(kind(lambda _job, _progress: {}), "A job", parameters={})
    away = redis.exceptions.ConnectionError("away")

    with patch("ingestion.jobs.current_app.send_task", side_effect=away):
        jobs.submit(job)

    assert Job.objects.get(pk=job.pk).state == State.QUEUED
