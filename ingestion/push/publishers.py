"""Publishers of this process, kept open between requests: they are not thread-safe, so each request
has one for itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from configuration.models import Source
from ingestion.sources.factory import ConsumerFactory
from payflow.lib.errors import BackPressure
from payflow.lib.publish.base import Publisher
from payflow.lib.publish.factory import create_publisher

#: seconds after which one that nobody used is closed
IDLE_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Idle:
    source_id: int
    #: the source's settings_serial that it was opened with
    serial: int
    publisher: Publisher
    #: monotonic seconds
    since: float


def open_publisher(source: Source) -> Publisher:
    """A connected publisher. Raises SourceUnavailable, or Permanent when it cannot be one."""
    settings = ConsumerFactory.validate(source.broker_type, source.settings)
    publisher = create_publisher(source.broker_type, settings)
    publisher.connect()
    return publisher


class PublisherPool:
    """Lends publishers; closes those of older settings and those that nobody needs any more."""

    def __init__(self, open_one: Callable[[Source], Publisher] = open_publisher) -> None:
        self._open = open_one
        self._lock = threading.Lock()
        self._idle: list[_Idle] = []

    @contextmanager
    def lend(self, source: Source) -> Iterator[Publisher]:
        """A publisher for this thread alone; after any error but BackPressure it is closed."""
        publisher = self._take(source) or self._open(source)
        try:
            yield publisher
        except BackPressure:
            self._give_back(source, publisher)
            raise
        except BaseException:
            publisher.close()
            raise
        self._give_back(source, publisher)

    def close(self) -> None:
        """Close all that nobody uses now."""
        with self._lock:
            idle, self._idle = self._idle, []
        for each in idle:
            each.publisher.close()

    def _take(self, source: Source) -> Publisher | None:
        now = time.monotonic()
        with self._lock:
            old = [each for each in self._idle if _is_old(each, source, now)]
            rest = [each for each in self._idle if not _is_old(each, source, now)]
            mine = next((each for each in reversed(rest) if each.source_id == source.pk), None)
            self._idle = [each for each in rest if each is not mine]
        for each in old:
            each.publisher.close()
        return mine.publisher if mine else None

    def _give_back(self, source: Source, publisher: Publisher) -> None:
        idle = _Idle(
            source_id=source.pk,
            serial=source.settings_serial,
            publisher=publisher,
            since=time.monotonic(),
        )
        with self._lock:
            self._idle.append(idle)


def _is_old(idle: _Idle, source: Source, now: float) -> bool:
    """Of other settings of this source (the row was read just now), or unused for long."""
    if idle.source_id == source.pk and idle.serial != source.settings_serial:
        return True
    return now - idle.since > IDLE_S
