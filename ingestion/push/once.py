"""Requests with a key: who repeats one gets the same answer, and its events are queued once.

1. begin()  claims the key with one statement. A key that was answered gives that answer again, one
            that is at work is told so, another body under it is refused. An attempt whose process
            died is taken over once its time has run out.
2. finish() keeps the answer; or give_up() lets go of the key and keeps how far publishing came, so
            that the next attempt goes on behind it.

A process that dies between publishing and finish() leaves no answer: the next attempt publishes
again, and the identity of the events makes them count once.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any, Final

from django.db import connection
from psycopg.types.json import Jsonb

#: seconds that an attempt may take before another may take it over
ATTEMPT_S: Final = 60
#: hours that answers are kept
KEPT_HOURS: Final = 48
#: rows that one statement of the sweep deletes
_CHUNK: Final = 10_000

_CLAIM: Final = """
INSERT INTO push_requests AS r
    (source_id, key, body_sha256, state, attempt, running_until, created_at)
VALUES (%(source)s, %(key)s, %(body)s, 'running', %(attempt)s,
        now() + make_interval(secs => %(seconds)s), now())
ON CONFLICT (source_id, key) DO UPDATE
SET attempt = excluded.attempt, running_until = excluded.running_until
WHERE r.state = 'running' AND r.running_until <= now() AND r.body_sha256 = excluded.body_sha256
RETURNING answer
"""
_LOOK: Final = """
SELECT body_sha256, state, status, answer FROM push_requests
WHERE source_id = %(source)s AND key = %(key)s
"""
_FINISH: Final = """
UPDATE push_requests SET state = 'done', status = %(status)s, answer = %(answer)s
WHERE source_id = %(source)s AND key = %(key)s AND attempt = %(attempt)s AND state = 'running'
"""
_GIVE_UP: Final = """
UPDATE push_requests SET running_until = now(), answer = %(answer)s
WHERE source_id = %(source)s AND key = %(key)s AND attempt = %(attempt)s AND state = 'running'
"""
_LET_GO: Final = """
DELETE FROM push_requests
WHERE source_id = %(source)s AND key = %(key)s AND attempt = %(attempt)s AND state = 'running'
"""
_SWEEP: Final = """
DELETE FROM push_requests WHERE id IN (
    SELECT id FROM push_requests WHERE created_at < now() - make_interval(hours => %(hours)s)
    ORDER BY created_at LIMIT %(chunk)s
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The right to publish a request under its key."""

    source_id: int
    key: str
    attempt: uuid.UUID
    #: events that an earlier attempt is known to have queued
    queued: int

    def finish(self, status: int, answer: dict[str, Any]) -> None:
        """Keep the answer, unless another attempt has taken over."""
        self._update(_FINISH, answer, status=status)

    def give_up(self, queued: int) -> None:
        """Let the next attempt begin at once, behind the first `queued` events.

        A request of which nothing is queued leaves no trace: it may be mended under its key.
        """
        self._update(_GIVE_UP if queued else _LET_GO, {"queued": queued})

    def _update(self, statement: str, answer: dict[str, Any], **values: Any) -> None:
        own: dict[str, Any] = {"source": self.source_id, "key": self.key, "attempt": self.attempt}
        with connection.cursor() as cursor:
            cursor.execute(statement, own | values | {"answer": Jsonb(answer)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The request was answered before."""

    status: int
    answer: dict[str, Any]


@dataclass(frozen=True, slots=True)
class InFlight:
    """Another request of this key is at work."""


@dataclass(frozen=True, slots=True)
class OtherBody:
    """The key belongs to a request with another body."""


def begin(source_id: int, key: str, body_sha256: str) -> Attempt | Answered | InFlight | OtherBody:
    """Claim a key of a source, or say why not."""
    attempt = uuid.uuid4()
    own: dict[str, Any] = {"source": source_id, "key": key}
    claim = own | {"body": body_sha256, "attempt": attempt, "seconds": ATTEMPT_S}
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, claim)
        claimed = cursor.fetchone()
        if claimed is not None:
            queued = (_document(claimed[0]) or {}).get("queued", 0)
            return Attempt(source_id=source_id, key=key, attempt=attempt, queued=queued)
        cursor.execute(_LOOK, own)
        found = cursor.fetchone()
    if found is None:  # swept in this moment: the next try will have it
        return InFlight()
    known, state, status, answer = found
    if known != body_sha256:
        return OtherBody()
    if state != "done":
        return InFlight()
    return Answered(status=status, answer=_document(answer) or {})


def sweep() -> int:
    """Forget what was answered KEPT_HOURS ago; how many requests that were."""
    swept = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_SWEEP, {"hours": KEPT_HOURS, "chunk": _CHUNK})
            deleted: int = cursor.rowcount
        swept += deleted
        if deleted < _CHUNK:
            return swept


def _document(value: Any) -> dict[str, Any] | None:
    """A jsonb column: Django's connections give its text."""
    loaded: dict[str, Any] | None = json.loads(value) if isinstance(value, str) else value
    return loaded
