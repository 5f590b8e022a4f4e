"""A batch whose messages hold several events each is cut where it would have too many parts.

A source closes its batches by messages and bytes: how many events they hold is known to the schema
only. A piece is a batch like any other, with its own commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Final

import msgspec

from ingestion.bundles import CompiledBundle
from ingestion.parsing.explode import MAX_PARTS
from ingestion.parsing.paths import Path, walk
from ingestion.parsing.reading import Rejected, read_object
from ingestion.parsing.wrapping import Wrapping
from ingestion.sources.base import MessageBatch

#: parts of one commit; a single message may have no more than MAX_PARTS
MAX_BATCH_PARTS: Final = 10_000
_VALUE: Final = "value"


def split_by_parts(batch: MessageBatch, bundle: CompiledBundle) -> Iterator[MessageBatch]:
    """Pieces of the batch in its order; the batch itself where it has few parts enough."""
    ways = {
        (route.schema.wrapping, route.schema.explode)
        for route in bundle.routes
        if route.schema.explode
    }
    if not ways or len(batch) == 1:
        yield batch
        return
    counters = [_Counter(wrapping, path) for wrapping, path in ways]
    start = parts = 0
    for row, body in enumerate(batch.bodies):
        size = max(counter.count(body) for counter in counters)
        if row > start and parts + size > MAX_BATCH_PARTS:
            yield _piece(batch, start, row)
            start, parts = row, 0
        parts += size
    yield _piece(batch, start, len(batch)) if start else batch


class _Counter:
    """Counts the elements of the array at a path, each unread."""

    def __init__(self, wrapping: Wrapping | None, path: Path) -> None:
        self._open = wrapping.open if wrapping else None
        self._path = path
        inner: Any = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=MAX_PARTS)] | None
        for name in map(str, reversed(path)):
            struct = msgspec.defstruct("Around", [(_VALUE, inner, None)], rename={_VALUE: name})
            inner = struct | None
        self._decode = msgspec.json.Decoder(struct).decode

    def count(self, body: bytes) -> int:
        """Parts of a message; one for what cannot be read, or has too many: it fails whole."""
        try:
            return self._count(body if self._open is None else self._open(body))
        except Rejected:
            return 1

    def _count(self, body: bytes) -> int:
        try:
            found: Any = self._decode(body)
        except (msgspec.MsgspecError, RecursionError):
            # half a surrogate, say: the schema may take what this decoder refuses
            array = walk(read_object(body), self._path)
            size = len(array) if isinstance(array, list) else 1
            return size if 0 < size <= MAX_PARTS else 1
        while isinstance(found, msgspec.Struct):
            found = getattr(found, _VALUE)
        return len(found or ()) or 1


def _piece(batch: MessageBatch, start: int, end: int) -> MessageBatch:
    """The messages from `start` to before `end`."""
    is_last = end == len(batch)
    return replace(
        batch,
        position=batch.offsets[start] if start else batch.position,
        next_position=batch.next_position if is_last else batch.offsets[end],
        broker_offset=batch.broker_offset if is_last else "",
        sequence_number=batch.sequence_number + start,
        offsets=batch.offsets[start:end],
        times_us=batch.times_us[start:end],
        bodies=batch.bodies[start:end],
        keys=batch.keys and batch.keys[start:end],
        headers=batch.headers and batch.headers[start:end],
    )
