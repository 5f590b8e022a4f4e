"""Long work that a person starts: one job at a time, with progress, cancel and a kept result.

    1. submit()    the row is written; a task on the queue `default` is told that work waits
    2. run_waiting()  a worker takes the oldest waiting job, unless another one runs: a job may use
                   every core, and the queue's other threads have live work to do
    3. Progress    the job says how far it is twice a second, which is also its heartbeat, and hears
                   whether it is to stop
    4. finish      result or error are kept in the row; the next waiting job is taken

A task message that is lost costs nothing but time: sweep(), called by beat, tells again that work
waits, and fails a job whose worker has been silent for SILENT_S. No job writes anything but its row
before it is done, so that it can simply be started anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from celery import current_app, signals
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from kombu.exceptions import OperationalError

from configuration.models import ConfigurationVersion, Job
from payflow.lib.errors import PayflowError

logger = logging.getLogger(__name__)

State = Job.State
TASK: Final = "ingestion.tasks.run_jobs"
#: seconds between two looks at the job's row
_EVERY_S: Final = 0.5
#: seconds without a sign of life after which the worker of a job counts as dead
SILENT_S: Final = 30
_TITLE_LENGTH: Final = 200
_ERROR_LENGTH: Final = 512
#: advisory lock (two numbers): two workers must not both see that nothing runs
_LOCK: Final = (0x70617966, 2)
_CLAIM: Final = """
UPDATE jobs SET state = 'running', started_at = now(), seen_at = now()
WHERE id = (SELECT id FROM jobs WHERE state = 'queued' AND cancel_asked_at IS NULL
            ORDER BY id LIMIT 1)
    AND NOT EXISTS (SELECT 1 FROM jobs WHERE state = 'running')
RETURNING id
"""
_SAY: Final = """
UPDATE jobs SET done = %(done)s, total = %(total)s, seen_at = now()
WHERE id = %(id)s AND state = 'running' RETURNING cancel_asked_at IS NOT NULL
"""

#: set when this process is told to end
_ending = threading.Event()


class JobStopped(PayflowError):
    """The job was cancelled."""


class WorkerEnds(PayflowError):
    """payflow was stopped while the job ran; start it again."""


class Progress:
    """A running job's link to its row."""

    def __init__(self, job: Job, *, on_progress: Callable[[int, int], None] | None = None) -> None:
        """`on_progress` is called with what is done and the total, as often as the row is."""
        self._job_id = job.pk
        self._told_at = 0.0
        self._on_progress = on_progress
        self.done = 0
        self.total = 0

    def tell(self, *, done: int, total: int) -> None:
        """Say how far the job is; cheap to call often.

        Raises JobStopped when somebody wants it to end, WorkerEnds when this process has to.
        """
        self.done, self.total = done, total
        if _ending.is_set():
            raise WorkerEnds
        if time.monotonic() - self._told_at < _EVERY_S:
            return
        self._told_at = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute(_SAY, {"done": done, "total": total, "id": self._job_id})
            row = cursor.fetchone()
        if row is None:
            raise JobStopped("Its worker was silent for too long, and the job was given up.")
        if row[0]:
            raise JobStopped
        if self._on_progress:
            self._on_progress(done, total)


#: kind of job -> what does it: returns the result, which JSON can hold
Runner = Callable[[Job, Progress], Mapping[str, Any]]
_runners: Final[dict[str, Runner]] = {}


def register(kind: str, runner: Runner) -> None:
    """Called once for each kind of job, at ready()."""
    _runners[kind] = runner


def create(
    kind: str,
    title: str,
    *,
    version: ConfigurationVersion | None = None,
    parameters: Mapping[str, Any],
    by: User | None = None,
) -> Job:
    """A job that waits."""
    return Job.objects.create(
        kind=kind,
        title=title[:_TITLE_LENGTH],
        version=version,
        parameters=dict(parameters),
        created_by=by,
    )


def submit(job: Job) -> None:
    """Tell the workers, once the row is committed, that a job waits."""
    transaction.on_commit(lambda: _tell_workers(job.pk))


