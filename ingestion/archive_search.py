"""Finding a message in the archive by its correlation or message id, in bounded time.

No index knows these ids. The manifest says which objects the last 24 hours wrote; they are read
from the newest back, only the columns that hold ids, until the time is up. A position is compared
with the manifest's first and next one before an object is opened.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl
from django.utils import timezone

from ingestion import archive
from ingestion.models import Batch
from payflow.lib.errors import StorageError
from payflow.lib.event_id import event_id, first_id_at

#: how far back messages are looked for
BACK: Final = timedelta(hours=24)
#: seconds that one search may take
BUDGET_S: Final = 1.5
#: messages that a search finds at most
MOST: Final = 5
_CHUNK: Final = 200
_OFFSET: Final = re.compile(r"\d{1,20}(-\d{1,20})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One message of the archive."""

    file: str
    row: int
    #: the id that its transaction has, if it was accepted and new
    event_id: int
    offset: str
    verdict: str
    transaction_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSearch:
    """What was found, and how much of the archive was looked at."""

    hits: list[Hit]
    objects: int
    #: arrival of the oldest batch that was looked at
    back_to: datetime
    #: whether the whole 24 hours were
    is_whole: bool
    #: objects that the archive did not give
    unread: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Position:
    """A message id "<source>/<partition>/<offset>", or an offset alone."""

    coordinates: str
    offset: str

    @classmethod
    def of(cls, term: str) -> _Position | None:
        coordinates, _, offset = term.rpartition("/")
        return cls(coordinates=coordinates, offset=offset) if _OFFSET.fullmatch(offset) else None

    def may_be_in(self, batch: Batch) -> bool:
        """Whether the object of a batch is worth opening."""
        partition = batch.partition
        if self.coordinates not in ("", f"{partition.source.name}/{partition.name}"):
            return False
        first, after = _numbers(batch.start_position), _numbers(batch.next_position)
        return first <= _numbers(self.offset) < after


def search_archive(term: str, *, budget_s: float = BUDGET_S) -> ArchiveSearch:
    """Messages whose id, offset or correlation id is `term`, newest first.

    Accepted messages by their correlation id; refused and ignored ones where headers or bytes hold
    the term as a JSON text. A term that is a position opens only the objects that can hold it, and
    is taken for a correlation id when none does.
    """
    position, ends = _Position.of(term), time.monotonic() + budget_s
    if position is not None:
        found = _look(term, position=position, ends=ends)
        if found.hits or position.coordinates:
            return found
    return _look(term, position=None, ends=ends)


def _look(term: str, *, position: _Position | None, ends: float) -> ArchiveSearch:
    since = back_to = timezone.now() - BACK
    hits: list[Hit] = []
    objects = unread = 0
    is_whole = True
    for batch in _newest(since):
        if time.monotonic() > ends or len(hits) >= MOST:
            is_whole = False
            break
        back_to = batch.received_at
        if position is not None and not position.may_be_in(batch):
            continue
        objects += 1
        try:
            hits += _matches(batch, _condition(batch, term, position))
        except StorageError:
            unread += 1
    return ArchiveSearch(
        hits=hits[:MOST],
        objects=objects,
        back_to=since if is_whole else back_to,
        is_whole=is_whole,
        unread=unread,
    )


def _condition(batch: Batch, term: str, position: _Position | None) -> pl.Expr:
    """Which rows of the object are meant; bytes are only read where something was refused."""
    if position is not None:
        return pl.col("offset") == position.offset
    text = f'"{term}"'.encode()
    meant = (pl.col("correlation_id") == term) | pl.col("headers").bin.contains(text)
    if batch.failed or batch.ignored:
        meant = meant | ((pl.col("verdict") != "accepted") & pl.col("body").bin.contains(text))
    return meant


def _newest(since: datetime) -> Iterator[Batch]:
    """Manifests of the time, from the newest back, by the primary key."""
    rows = Batch.objects.filter(id__gte=first_id_at(since)).select_related("partition__source")
    before: int | None = None
    while True:
        chunk = list(
            (rows if before is None else rows.filter(id__lt=before)).order_by("-id")[:_CHUNK]
        )
        yield from chunk
        if len(chunk) < _CHUNK:
            return
        before = chunk[-1].pk


def _matches(batch: Batch, condition: pl.Expr) -> list[Hit]:
    content = io.BytesIO(archive.read_bytes(batch.file))
    columns = ["row", "offset", "verdict", "transaction_id"]
    try:
        frame = pl.scan_parquet(content).with_row_index("row").filter(condition).select(columns)
        found = frame.head(MOST).collect().rows()
    except pl.exceptions.PolarsError as exc:
        raise StorageError(f"{batch.file} is no archive object: {type(exc).__name__}") from exc
    return [
        Hit(
            file=batch.file,
            row=row,
            event_id=event_id(
                first_tick=batch.pk >> 22,
                slot=batch.pk >> 12 & 1023,
                ordinal=row - batch.first_row,
            ),
            offset=offset,
            verdict=verdict,
            transaction_id=transaction_id or "",
        )
        for row, offset, verdict, transaction_id in found
    ]


def _numbers(position: str) -> tuple[int, ...]:
    return tuple(int(number) for number in position.split("-"))
