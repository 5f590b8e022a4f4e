"""What a drainer says of its sources: connected since when, or why not, and what went wrong.

It is kept here until the database has it, with the age of everything, so that a database that was
away for a minute hears afterwards what happened in that minute, and when.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction

from ingestion.source_models import SourceError

Kind = SourceError.Kind

#: seconds between two signs that a connection still is as its row says
SEEN_EVERY_S: Final = 5.0
#: seconds without such a sign after which a row says nothing any more
SEEN_LASTS_S: Final = 30.0
#: different errors that wait for the database at most; more of them are in the log only
_MAX_WAITING: Final = 100
_MAX_TEXT: Final = 512
#: advisory lock (two numbers) of a source: two drainers with one error must not both make its row
_LOCK_CLASS: Final = 5_610

_WRITE = """
INSERT INTO source_connections AS c
    (source_id, owner, connected_since, failing_since, error, retry_at, seen_at)
SELECT s.id, %(owner)s,
    CASE WHEN t.is_connected THEN coalesce(t.since, now() - t.age_s * interval '1 s') END,
    CASE WHEN NOT t.is_connected THEN coalesce(t.since, now() - t.age_s * interval '1 s') END,
    t.error, now() + t.retry_s * interval '1 s', now()
FROM unnest(%(sources)s::bigint[], %(connected)s::bool[], %(since)s::timestamptz[],
        %(ages)s::float[], %(errors)s::text[], %(retries)s::float[])
    AS t (source_id, is_connected, since, age_s, error, retry_s)
JOIN sources s ON s.id = t.source_id
ON CONFLICT ON CONSTRAINT source_connections_owner DO UPDATE
SET connected_since = excluded.connected_since, failing_since = excluded.failing_since,
    error = excluded.error, retry_at = excluded.retry_at, seen_at = excluded.seen_at
RETURNING c.source_id, coalesce(c.connected_since, c.failing_since)
"""
# words that differ in their numbers only (times, tracking ids) are the same words
_SAME_WORDS = r"regexp_replace({}, '[0-9a-fA-F-]*\d[0-9a-fA-F-]*', '#', 'g')"
_COUNT_ERROR = f"""
UPDATE source_errors SET times = times + %(times)s, message = %(message)s,
    last_at = greatest(last_at, now() - %(last_s)s * interval '1 s')
WHERE id = (
    SELECT id FROM source_errors
    WHERE source_id = %(source)s AND last_at > now() - interval '1 h' AND kind = %(kind)s
        AND partition_name = %(partition)s
        AND {_SAME_WORDS.format("message")} = {_SAME_WORDS.format("%(message)s")}
    ORDER BY last_at DESC LIMIT 1)
"""  # noqa: S608  a constant
_ADD_ERROR = """
INSERT INTO source_errors (source_id, partition_name, kind, message, first_at, last_at, times)
SELECT id, %(partition)s, %(kind)s, %(message)s, now() - %(first_s)s * interval '1 s',
    now() - %(last_s)s * interval '1 s', %(times)s
FROM sources WHERE id = %(source)s
"""
_SWEEP = (
    # a drainer that is gone took its connections with it
    "DELETE FROM source_connections WHERE seen_at < now() - %(seen_s)s * interval '1 s'",
    "DELETE FROM source_errors WHERE last_at < now() - interval '40 d'",
    # by partition: the index begins with it
    """
    DELETE FROM partition_minutes m USING partitions p
    WHERE m.partition_id = p.id AND m.minute < now() - interval '48 h'
    """,
)
_LEAVE = "DELETE FROM source_connections WHERE owner = %(owner)s"


@dataclass(slots=True)
class _State:
    """One source: connected or failing, since a monotonic time."""

    is_connected: bool
    began_at: float
    error: str = ""
    retry_at: float | None = None
    #: `began_at` by the clock of the database, once it has told
    since: datetime | None = None
    is_written: bool = False


@dataclass(slots=True)
class _Error:
    times: int
    first_at: float
    last_at: float


class Connections:
    """The connections of one drainer, and the errors that it met."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._states: dict[int, _State] = {}
        #: by (source, partition, kind, message)
        self._errors: dict[tuple[int, str, str, str], _Error] = {}
        self._seen_at = 0.0

    def connected(self, source: int) -> None:
        """Its broker answers; nothing new when it did before."""
        state = self._states.get(source)
        if state is None or not state.is_connected:
            self._states[source] = _State(is_connected=True, began_at=time.monotonic())

    def failed(self, source: int, error: str, *, retry_at: float | None) -> None:
        """It cannot be read, and why; `retry_at` (monotonic): when it is tried again, if known."""
        state = self._states.get(source)
        if state is None or state.is_connected:
            state = _State(is_connected=False, began_at=time.monotonic())
            self._states[source] = state
        state.error, state.retry_at, state.is_written = _fit(error), retry_at, False

    def note(self, source: int, kind: Kind, message: str, *, partition: str = "") -> None:
        """Something went wrong; the same words within the hour are counted."""
        now = time.monotonic()
        key = (source, partition, kind.value, _fit(message))
        if error := self._errors.get(key):
            error.times, error.last_at = error.times + 1, now
        elif len(self._errors) < _MAX_WAITING:
            self._errors[key] = _Error(times=1, first_at=now, last_at=now)

    def write(self) -> None:
        """Tell the database what is new, and now and then that all is as it was."""
        now = time.monotonic()
        is_due = now >= self._seen_at + SEEN_EVERY_S
        states = {k: s for k, s in self._states.items() if is_due or not s.is_written}
        if states:
            with connection.cursor() as cursor:
                cursor.execute(_WRITE, self._rows(states, now=now))
                for source, since in cursor.fetchall():
                    states[source].since = since
            for state in states.values():
                state.is_written = True
        if is_due:
            self._seen_at = now
        self._write_errors()

    def leave(self) -> None:
        """Write what is left, and take back the connections: this drainer ends."""
        self._states.clear()
        self._write_errors()
        with connection.cursor() as cursor:
            cursor.execute(_LEAVE, {"owner": self._owner})

    def _rows(self, states: dict[int, _State], *, now: float) -> dict[str, Any]:
        rows: Iterable[tuple[Any, ...]] = (
            (
                source,
                state.is_connected,
                state.since,
                now - state.began_at,
                state.error,
                None if state.retry_at is None else max(0.0, state.retry_at - now),
            )
            for source, state in states.items()
        )
        names = ("sources", "connected", "since", "ages", "errors", "retries")
        columns = map(list, zip(*rows, strict=True))
        return {"owner": self._owner} | dict(zip(names, columns, strict=True))

    def _write_errors(self) -> None:
        now = time.monotonic()
        for (source, partition, kind, message), error in list(self._errors.items()):
            values: dict[str, Any] = {
                "source": source,
                "partition": partition,
                "kind": kind,
                "message": message,
                "times": error.times,
                "first_s": now - error.first_at,
                "last_s": now - error.last_at,
            }
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK_CLASS, source])
                cursor.execute(_COUNT_ERROR, values)
                if cursor.rowcount == 0:
                    cursor.execute(_ADD_ERROR, values)
            del self._errors[source, partition, kind, message]


def sweep() -> None:
    """Drop what is old: connections of drainers that are gone, errors, lag by minute.

    Errors are kept for longer than a month, because `/metrics` counts those of the month.
    """
    for statement in _SWEEP:
        with connection.cursor() as cursor:
            cursor.execute(statement, {"seen_s": 2 * SEEN_LASTS_S})


def _fit(text: str) -> str:
    return text.replace("\0", "")[:_MAX_TEXT]
