"""A batch whose messages hold several events each is cut where it would have too many parts.

A source closes its batches by messages and bytes: how many events they hold is known to the schema
only. A piece is a batch like any other, with its own commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, Final

import msgspec

from ingestion.bundles import CompiledBundle
from ingestion.parsing.explode import MAX_PARTS
from ingestion.sources.base import MessageBatch

#: parts of one commit; a single message may have no more than MAX_PARTS
MAX_BATCH_PARTS: Final = 10_000
_VALUE: Final = "value"


def split_by_parts(batch: MessageBatch, bundle: CompiledBundle) -> Iterator[MessageBatch]:
    """Pieces of the batch in its order; the batch itself where it has few parts enough."""
    paths = {route.schema.explode for route in bundle.routes if route.schema.explode}
    if not paths or len(batch) == 1:
        yield batch
        return
    counters = [_counter([*map(str, path)]) for path in paths]
    start = parts = 0
    for row, body in enumerate(batch.bodies):
        size = max(_count(counter, body) for counter in counters)
        if row > start and parts + size > MAX_BATCH_PARTS:
            yield _piece(batch, start, row)
            start, parts = row, 0
        parts += size
    yield _piece(batch, start, len(batch)) if start else batch


def _count(counter: Callable[[bytes], Any], body: bytes) -> int:
    """Parts of a message; one for what cannot be read, or has too many: it fails whole."""
    try:
        found = counter(body)
    except (msgspec.MsgspecError, RecursionError):
        return 1
    while isinstance(found, msgspec.Struct):
        found = getattr(found, _VALUE)
    return len(found or ()) or 1


def _counter(path: Sequence[str]) -> Callable[[bytes], Any]:
    """Decodes a message into the elements of the array alone, each unread."""
    inner: Any = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=MAX_PARTS)] | None
    for name in reversed(path):
        struct = msgspec.defstruct("Around", [(_VALUE, inner, None)], rename={_VALUE: name})
        inner = struct | None
    return msgspec.json.Decoder(struct).decode


def _piece(batch: MessageBatch, start: int, end: int) -> MessageBatch:
    """The messages from `start` to before `end`."""
    is_last = end == len(batch)
    return replace(
        batch,
        position=batch.offsets[start] if start else batch.position,
        next_position=batch.next_position if is_last else batch.offsets[end],
        sequence_number=batch.sequence_number + start,
        offsets=batch.offsets[start:end],
        times_us=batch.times_us[start:end],
        bodies=batch.bodies[start:end],
        keys=batch.keys and batch.keys[start:end],
        headers=batch.headers and batch.headers[start:end],
    )
