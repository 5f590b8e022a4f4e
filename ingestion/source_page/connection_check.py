"""Test a connection: what must hold for a source to be read, step by step, with a time limit."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth.models import User

from configuration.sources import note_test
from ingestion.sources.base import ConnectionStep
from ingestion.sources.factory import ConsumerFactory
from payflow.lib.errors import ConfigurationError, PayflowError

logger = logging.getLogger(__name__)

#: seconds that a person waits at most; consumers promise to answer in 10
LIMIT_S: Final = 12.0
#: tests at a time in a process: its other threads have pages to answer
_AT_A_TIME: Final = 2
_running = threading.BoundedSemaphore(_AT_A_TIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedConnection:
    """What a test found, and how long it took."""

    steps: Sequence[ConnectionStep]
    seconds: float

    @property
    def is_ok(self) -> bool:
        """Whether the source can be read."""
        return bool(self.steps) and all(step.is_ok for step in self.steps)

    @property
    def failed(self) -> ConnectionStep | None:
        """The first step that does not hold."""
        return next((step for step in self.steps if step.is_ok is False), None)


class TooManyChecks(PayflowError):
    """Other connections are being tested: try again in some seconds."""


def check_connection(
    broker_type: str,
    *,
    source: str,
    settings: Mapping[str, Any],
    by: User | None = None,
    limit_s: float = LIMIT_S,
) -> CheckedConnection:
    """Look at a connection of its own; nothing that is being read notices. Noted in the trail.

    Raises ConfigurationError when the settings are wrong, TooManyChecks when others are at it.
    """
    consumer = ConsumerFactory.create(broker_type, source=source, settings=settings)
    if not _running.acquire(blocking=False):
        raise TooManyChecks
    answers: list[Sequence[ConnectionStep]] = []

    def look() -> None:
        try:
            answers.append(consumer.diagnose())
        except Exception as exc:  # noqa: BLE001  a broken promise of the consumer is an answer, too
            # class and frames only: its words may hold a secret
            logger.error(  # noqa: TRY400
                "a connection could not be tested",
                extra={
                    "action": "connection_test_failed",
                    "error": type(exc).__name__,
                    "frames": traceback.format_tb(exc.__traceback__)[-6:],
                },
            )
            detail = f"The test itself failed with {type(exc).__name__}; the log says more."
            answers.append([ConnectionStep(name="Test", is_ok=False, detail=detail)])
        finally:
            _running.release()

    started = time.monotonic()
    thread = threading.Thread(target=look, name="test-connection", daemon=True)
    thread.start()
    note_test(source, broker_type, settings, by=by)
    thread.join(limit_s)
    steps = answers[0] if answers else [_silent(limit_s)]
    return CheckedConnection(steps=steps, seconds=time.monotonic() - started)


def _silent(limit_s: float) -> ConnectionStep:
    return ConnectionStep(
        name="Time",
        is_ok=False,
        detail=f"There was no answer within {limit_s:g} s: look at the network between here and "
        "the broker.",
    )


def wrong_settings(error: ConfigurationError, *, seconds: float = 0.0) -> CheckedConnection:
    """A test that ended before it began."""
    steps = [
        ConnectionStep(name="Settings", is_ok=False, detail=problem.message)
        for problem in error.problems
    ]
    return CheckedConnection(steps=steps, seconds=seconds)
