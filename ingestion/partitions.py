"""What a person may do to a partition that has stopped: let it go on."""

from __future__ import annotations

from ingestion.models import Partition


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
