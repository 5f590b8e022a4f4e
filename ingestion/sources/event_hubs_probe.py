"""Short looks into a partition by a reader of its own, which takes it from nobody."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Final

from ingestion.sources.event_hubs_link import PartitionLink
from ingestion.sources.event_hubs_message import SEQUENCE_NUMBER
from ingestion.sources.event_hubs_settings import EventHubsSettings
from payflow.lib.errors import PartitionTaken, SourceUnavailable
from payflow.lib.event_hubs_connection import REQUEST_S, HubConnection

_STEP_S: Final = 0.05
_MILLISECOND: Final = timedelta(milliseconds=1)


def first_at(
    hub: HubConnection, settings: EventHubsSettings, *, partition: str, moment: datetime
) -> int:
    """Sequence number of the first event at or after `moment`; the end when there is none."""
    look = hub.look(partition)
    # The hub keeps milliseconds: an event of the one that has begun may be too early.
    begun = timedelta(microseconds=moment.microsecond % 1000)
    moment = moment - begun + _MILLISECOND if begun else moment
    if look.first == look.end or look.last_us < moment.timestamp() * 1e6:
        return look.end
    link = _open(hub, settings, partition=partition, start=moment)
    try:
        deadline = time.monotonic() + REQUEST_S
        while time.monotonic() < deadline:
            if link.tend() and link.credit < 1:
                link.allow(1)
            hub.read(frames=16, wait_s=_STEP_S)
            if messages := link.take():
                return int(messages[0].message_annotations[SEQUENCE_NUMBER])
    except PartitionTaken as exc:
        raise SourceUnavailable(
            f"A worker reads partition {partition}, and a hub shows it to nobody else of the "
            "consumer group: pause the partition to look for a time."
        ) from exc
    finally:
        link.close()
    raise SourceUnavailable(f"Partition {partition} gave no event after {moment.isoformat()}.")


def find_group(hub: HubConnection, settings: EventHubsSettings) -> str:
    """That a reader of the consumer group may come; raises SourceUnavailable when none may."""
    partition = hub.partitions()[0]
    link = _open(hub, settings, partition=partition, start="@latest")
    try:
        while not link.tend():
            hub.read(frames=16, wait_s=_STEP_S)
    except PartitionTaken:
        return f"{settings.consumer_group} is there, and somebody reads it."
    finally:
        link.close()
    return f"{settings.consumer_group} is there."


def _open(
    hub: HubConnection, settings: EventHubsSettings, *, partition: str, start: str | datetime
) -> PartitionLink:
    return PartitionLink(
        hub, settings=settings, partition=partition, start=start, is_inclusive=True, epoch=None
    )
