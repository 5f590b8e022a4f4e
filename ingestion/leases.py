"""Leases and slots: who may read which partition, and who may number events under which slot.

A lease is taken by one conditional UPDATE, which alone raises the epoch. Commits and a heartbeat
renew it. Whoever lost it finds no row to update: that is the fence.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.db import connection

from payflow.lib.errors import CheckpointMoved, Retryable
from payflow.lib.event_id import SLOTS

#: owners that may die on one range before the partition stops for a person
MAX_ATTEMPTS: Final = 2
#: seconds after which a silent drainer's slot may be given to another
SLOT_IDLE_S: Final = 60

# SKIP LOCKED: a row locked by a stuck commit must not hold up the other partitions
_TAKE = """
UPDATE partitions SET lease_epoch = lease_epoch + 1, leased_by = %(owner)s,
    leased_until = now() + %(lease_s)s * interval '1 s',
    attempts = CASE WHEN leased_by = %(owner)s AND marked THEN attempts - 1 ELSE attempts END,
    marked = false
WHERE id = (
    SELECT id FROM partitions
    WHERE id = %(id)s AND state = 'active'
        AND (leased_until IS NULL OR leased_until < now() OR leased_by = %(owner)s)
        AND (attempts < %(max_attempts)s OR leased_by = %(owner)s)
    FOR UPDATE SKIP LOCKED)
RETURNING position, sequence_number, lease_epoch, broker_offset, shift, reread_until
"""
_RENEW_IDLE = """
UPDATE partitions SET leased_until = now() + %(lease_s)s * interval '1 s'
WHERE id = %(id)s AND lease_epoch = %(epoch)s
"""
# SKIP LOCKED: whoever holds a row for a moment must not hold up the other leases
_RENEW_ALL = """
UPDATE partitions p SET leased_until = now() + %(lease_s)s * interval '1 s'
FROM (
    SELECT mine.id FROM partitions mine
    JOIN unnest(%(ids)s::bigint[], %(epochs)s::bigint[]) AS l (id, epoch)
        ON l.id = mine.id AND l.epoch = mine.lease_epoch
    ORDER BY mine.id FOR NO KEY UPDATE OF mine SKIP LOCKED) AS free
WHERE p.id = free.id
"""
_MARK_ATTEMPT = """
UPDATE partitions SET attempts = attempts + 1, marked = true
WHERE id = %(id)s AND lease_epoch = %(epoch)s
"""
_RELEASE = """
UPDATE partitions SET leased_until = NULL, leased_by = '', marked = false,
    attempts = CASE WHEN marked THEN attempts - 1 ELSE attempts END
WHERE id = %(id)s AND lease_epoch = %(epoch)s
"""
_STOP_DEADLY = """
UPDATE partitions SET state = 'stopped', stopped_at = now(), leased_until = NULL, leased_by = '',
    stopped_reason = attempts || ' workers died on the messages from position ' || position
        || ': look at their logs, then resume the partition'
WHERE state = 'active' AND attempts >= %(max_attempts)s AND leased_until < now()
RETURNING id, name
"""
_STOP = """
UPDATE partitions SET state = 'stopped', stopped_at = now(), stopped_reason = %(reason)s,
    leased_until = NULL, leased_by = ''
WHERE id = %(id)s AND lease_epoch = %(epoch)s
"""
_FAILED_ATTEMPT = """
UPDATE partitions SET attempts = CASE WHEN marked THEN attempts ELSE attempts + 1 END,
    marked = false, last_error = %(error)s, last_error_at = now(),
    leased_until = now() - interval '1 s', leased_by = ''
WHERE id = %(id)s AND lease_epoch = %(epoch)s
"""
_NOTE_ERRORS = """
UPDATE partitions p SET last_error = %(error)s, last_error_at = now()
FROM unnest(%(ids)s::bigint[], %(epochs)s::bigint[]) AS l (id, epoch)
WHERE p.id = l.id AND p.lease_epoch = l.epoch
"""
_SEE = """
UPDATE drainers SET seen_at = now(), bundles = %(bundles)s
WHERE slot = %(slot)s AND owner = %(owner)s
"""
_TAKE_SLOT = """
UPDATE drainers SET owner = %(owner)s, scope = %(scope)s::jsonb, seen_at = now(),
    started_at = now(), bundles = '{}'
