"""What the page of an archive file shows: the object, and any one of its rows with its bytes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from deadletter.payload import render
from ingestion import archive
from ingestion.models import ArchiveFile, Batch
from payflow.lib.errors import StorageError
from payflow.lib.event_id import first_id_at
from payflow.lib.pages.detail import Button, Card, Detail, Notice
from payflow.lib.pages.display import (
    UNKNOWN,
    count,
    moment,
    mono,
    pill,
    row_link,
    row_url,
    size,
    text_or_dash,
)

#: bytes of an object that a page reads at most: a batch of 8 MB of bodies is smaller
_MAX_READ: Final = 64 * 2**20
_LONGEST_TRANSACTION: Final = timedelta(minutes=2)


def detail(request: HttpRequest, row: ArchiveFile) -> Detail:
    chosen = request.GET.get("row", "0")
    number = int(chosen) if chosen.isdecimal() and int(chosen) < row.rows else 0
    main, notices = _row(row, number)
    batch = _batch_of(row)
    return Detail(
        title=mono(row.path.rpartition("/")[2]),
        state=pill("info", "Superseded") if row.superseded_at else pill("ok", "Counts"),
        meta=[f"{count(row.rows)} rows", size(row.size)],
        notices=notices,
        buttons=[*_steps(row, number), *_try(batch, number)],
        main=main,
        side=[_object(row), _batches(batch)],
    )


def _steps(row: ArchiveFile, number: int) -> list[Button]:
    url = row_url("ingestion.archivefile", row.path)
    steps = (("Row before", number - 1), ("Next row", number + 1))
    return [Button(label=label, url=f"{url}?row={to}") for label, to in steps if 0 <= to < row.rows]


def _try(batch: Batch | None, number: int) -> list[Button]:
    """The message of the row under another version, or with another text."""
    if batch is None or number < batch.first_row:
        return []
    query = urlencode({"row": number - batch.first_row, "batch": batch.pk})
    return [Button(label="Try this event", url=f"{reverse('try-box')}?{query}", icon="science")]


def _row(row: ArchiveFile, number: int) -> tuple[list[Card], list[Notice]]:
    """One row of the object; a notice instead when the archive does not answer."""
    if row.size > _MAX_READ or not row.rows:
        return [Card(title="Row", empty="This object is too large to be read for a page.")], []
    try:
        values = archive.read_row(row.path, number)
    except StorageError:
        return [], [
            Notice(
                kind="bad",
                icon="cloud_off",
                title="The archive does not give this object",
                text="What is stored in the database is not touched by that.",
            )
        ]
    rendered = render(values["body"])
    sub = f"{rendered.kind}, {rendered.note}; card numbers are masked"
    message = Card(title="Message", sub=sub, html=rendered.html)
    return [_message(values, number), message], []


def _message(values: dict[str, Any], number: int) -> Card:
    key, headers = values["key"], values["headers"]
    return Card(
        title=f"Row {number:,}",
        facts=[
            ("Verdict", values["verdict"]),
            ("Reasons", text_or_dash(values["reasons"] or "")),
            ("Position", mono(values["offset"])),
            ("Broker's time", moment(values["broker_time"], ms=True)),
            ("Received", moment(values["received_at"], ms=True)),
            ("Key", mono(key.decode(errors="replace")) if key else UNKNOWN),
            ("Headers", mono(headers.decode(errors="replace")) if headers else UNKNOWN),
            ("Masked", text_or_dash(values["scrubbed"] or "")),
            ("Transaction", mono(values["transaction_id"] or "")),
        ],
    )


def _object(row: ArchiveFile) -> Card:
    return Card(
        title="Object",
        facts=[
            ("Path", mono(row.path)),
            ("SHA-256", mono(row.sha256, shorten=17)),
            ("Size", size(row.size)),
            ("Rows", count(row.rows)),
            ("First event", moment(row.min_occurred_at)),
            ("Last event", moment(row.max_occurred_at)),
            ("Written", moment(row.created_at)),
            ("Verified", moment(row.verified_at)),
        ],
    )


def _batch_of(row: ArchiveFile) -> Batch | None:
    """Its batch was numbered within the transaction that wrote the object's row: a range of ids."""
    return Batch.objects.filter(
        id__gte=first_id_at(row.created_at - _LONGEST_TRANSACTION),
        id__lt=first_id_at(row.created_at + _LONGEST_TRANSACTION),
        file=row.path,
    ).first()


def _batches(batch: Batch | None) -> Card:
    return Card(
        title="Batch",
        facts=[
            ("Batch", row_link("ingestion.batch", batch.pk)),
            ("Partition", row_link("ingestion.partition", batch.partition_id, batch.partition)),
        ]
        if batch
        else [],
        empty="Its batch is gone: retention dropped it.",
    )
