"""Celery's part: seats that drain, a dispatcher that refills them, and housekeeping.

Task messages carry no event data. A lost one costs a tick of latency; a double one shares the
partitions with the first.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import Any

from celery import current_app, shared_task, signals
from celery.worker import state
from django.conf import settings

from configuration.models import Source
from ingestion import connections, jobs
from ingestion.drain import Drainer
from ingestion.leaves import ensure_leaves
from ingestion.models import Drainer as DrainerRow
from ingestion.models import Partition
from ingestion.push import counts, once
from ingestion.shadow.follow import follow_all

_stop = threading.Event()
_in_pool_child = False


@shared_task(name="ingestion.tasks.drain")
def drain() -> None:
    """A seat: drain a fair share of the partitions until shutdown, or for SEAT_HOURS."""
    previous = signal.signal(signal.SIGTERM, _on_sigterm) if _in_pool_child else None
    try:
        seconds = settings.PAYFLOW["SEAT_HOURS"] * 3600
        Drainer(stop=_stop).run(deadline=time.monotonic() + seconds)
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


@shared_task(name="ingestion.tasks.dispatch")
def dispatch() -> None:
    """Offer a seat while none waits to be taken and partitions outnumber live drainers.

    A source whose partitions nobody has looked up yet counts as one.
    """
    wanted = max(Partition.objects.drainable().count(), Source.objects.drainable().count())
    if DrainerRow.objects.live().count() < wanted and _seats_waiting() == 0:
        drain.apply_async(expires=4)


@shared_task(name="ingestion.tasks.ensure_partitions")
def ensure_partitions() -> None:
    """Make the leaves of the weeks ahead."""
    ensure_leaves()


@shared_task(name=jobs.TASK)
def run_jobs() -> None:
    """Do what people have started, one job at a time."""
    jobs.run_waiting()


@shared_task(name="ingestion.tasks.sweep_jobs")
def sweep_jobs() -> None:
    """Find jobs whose worker is gone, or whose message was lost."""
    jobs.sweep()


@shared_task(name="ingestion.tasks.sweep_pushes")
def sweep_pushes() -> None:
    """Forget the answers of pushes that nobody repeats any more, and old counts."""
    once.sweep()
    counts.sweep()


@shared_task(name="ingestion.tasks.sweep_sources")
def sweep_sources() -> None:
    """Drop what is old of connections, errors and lag."""
    connections.sweep()


@shared_task(name="ingestion.tasks.follow_shadows")
def follow_shadows() -> None:
    """Let drafts that run beside the live rules look at what has arrived."""
    follow_all()


def _seats_waiting() -> int:
    """Messages in the queue `ingest`: `expires` drops one only when a worker fetches it."""
    with current_app.connection_for_read() as connection:
        channel = connection.default_channel
        waiting: int = channel.client.llen("ingest")
        return waiting


def _on_sigterm(_signal: int, _frame: FrameType | None) -> None:
    _stop.set()


# --- stopping within seconds ---------------------------------------------------------------------
# Only the parent of a prefork pool hears worker_shutting_down, so it forwards SIGTERM to the
# children that are in a drain. billiard resets SIGTERM after worker_process_init, so the handler
# that ends the loop between two batches is installed inside the task.


@signals.worker_process_init.connect
def _child_started(**_: Any) -> None:
    global _in_pool_child  # noqa: PLW0603  a fact about this process
    _in_pool_child = True
    _stop.clear()


@signals.worker_shutting_down.connect
def _parent_stops(**_: Any) -> None:
    _stop.set()
    draining = {
        request.worker_pid for request in state.active_requests if request.name == drain.name
    }
    for pid in draining - {None, os.getpid()}:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
