"""Asking the brokers how far partitions are behind; the answers are written as they come.

A partition that stopped, or that somebody paused, has no reader; what waits for it is asked of the
broker all the same, by whichever drainer finds first that its figure has grown old.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from ingestion import lagging
from ingestion.broker_calls import Call
from ingestion.lagging import Behind, Unread
from ingestion.readers import SourceReader
from ingestion.sources.base import MessageConsumer
from payflow.lib.errors import PayflowError


def ask(readers: Iterable[SourceReader], *, failed: Callable[[SourceReader, Call], None]) -> None:
    """Ask of every held partition; `failed` hears of a call that ended with an error."""
    for reader in readers:
        if reader.is_open and reader.held:
            then = partial(_told, reader, failed)
            reader.calls.begin("lag", reader.consumer.lag, then=then)


def _told(reader: SourceReader, failed: Callable[[SourceReader, Call], None], call: Call) -> None:
    if call.error is not None:
        failed(reader, call)
        return
    lags = {name: lag for name, lag in call.result.items() if name in reader.held}
    newest = max(reader.assigned.values(), default=0)  # none: the last was let go meanwhile
    if lags.keys() == reader.held.keys() and call.number > newest:
        reader.behind = sum(lag.events for lag in lags.values())
    lagging.note(
        [
            Behind(
                partition_id=reader.held[name].partition_id,
                events=lag.events,
                seconds=lag.seconds,
            )
            for name, lag in lags.items()
        ]
    )


def look_at_unread(readers: Iterable[SourceReader]) -> None:
    """Ask what waits for partitions that nobody reads: stopped or paused ones."""
    due = {reader.source.pk: reader for reader in readers if reader.may_look}
    by_source: dict[int, list[Unread]] = defaultdict(list)
    for row in lagging.unread(list(due)) if due else ():
        by_source[row.source_id].append(row)
    for source, rows in by_source.items():
        reader = due[source]
        look = partial(_look, reader.consumer, rows)
        reader.calls.begin("unread", look, then=partial(_looked, reader, len(rows)))


def _look(consumer: MessageConsumer, partitions: Sequence[Unread]) -> list[Behind]:
    """What waits for them; whatever the broker does not answer is left out.

    Never raises: one partition that cannot be looked at says nothing about its source.
    """
    found = []
    for row in partitions:
        try:
            end = consumer.bounds(row.name).end
            events = consumer.count_between(row.name, row.position, end)
        except (PayflowError, ValueError):
            continue
        found.append(Behind(partition_id=row.partition_id, events=events))
    return found


def _looked(reader: SourceReader, asked: int, call: Call) -> None:
    found = call.result or []
    if len(found) < asked:  # what the broker does not tell is not asked again at once
        reader.look_at = time.monotonic() + lagging.UNREAD_EVERY_S
    lagging.note(found)