def cancel(job: Job) -> bool:
    """Ask a job to end; one that only waits is cancelled at once. False when it is over already."""
    waiting: QuerySet[Job] = Job.objects.filter(pk=job.pk, state=State.QUEUED)
    if waiting.update(state=State.CANCELLED, cancel_asked_at=Now(), finished_at=Now()):
        return True
    running = Job.objects.filter(pk=job.pk, state=State.RUNNING)
    return bool(running.update(cancel_asked_at=Now()))


def run_waiting() -> int:
    """Take waiting jobs one after the other until none is left, or another worker runs one."""
    done = 0
    while not _ending.is_set() and (job := _claim()) is not None:
        run(job)
        done += 1
    return done


def start(job: Job) -> None:
    """Make a job a running one of this process, whatever else runs: a person waits for it."""
    Job.objects.filter(pk=job.pk).update(state=State.RUNNING, started_at=Now(), seen_at=Now())
    job.refresh_from_db()


def run(job: Job, *, on_progress: Callable[[int, int], None] | None = None) -> None:
    """Do a job that is running by its row; what comes of it is kept there."""
    progress = Progress(job, on_progress=on_progress)
    try:
        result = _runners[job.kind](job, progress)
    except JobStopped as exc:
        _finish(job, progress, State.CANCELLED, error=str(exc))
    except PayflowError as exc:
        _finish(job, progress, State.FAILED, error=str(exc))
    except KeyboardInterrupt:
        _finish(job, progress, State.CANCELLED, error="It was interrupted.")
        raise
    except Exception as exc:
        # the text of an unknown error may quote payload: its class has to do
        _finish(job, progress, State.FAILED, error=f"It failed: {type(exc).__name__}.")
        raise
    else:
        _finish(job, progress, State.DONE, result=result)


def sweep() -> None:
    """Fail jobs whose worker is gone; tell the workers again of jobs that wait."""
    silent = Job.objects.filter(
        state=State.RUNNING, seen_at__lt=Now() - timedelta(seconds=SILENT_S)
    )
    lost = silent.update(
        state=State.FAILED,
        finished_at=Now(),
        error="Its worker ended before it was done. Nothing was written; start it again.",
    )
    if lost:
        logger.warning("jobs without a worker", extra={"action": "jobs_failed", "jobs": lost})
    waiting = Job.objects.filter(state=State.QUEUED).order_by("pk").first()
    if waiting is not None and not Job.objects.filter(state=State.RUNNING).exists():
        _tell_workers(waiting.pk)


def _claim() -> Job | None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", _LOCK)
        cursor.execute(_CLAIM)
        row = cursor.fetchone()
    return Job.objects.select_related("version").get(pk=row[0]) if row else None


def _finish(
    job: Job,
    progress: Progress,
    state: str,
    *,
    error: str = "",
    result: Mapping[str, Any] | None = None,
) -> None:
    """Keep what came of it, unless the row was given up meanwhile."""
    try:
        Job.objects.filter(pk=job.pk, state=State.RUNNING).update(
            state=state,
            done=progress.done,
            total=progress.total,
            result=result,
            error=error[:_ERROR_LENGTH],
            finished_at=Now(),
        )
    except DatabaseError:
        if state == State.DONE:
            raise
        # the row says "running" until sweep() finds it silent
        logger.warning("the job's end was not kept", extra={"action": "job_lost", "job": job.pk})
        return
    logger.info(
        "job ended", extra={"action": "job_ended", "job": job.pk, "kind": job.kind, "state": state}
    )


def _tell_workers(job_id: int) -> None:
    """A broker that is away is no reason to fail: sweep() tells them again."""
    try:
        current_app.send_task(TASK, expires=60, retry=False)
    except (OperationalError, *current_app.connection_for_write().connection_errors):
        logger.warning(
            "the workers were not told of a job", extra={"action": "job_waits", "job": job_id}
        )


def _worker_ends(**_: Any) -> None:
    _ending.set()


signals.worker_shutting_down.connect(_worker_ends)
