"""What a person asks of a partition: how far behind it is, to wait, and to go on."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.functions import Now

from configuration import audit
from ingestion.models import Partition

#: whoever reads a partition says its lag each second; later it is a figure of the past
LAG_LASTS: Final = timedelta(seconds=30)
#: of the text that says why somebody paused or moved one
MAX_REASON: Final = 256


def lag_is_known(partition: Partition, *, now: datetime) -> bool:
    """Whether somebody reads it now and has said how far behind it is."""
    return partition.lag_at is not None and partition.lag_at > now - LAG_LASTS


def full_name(partition: Partition) -> str:
    """What nobody has to guess: "<source>/<partition>"."""
    return f"{partition.source.name}/{partition.name}"


def resume(partition: Partition, *, by: User | None = None) -> bool:
    """Read a stopped or paused partition on from where it stands; False if it was neither.

    Its attempts begin anew. What stopped it may stop it again: a lost position stays lost.
    """
    states = (Partition.State.STOPPED, Partition.State.PAUSED)
    with transaction.atomic():
        before = _locked(partition, states)
        if before is None:
            return False
        Partition.objects.filter(pk=partition.pk).update(
            state=Partition.State.ACTIVE,
            attempts=0,
            marked=False,  # of attempts that begin anew none may be taken back
            stopped_reason="",
            stopped_at=None,
            last_error="",
            last_error_at=None,
        )
        since = before.stopped_at.isoformat() if before.stopped_at else None
        audit.record("resumed partition", full_name(before), by=by, was=before.state, since=since)
    return True


def pause(partition: Partition, *, reason: str = "", by: User | None = None) -> bool:
    """Let nobody read an active partition; False if it was not active.

    Its drainer gives it back within a second; a commit under way finds that it is too late.
    """
    with transaction.atomic():
        before = _locked(partition, (Partition.State.ACTIVE,))
        if before is None:
            return False
        Partition.objects.filter(pk=partition.pk).update(
            state=Partition.State.PAUSED, stopped_reason=reason[:MAX_REASON], stopped_at=Now()
        )
        audit.record("paused partition", full_name(before), by=by, reason=reason[:MAX_REASON])
    return True


def _locked(partition: Partition, states: Collection[str]) -> Partition | None:
    rows = Partition.objects.select_for_update(of=("self",)).select_related("source")
    return rows.filter(pk=partition.pk, state__in=states).first()
