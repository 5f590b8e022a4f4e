"""What moving a partition's checkpoint would skip or repeat, asked of its broker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from django.utils import timezone

from ingestion.models import Partition
from ingestion.sources.base import Bounds, MessageConsumer, position_key
from ingestion.sources.factory import ConsumerFactory
from payflow.lib.errors import ConfigurationError, Permanent, SourceUnavailable

TargetKind = Literal["earliest", "latest", "time", "position"]
KINDS: Final[tuple[TargetKind, ...]] = ("earliest", "latest", "time", "position")
#: two numbers at most: those of every broker fit 20 digits
_POSITION: Final = re.compile(r"\d{1,20}(-\d{1,20})?", re.ASCII)


class SeekRefused(Permanent):
    """The checkpoint cannot be moved there; nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to go."""

    kind: TargetKind
    #: of a target by position
    position: str = ""
    #: of a target by time: the first message at or after it
    moment: datetime | None = None

    def __str__(self) -> str:
        if self.moment is not None:
            return self.moment.isoformat()
        return self.position or self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class SeekPlan:
    """What a seek would do, counted when it was made."""

    partition_id: int
    target: Target
    from_position: str
    to_position: str
    #: what the broker holds
    bounds: Bounds
    #: skipped; repeated: below 0; None when the broker cannot tell
    events: int | None
    #: of those skipped, how many the broker no longer holds whatever is done; None: cannot tell
    lost: int | None
    #: messages committed when it was made
    sequence_number: int
    #: messages that the broker counts before the target, where it compares counters
    counted: int | None
    #: the broker's log ends before the checkpoint: it was made again, or lost its end
    began_anew: bool
    #: the last seek of the partition that was known; 0: none
    after: int

    @property
    def kind(self) -> Literal["skip", "repeat", "none"]:
        """What becomes of the messages between here and there."""
        if self.events is not None:
            return "skip" if self.events > 0 else "repeat" if self.events < 0 else "none"
        way = order(self.from_position, self.to_position)
        return "skip" if way > 0 else "repeat" if way < 0 else "none"

    @property
    def changes_nothing(self) -> bool:
        """The checkpoint stands there, and nothing is missing before it."""
        return self.kind == "none" and self.from_position == self.to_position


def parse_target(kind: str, *, position: str = "", moment: datetime | None = None) -> Target:
    """A target of what a person typed; raises SeekRefused when it is none."""
    if kind not in KINDS:
        raise SeekRefused(f"Go to one of {', '.join(KINDS)}, not to {kind[:32]!r}.")
    if kind == "position":
        if not _POSITION.fullmatch(position):
            raise SeekRefused("A position is a number of the broker, e.g. 4711 or 1767225600123-0.")
        return Target(kind=kind, position=position)
    if kind == "time":
        if moment is None or timezone.is_naive(moment):
            raise SeekRefused("A time is needed, with its zone: 2026-11-20T13:20:00Z.")
        return Target(kind=kind, moment=moment)
    return Target(kind=kind)


def plan(partition: Partition, target: Target) -> SeekPlan:
    """Ask the broker what going there would do; nothing is changed.

    Raises SeekRefused for a place where nothing is or will be, SourceUnavailable when the broker
    does not answer and ConfigurationError when its settings are wrong.
    """
    return plans(partition, [target])[0]


def plans(partition: Partition, targets: list[Target]) -> list[SeekPlan]:
    """Several at once, on one connection."""
    if partition.source.broker_type == "file":
        raise SeekRefused("A file is read where it ends: give it to manage.py ingest_file.")
    with _asking(partition) as consumer:
        # The partition may be read while we look. What is gone is counted before its row is read,
        # and its end is asked for behind that, so that what is taken meanwhile passes neither for
        # lost nor for a log that ends before the checkpoint.
        first = consumer.bounds(partition.name).first
        counted_first = consumer.counted_before(partition.name, first)
        partition.refresh_from_db()
        lost = _lost(partition, first=first, counted_first=counted_first)
        bounds = consumer.bounds(partition.name)
        is_anew = _began_anew(consumer, partition, end=bounds.end)
        return [
            _plan(consumer, partition, each, bounds=bounds, lost=lost, is_anew=is_anew)
            for each in targets
        ]


@contextmanager
def _asking(partition: Partition) -> Iterator[MessageConsumer]:
    source = partition.source
    consumer = ConsumerFactory.create(
        source.broker_type, source=source.name, settings=source.settings
    )
    try:
        consumer.connect()
        yield consumer
    finally:
        consumer.disconnect()


def _plan(
    consumer: MessageConsumer,
    partition: Partition,
    target: Target,
    *,
    bounds: Bounds,
    lost: int | None,
    is_anew: bool,
) -> SeekPlan:
    to = _resolve(consumer, partition, target, bounds=bounds)
    counted = consumer.counted_before(partition.name, to)
    if is_anew:
        events = None  # what stood between here and there is another log's
    elif counted is not None:
        events = counted - partition.sequence_number - partition.shift
    else:
        events = _count(consumer, partition, to, first=bounds.first, lost=lost)
    return SeekPlan(
        partition_id=partition.pk,
        target=target,
        from_position=partition.position,
        to_position=to,
        bounds=bounds,
        events=events,
        lost=lost,
        sequence_number=partition.sequence_number,
        counted=counted,
        began_anew=is_anew,
        after=last_seek(partition),
    )


def _resolve(
    consumer: MessageConsumer, partition: Partition, target: Target, *, bounds: Bounds
) -> str:
    if target.kind == "earliest":
        return bounds.first
    if target.kind == "latest":
        return bounds.end
    if target.moment is not None:
        return consumer.position_at(partition.name, target.moment)
    shape = len(position_key(bounds.end))
    if len(position_key(target.position)) != shape:
        raise SeekRefused(f"Positions of this source look like {bounds.end}.")
    if not position_key(bounds.first) <= position_key(target.position) <= position_key(bounds.end):
        raise SeekRefused(
            f"The broker holds positions {bounds.first} to {bounds.end} of this partition: "
            f"{target.position} is not among them."
        )
    return target.position


def _lost(partition: Partition, *, first: str, counted_first: int | None) -> int | None:
    """Messages behind the checkpoint that nobody read and that the broker has dropped."""
    if counted_first is not None:
        return max(0, counted_first - partition.sequence_number - partition.shift)
    begins, here = position_key(first), position_key(partition.position)
    if begins <= here:
        return 0
    # a position that is one number counts the messages of its partition
    return begins[0] - here[0] if len(begins) == len(here) == 1 else None


def _began_anew(consumer: MessageConsumer, partition: Partition, *, end: str) -> bool:
    """Whether the log ends before the checkpoint, by its positions or by its count."""
    counted = consumer.counted_before(partition.name, end)
    if counted is not None and counted < partition.sequence_number + partition.shift:
        return True
    return order(end, partition.position) > 0


def _count(
    consumer: MessageConsumer,
    partition: Partition,
    to: str,
    *,
    first: str,
    lost: int | None,
) -> int | None:
    here = partition.position
    if order(here, to) <= 0:
        held = consumer.count_between(partition.name, to, here)
        return None if held is None else -held
    start = here if order(first, here) >= 0 else first
    held = consumer.count_between(partition.name, start, to)
    return None if held is None or lost is None else held + lost


def last_seek(partition: Partition) -> int:
    """Its id; 0 when there is none."""
    return partition.seeks.order_by("-id").values_list("id", flat=True).first() or 0


def order(here: str, there: str) -> int:
    """Above 0 when `there` lies behind `here`, below 0 when before it."""
    first, second = position_key(here), position_key(there)
    return (second > first) - (second < first)


def why_not(exc: Exception) -> str:
    """What a person is told when the broker could not be asked."""
    if isinstance(exc, ConfigurationError):
        return f"The settings of the source are wrong: {exc}"
    if isinstance(exc, SourceUnavailable):
        return f"{exc} Nothing was changed."
    return str(exc)


def as_json(made: SeekPlan) -> dict[str, Any]:
    """A plan as machines read it."""
    return {
        "target": str(made.target),
        "from": made.from_position,
        "to": made.to_position,
        "first": made.bounds.first,
        "end": made.bounds.end,
        "kind": made.kind,
        "events": made.events,
        "lost": made.lost,
    }