WHERE slot = (
    SELECT slot FROM drainers
    WHERE owner = '' OR seen_at < now() - %(idle_s)s * interval '1 s'
    ORDER BY slot LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING slot
"""
_NEW_SLOT = """
INSERT INTO drainers (slot, owner, scope, seen_at, started_at, last_tick, bundles)
SELECT coalesce(max(slot) + 1, 0), %(owner)s, %(scope)s::jsonb, now(), now(), 0, '{}' FROM drainers
HAVING coalesce(max(slot) + 1, 0) < %(slots)s
ON CONFLICT (slot) DO NOTHING RETURNING slot
"""
_GIVE_SLOT = (
    "UPDATE drainers SET owner = '', seen_at = NULL WHERE slot = %(slot)s AND owner = %(owner)s"
)


#: names of the sources that a drainer reads, `source/partition` for one partition; None: every one
Scope = Sequence[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to read one partition and to move its checkpoint."""

    partition_id: int
    source_id: int
    source: str
    partition: str
    position: str
    sequence_number: int
    epoch: int
    #: what the broker calls the last message; "" where the position says it all
    broker_offset: str = ""
    #: messages that seeks have skipped, less those they repeated
    shift: int = 0
    #: messages before this position were read before; "" when none were
    reread_until: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The right to number events."""

    number: int
    owner: str


def new_owner() -> str:
    """A name that no other drainer has, readable by a person: host:pid:thread:random."""
    thread = threading.get_ident() % 100_000
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{thread}:{uuid.uuid4().hex[:8]}"


def take_slot(owner: str, *, scope: Scope = None) -> Slot:
    """A free slot, or a new row for one. Raises Retryable when all 1,024 are taken."""
    said = {"owner": owner, "scope": scope_as_json(scope)}
    for _ in range(20):
        row = _one(_TAKE_SLOT, {"idle_s": SLOT_IDLE_S, **said}) or _one(
            _NEW_SLOT, {"slots": SLOTS, **said}
        )
        if row:
            return Slot(number=row[0], owner=owner)
    raise Retryable(f"no free slot among {SLOTS} drainers")


def give_slot(slot: Slot) -> None:
    _one(_GIVE_SLOT, {"slot": slot.number, "owner": slot.owner})


def see(slot: Slot, *, bundles: str) -> bool:
    """Say that this drainer lives and which bundles (JSON) it runs; False when its slot is gone."""
    return _changed(_SEE, {"slot": slot.number, "owner": slot.owner, "bundles": bundles}) == 1


def scope_as_json(scope: Scope) -> str | None:
    """As it stands in the drainer's row."""
    return None if scope is None else json.dumps(sorted(scope))


def take(
    *, partition_id: int, source_id: int, source: str, partition: str, owner: str
) -> Lease | None:
    """Take a lease that is free, expired or the owner's own, with a new epoch; None if refused."""
    row = _one(
        _TAKE,
        {
            "id": partition_id,
            "owner": owner,
            "lease_s": settings.PAYFLOW["LEASE_S"],
            "max_attempts": MAX_ATTEMPTS,
        },
    )
    if row is None:
        return None
    return Lease(
        partition_id=partition_id,
        source_id=source_id,
        source=source,
        partition=partition,
        position=row[0],
        sequence_number=row[1],
        epoch=row[2],
        broker_offset=row[3],
        shift=row[4],
        reread_until=row[5],
    )


def renew_idle(lease: Lease) -> None:
    """Renew between batches. Raises CheckpointMoved when the lease is another's by now."""
    parameters = {
        "id": lease.partition_id,
        "epoch": lease.epoch,
        "lease_s": settings.PAYFLOW["LEASE_S"],
    }
    if _changed(_RENEW_IDLE, parameters) != 1:
        raise CheckpointMoved


def renew_all(held: Sequence[Lease]) -> None:
    """Renew at once all that are still held; one whose row is locked waits for the next time."""
    ids, epochs = _ids_and_epochs(held)
    if ids:
        lease_s = settings.PAYFLOW["LEASE_S"]
        _changed(_RENEW_ALL, {"ids": ids, "epochs": epochs, "lease_s": lease_s})


def mark_attempt(lease: Lease) -> None:
    """Say that this owner begins its first batch: if it dies on it, the next owner knows.

    The commit wipes the mark; so do a clean release and a new take by the same living owner.
    Raises CheckpointMoved when the lease is another's by now.
    """
    if _changed(_MARK_ATTEMPT, {"id": lease.partition_id, "epoch": lease.epoch}) != 1:
        raise CheckpointMoved


def release(lease: Lease) -> None:
    _changed(_RELEASE, {"id": lease.partition_id, "epoch": lease.epoch})


def stop_deadly_partitions() -> list[str]:
    """Stop the partitions whose next messages killed MAX_ATTEMPTS owners; returns their names."""
    with connection.cursor() as cursor:
        cursor.execute(_STOP_DEADLY, {"max_attempts": MAX_ATTEMPTS})
        return [name for _, name in cursor.fetchall()]


def stop(lease: Lease, *, reason: str) -> None:
    """Stop the partition for a person to decide; the checkpoint stays."""
    _changed(_STOP, {"id": lease.partition_id, "epoch": lease.epoch, "reason": reason[:512]})


def fail_attempt(lease: Lease, *, error: str) -> None:
    """Count an error of our own code like a death, and let the lease go."""
    _changed(
        _FAILED_ATTEMPT, {"id": lease.partition_id, "epoch": lease.epoch, "error": error[:512]}
    )


def note_errors(held: Sequence[Lease], *, error: str) -> None:
    """Keep a bad-world error of partitions for their pages."""
    ids, epochs = _ids_and_epochs(held)
    if ids:
        _changed(_NOTE_ERRORS, {"ids": ids, "epochs": epochs, "error": error[:512]})


def _ids_and_epochs(held: Sequence[Lease]) -> tuple[list[int], list[int]]:
    return [lease.partition_id for lease in held], [lease.epoch for lease in held]


def _one(statement: str, parameters: dict[str, Any]) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        row: tuple[Any, ...] | None = cursor.fetchone() if cursor.description else None
        return row


def _changed(statement: str, parameters: dict[str, Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        count: int = cursor.rowcount
        return count
