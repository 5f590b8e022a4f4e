"""Which archived events a dry run looks at: whole batches of some sources, the newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ingestion.models import Batch
from payflow.lib.event_id import first_id_at

#: events of one dry run; of a longer range the newest are taken
MAX_EVENTS: Final = 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a person chose: the last `last` events, or those that arrived in a range."""

    sources: tuple[int, ...]
    last: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "sources": list(self.sources),
            "last": self.last,
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Scope:
        since, until = value.get("since"), value.get("until")
        return cls(
            sources=tuple(value["sources"]),
            last=value.get("last"),
            since=datetime.fromisoformat(since) if since else None,
            until=datetime.fromisoformat(until) if until else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRef:
    """One batch of the manifest."""

    id: int
    last_id: int
    partition_id: int
    parts: int
    file: str
    received_at: datetime
    min_occurred_at: datetime | None
    max_occurred_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The batches, in the order of their partitions and then of their ids."""

    batches: Sequence[BatchRef]
    #: the range holds more: only its newest MAX_EVENTS were taken
    is_cut: bool

    @property
    def parts(self) -> int:
        return sum(batch.parts for batch in self.batches)


def choose(scope: Scope) -> Chosen:
    """The batches of a scope; the last N events are rounded up to whole batches."""
    rows = Batch.objects.filter(partition__source__in=scope.sources).order_by("-id")
    if scope.since:
        rows = rows.filter(id__gte=first_id_at(scope.since))
    if scope.until:
        rows = rows.filter(id__lt=first_id_at(scope.until))
    limit = min(scope.last or MAX_EVENTS, MAX_EVENTS)
    chosen: list[BatchRef] = []
    taken, is_cut = 0, False
    names = list(BatchRef.__dataclass_fields__)
    for values in rows.values(*names).iterator(chunk_size=2_000):
        if taken >= limit:
            is_cut = scope.last is None
            break
        taken += values["parts"]
        if values["parts"]:
            chosen.append(BatchRef(**values))
    return Chosen(batches=sorted(chosen, key=lambda b: (b.partition_id, b.id)), is_cut=is_cut)
