"""Moving a partition's checkpoint on a person's word.

What a person confirms is the target. A partition that is being read moves on between the plan and
its confirmation, so the messages are counted again in the transaction that moves the checkpoint.
That transaction raises the lease's epoch: a commit in flight finds no row and writes nothing.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction

from configuration import audit
from ingestion.models import Partition
from ingestion.partitions import MAX_REASON, full_name
from ingestion.seek_plan import SeekPlan, SeekRefused, last_seek, order, plan, plans
from ingestion.source_models import Seek
from ingestion.sources.base import position_key

__all__ = ["SeekPlan", "SeekRefused", "as_details", "plan", "plans", "seek"]

#: a commit holds the partition's row for less than a second
_LOCK_TIMEOUT: Final = "5s"


def seek(made: SeekPlan, *, by: User | None, reason: str) -> Seek:
    """Move the checkpoint to where the plan leads; a stopped partition goes on from there.

    Raises SeekRefused when the plan no longer holds: another seek came in between, it was read
    past the target, or it stands there already.
    """
    if not reason.strip():
        raise SeekRefused("A reason is needed: it stays in the audit log.")
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            row = Partition.objects.select_for_update(of=("self",)).select_related("source")
            return _move(row.get(pk=made.partition_id), made, by=by, reason=reason.strip())
    except OperationalError as exc:
        raise SeekRefused(
            "The partition's row is held by a commit that does not end: try again."
        ) from exc


def _move(row: Partition, made: SeekPlan, *, by: User | None, reason: str) -> Seek:
    events = _events_now(row, made)
    if order(row.position, made.to_position) < 0:
        row.reread_until = _later(row.reread_until, row.position)
    moved = Seek(
        partition=row,
        from_position=row.position,
        to_position=made.to_position,
        sequence_number=row.sequence_number,
        events=events,
        epoch=row.lease_epoch + 1,
        target=str(made.target)[:64],
        reason=reason[:MAX_REASON],
        by=by,
    )
    row.position = made.to_position
    row.broker_offset = ""
    if made.counted is not None:
        row.shift = made.counted - row.sequence_number
    else:
        row.shift += events or 0
    row.lease_epoch = moved.epoch
    row.leased_by, row.leased_until, row.marked = "", None, False
    row.lag_events = row.lag_seconds = row.lag_at = None
    if row.state == Partition.State.STOPPED:
        row.state = Partition.State.ACTIVE
        row.stopped_reason, row.stopped_at = "", None
    row.attempts, row.last_error, row.last_error_at = 0, "", None
    row.save()
    moved.save()
    details = as_details(moved) | {"asked": moved.target, "reason": moved.reason}
    audit.record("moved the checkpoint of", full_name(row), by=by, **details)
    return moved


def _events_now(row: Partition, made: SeekPlan) -> int | None:
    """The plan's count, less what was committed since."""
    if last_seek(row) != made.after:
        raise SeekRefused("Somebody moved this partition meanwhile: look at the plan again.")
    if made.changes_nothing:
        raise SeekRefused("The partition stands there already: resume it where it is stopped.")
    if order(made.from_position, made.to_position) >= 0 > order(row.position, made.to_position):
        raise SeekRefused("It was read past the target meanwhile: look at the plan again.")
    if made.events is None:
        return None
    return made.events - (row.sequence_number - made.sequence_number)


def as_details(moved: Seek) -> dict[str, Any]:
    """What the audit log and machines are told of a seek."""
    return {
        "from": moved.from_position,
        "to": moved.to_position,
        "events": moved.events,
        "sequence_number": moved.sequence_number,
        "epoch": moved.epoch,
    }


def _later(one: str, other: str) -> str:
    return max(one, other, key=position_key) if one else other
