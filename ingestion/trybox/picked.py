"""Events that can be taken into the try box: from a passport, a failed item, the archive.

Their bytes are masked already; broker time, offset and headers come along, so that the verdict is
the one that the event had or would have had.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.contrib.auth.models import AnonymousUser, User
from django.utils import timezone

from configuration.models import Source
from deadletter.models import FailedItem
from ingestion.models import Batch
from ingestion.passport.archived import read_archived
from metrics.models import NormalizedTransaction
from payflow.lib.errors import StorageError
from payflow.lib.event_id import first_id_at

logger = logging.getLogger(__name__)

#: the newest event is looked for among so many hours of arrival
_NEWEST_WITHIN: Final = timedelta(hours=24)
_BYTES: Final = "ingestion.view_archivefile"


def is_number(text: str) -> bool:
    """Whether it is the key of a row."""
    return text.isascii() and text.isdecimal() and len(text) < 20 and int(text) < 2**63


class NotToBeHad(Exception):
    """The event cannot be taken; the message is for the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """An event as it was archived or kept, with its coordinates."""

    body: bytes
    #: JSON object text as the producer wrote it, b"" without
    headers: bytes
    source: Source
    partition: str
    offset: str
    broker_time: datetime
    #: which of the message's parts was meant
    part: int
    #: what it is called on the page
    label: str


def pick(query: Mapping[str, str], *, user: User | AnonymousUser) -> Picked | None:
    """What an address asks for; None when it asks for no event. Raises NotToBeHad."""
    for name, (permission, take) in _WAYS.items():
        given = query.get(name, "")
        if not given:
            continue
        if not user.has_perm(permission) or not user.has_perm(_BYTES):
            raise NotToBeHad("Your role may not read the bytes of events.")
        if not is_number(given):
            raise NotToBeHad(f"{name.replace('_', ' ').capitalize()} is a number.")
        return take(int(given), query)
    return None


def _transaction(event_id: int, _query: Mapping[str, str]) -> Picked:
    event = NormalizedTransaction.objects.filter(pk=event_id).first()
    if event is None:
        raise NotToBeHad(f"There is no transaction event {event_id} (any more).")
    return _archived(event.batch, event.ordinal, label=f"transaction {event.transaction_id}")


def _failed_item(item_id: int, _query: Mapping[str, str]) -> Picked:
    item = FailedItem.objects.select_related("source").filter(pk=item_id).first()
    if item is None:
        raise NotToBeHad(f"There is no failed item {item_id} (any more).")
    label = f"failed item {item.pk}"
    try:
        return _archived(item.batch, item.ordinal, label=label)
    except NotToBeHad:
        if item.payload is None:
            raise
    return Picked(
        body=bytes(item.payload),
        headers=b"",
        source=item.source,
        partition=item.partition_name,
        offset=item.position,
        broker_time=item.failed_at,
        part=item.part,
        label=label,
    )


def _row(row: int, query: Mapping[str, str]) -> Picked:
    batch_id = query.get("batch", "")
    if not is_number(batch_id):
        raise NotToBeHad("A row of the archive needs the number of its batch.")
    return _archived(int(batch_id), row, label=f"archive row {row:,} of batch {batch_id}")


def _newest(source_id: int, _query: Mapping[str, str]) -> Picked:
    """The newest event that a source's newest batch with any stored."""
    since = first_id_at(timezone.now() - _NEWEST_WITHIN)
    batch = (
        Batch.objects.filter(partition__source=source_id, id__gte=since, accepted__gt=0)
        .order_by("-id")
        .first()
    )
    event = batch and (
        NormalizedTransaction.objects.filter(pk__range=(batch.pk, batch.last_id))
        .order_by("-pk")
        .first()
    )
    if not event:
        raise NotToBeHad("No event of this source was stored within the last 24 hours.")
    return _transaction(event.pk, {})


def _archived(batch_id: int, ordinal: int, *, label: str) -> Picked:
    rows = Batch.objects.select_related("partition__source")
    batch = rows.filter(pk=batch_id).first()
    if batch is None:
        raise NotToBeHad("Its batch is gone: retention dropped it.")
    try:
        row = read_archived(batch, batch.first_row + ordinal)
    except StorageError as exc:
        logger.warning("An archive object cannot be read: %s", exc)
        raise NotToBeHad("The archive does not give the object of this event now.") from exc
    return Picked(
        body=row.body,
        headers=row.headers or b"",
        source=batch.partition.source,
        partition=batch.partition.name,
        offset=row.offset,
        broker_time=row.broker_time,
        part=row.part,
        label=label,
    )


_WAYS: Final[Mapping[str, tuple[str, Callable[[int, Mapping[str, str]], Picked]]]] = {
    "transaction": ("metrics.view_normalizedtransaction", _transaction),
    "failed_item": ("deadletter.view_faileditem", _failed_item),
    "row": (_BYTES, _row),
    "newest": ("metrics.view_normalizedtransaction", _newest),
}
