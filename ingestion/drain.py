"""drain: the loop that Celery's seats, `manage.py drain` and `ingest_file` all run.

    1. Once a second   say that we live, take or give back partitions for a fair share
    2. Every poll      read which bundle each source runs now, and answer at once when it changed
    3. Every batch     process() it (pipeline.py), acknowledge it
    4. A bad world     forget what was read, back off, read the checkpoint again

Everything it knows can be lost at any moment: the truth is in the partitions' rows. Brokers are
asked in threads of their own (broker_calls.py); all else, the database included, is this thread's.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import psycopg
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from configuration.deployments import note_release
from ingestion import leases
from ingestion.broker_calls import Call
from ingestion.holdings import Holdings
from ingestion.leases import Lease, Slot
from ingestion.pipeline import Committed, process
from ingestion.readers import SourceReader, backoff_s
from ingestion.sources.base import MessageBatch
from payflow.lib import tracing
from payflow.lib.errors import CheckpointMoved, Retryable
from payflow.lib.failpoints import fail_point
from payflow.lib.logs import bound

logger = logging.getLogger(__name__)

#: seconds for which a broker is asked for messages at once
POLL_S: Final = 0.25
#: the same while what counts is to find that there are no more
POLL_IDLE_S: Final = 0.05
TICK_S: Final = 1.0
#: seconds between looks which bundles and settings are active; also the longest wait for a stop
LOOK_S: Final = 0.1
#: seconds between looks for sources and partitions that are new
DISCOVER_S: Final = 5.0
#: seconds without a bad world after which the next one is the first
CALM_S: Final = 15.0
#: seconds that an acknowledgement may hold up the next batch
ACKNOWLEDGE_S: Final = 0.5


class Drainer:
    """Drains its share of the partitions of the given sources until it is stopped."""

    def __init__(
        self,
        *,
        stop: threading.Event,
        sources: list[str] | None = None,
        partition: str | None = None,
        settings_of_source: Mapping[str, Any] | None = None,
        on_commit: Callable[[Committed], None] | None = None,
    ) -> None:
        """See Holdings for `sources`, `partition` and `settings_of_source`."""
        self.stop = stop
        self._holdings = Holdings(
            owner=leases.new_owner(),
            sources=sources,
            partition=partition,
            settings_of_source=settings_of_source,
        )
        self._on_commit = on_commit
        self._slot: Slot | None = None
        #: bad worlds in a row: without a commit or a calm time between them
        self._failures = 0
        self._failed_at = 0.0
        #: batches so far
        self._taken = 0
        # monotonic times at which these are due
        self._tick_at = self._look_at = self._discover_at = self._renew_at = 0.0

    def run(self, *, until_idle: bool = False, deadline: float | None = None) -> None:
        """Drain until stopped, until `deadline` (monotonic), or until everything is read."""
        with tracing.recording():
            try:
                self._loop(until_idle=until_idle, deadline=deadline)
            finally:
                self._leave()

    def _loop(self, *, until_idle: bool, deadline: float | None) -> None:
        while not self.stop.is_set() and (deadline is None or time.monotonic() < deadline):
            try:
                busy = self._poll(wait_s=POLL_IDLE_S if until_idle else POLL_S)
                if time.monotonic() >= self._failed_at + CALM_S:
                    self._failures = 0
                if until_idle and not busy and self._everything_is_read():
                    return
            except (DatabaseError, InterfaceError, Retryable) as exc:
                self._start_over(exc)

    # --- one round ---------------------------------------------------------------------------

    def _poll(self, *, wait_s: float) -> bool:
        """One round over all sources; True if any message was taken."""
        self._keep_up()
        taken = self._taken
        self._holdings.read(wait_s=wait_s, then=self._came)
        self._holdings.wake.wait(LOOK_S)
        self._holdings.wake.clear()
        self._holdings.settle()
        return self._taken > taken

    def _keep_up(self) -> None:
        """What is due by the clock, also between two of many batches."""
        if time.monotonic() >= self._tick_at or self._holdings.is_changed:
            self._tick()
        if time.monotonic() >= self._look_at:
            if self._holdings.follow():
                self._tick_at = 0.0  # the drainer's own row says it, too
            self._look_at = time.monotonic() + LOOK_S

    def _came(self, reader: SourceReader, call: Call) -> None:
        """Take the batch that a source gave, if it gave one."""
        batch: MessageBatch | None = call.result
        if batch is None:
            return
        reader.behind = None
        self._keep_up()
        # read before the partition was let go, or before it was assigned again: read once more
        if call.number < reader.assigned.get(batch.partition, math.inf):
            return
        self._taken += 1
        ids = {"batch": batch.batch_id, "source": batch.source, "partition": batch.partition}
        with bound(**ids), tracing.batch_span(received_at=batch.received_at, **ids):
            self._take(reader, batch)

    def _take(self, reader: SourceReader, batch: MessageBatch) -> None:
        lease = reader.held[batch.partition]
        try:
            done = self._process(reader, batch, lease)
        except CheckpointMoved as exc:
            _log_retry(exc)
            reader.drop(lease.partition)
            self._tick_at = 0.0
            return
        except (DatabaseError, InterfaceError, Retryable) as exc:
            self._holdings.note_bad_world(_without_payload(exc), lease)
            raise
        except Exception as exc:  # noqa: BLE001  our own bug on these bytes must not loop for ever
            self._give_up(reader, lease, exc)
            return
        if self._on_commit:
            self._on_commit(done)
        logger.info("committed a batch", extra={"action": "batch_committed", **done.log_context()})
        tracing.annotate(done.log_context())
        with tracing.span("acknowledge"):
            acknowledge = partial(reader.consumer.acknowledge_batch, batch)
            reader.calls.do(acknowledge, patience_s=ACKNOWLEDGE_S)
        fail_point("after_acknowledge")

    def _process(self, reader: SourceReader, batch: MessageBatch, lease: Lease) -> Committed:
        if self._slot is None or reader.bundle is None:
            raise Retryable("this drainer has no slot or no bundle")
        if batch.partition not in reader.proven:
            leases.mark_attempt(lease)
        done = process(batch, lease=lease, slot=self._slot, bundle=reader.bundle)
        reader.prove(batch.partition)
        self._failures = 0
        return done

    # --- once a second -----------------------------------------------------------------------

    def _tick(self) -> None:
        now = time.monotonic()
        self._tick_at = now + TICK_S
        self._holdings.is_changed = False
        self._say_that_we_live()
        if now >= self._discover_at:
            self._discover_at = now + DISCOVER_S
            self._holdings.discover()
        for name in leases.stop_deadly_partitions():
            logger.error(
                "partition stopped: its messages killed their owners",
                extra={"action": "partition_stopped", "partition": name},
            )
        if now >= self._renew_at:
            self._renew_at = now + settings.PAYFLOW["LEASE_S"] / 3
            self._holdings.renew()
        self._holdings.balance()
        self._holdings.ask_lag()
        self._holdings.look_at_unread()
        self._holdings.watch_silent()
        self._holdings.connections.write()

    def _say_that_we_live(self) -> None:
        if self._slot is None:
            self._slot = leases.take_slot(self._holdings.owner, scope=self._holdings.scope)
            note_release()
        if not leases.see(self._slot, bundles=json.dumps(self._holdings.bundles())):
            self._slot = None
            raise CheckpointMoved("the slot of this drainer was given to another")

    def _everything_is_read(self) -> bool:
        """Nothing is left to read here, and nothing that should be read lies about unheld."""
        holdings = self._holdings
        holdings.balance()  # a partition may have been let go since the last tick
        if holdings.unserved or not all(reader.is_open for reader in holdings):
            return False
        holding = [reader for reader in holdings if reader.held]
        if any(reader.behind is None for reader in holding):
            holdings.ask_lag()
            return False
        return (bool(holding) or not holdings.wanted) and not any(r.behind for r in holding)

    # --- when something is wrong -------------------------------------------------------------

    def _start_over(self, exc: Exception) -> None:
        """A bad world: keep nothing that was read, wait, and take the leases anew."""
        self._failures += 1
        self._failed_at = time.monotonic()
        delay = backoff_s(self._failures)
        _log_retry(exc, delay_s=delay)
        if not isinstance(exc, CheckpointMoved):
            self._holdings.note_bad_world(_without_payload(exc))
        self._holdings.forget_all()
        connection.close()
        self._tick_at = self._look_at = self._renew_at = 0.0
        if not isinstance(exc, CheckpointMoved):
            self.stop.wait(delay)

    def _give_up(self, reader: SourceReader, lease: Lease, exc: Exception) -> None:
        # class and frames only: the message of an exception may hold payload
        logger.error(
            "cannot process a batch",
            extra={
                "action": "batch_failed",
                "error": type(exc).__name__,
                "frames": traceback.format_tb(exc.__traceback__)[-6:],
            },
        )
        leases.fail_attempt(
            lease, error=f"{type(exc).__name__} on the messages from {lease.position}"
        )
        reader.drop(lease.partition)

    def _leave(self) -> None:
        """Give everything back; whatever cannot be given back expires."""
        try:
            self._holdings.give_back_all()
            self._holdings.connections.leave()
            if self._slot is not None:
                leases.give_slot(self._slot)
        except (DatabaseError, InterfaceError) as exc:
            logger.warning(
                "could not give back leases: they expire",
                extra={"action": "release_failed", "error": type(exc).__name__},
            )
        self._holdings.disconnect()


def _log_retry(exc: Exception, *, delay_s: float = 0.0) -> None:
    logger.warning(
        "the world is bad, trying again",
        extra={"action": "retry", "error": _without_payload(exc), "delay_s": delay_s},
    )


def _without_payload(exc: Exception) -> str:
    """What went wrong. A database's own words may quote a row, so only its codes are kept."""
    cause = exc.__cause__
    if isinstance(cause, psycopg.Error):
        codes = (cause.sqlstate, cause.diag.constraint_name)
        return " ".join([type(cause).__name__, *(code for code in codes if code)])
    if isinstance(exc, DatabaseError):
        return type(exc).__name__
    return f"{type(exc).__name__}: {exc}"
