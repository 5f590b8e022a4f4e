"""What a person asks of a partition: how far behind it is, and to go on when it has stopped."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from ingestion.models import Partition

#: whoever reads a partition says its lag each second; later it is a figure of the past
LAG_LASTS: Final = timedelta(seconds=30)


def lag_is_known(partition: Partition, *, now: datetime) -> bool:
    """Whether somebody reads it now and has said how far behind it is."""
    return partition.lag_at is not None and partition.lag_at > now - LAG_LASTS


def resume(partition: Partition) -> bool:
    """Make a stopped partition active again from where it stands; False if it was not stopped.

    Its attempts begin anew. What stopped it may stop it again: a lost position stays lost.
    """
    changed = Partition.objects.filter(pk=partition.pk, state=Partition.State.STOPPED).update(
        state=Partition.State.ACTIVE,
        attempts=0,
        stopped_reason="",
        stopped_at=None,
        last_error="",
        last_error_at=None,
    )
    return changed == 1
