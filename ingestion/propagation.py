"""Where a version has arrived: what each worker answered, and what it first processed under it.

Drainers answer every change of a source's bundle (following.py). A worker's answer to an activation
is its first answer at or after the serial that the activation gave to the source: what went live
later holds the version as well, and whoever was busy while both passed by answers the later only.
This holds while the version is active; of one that was replaced, the answers of then are listed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.db import connection
from django.db.models import Q

from configuration.models import Acknowledgement, Activation, ConfigurationVersion, Source
from ingestion.models import DRAINER_ALIVE_S
from payflow.lib.event_id import first_id_at

#: seconds that a worker may take before it is a matter for a person
LATE_S: Final = 10
#: answers to a past activation that are listed
MOST_ANSWERS: Final = 100
# a worker reads a source if it runs a bundle of it, or has said that it cannot
_WORKERS: Final = """
SELECT s.id, d.slot, d.owner, d.started_at <= %(at)s, a.acknowledged_at, coalesce(a.problem, '')
FROM sources s
JOIN drainers d ON d.owner <> '' AND d.seen_at > now() - %(alive_s)s * interval '1 s'
LEFT JOIN LATERAL (
    SELECT acknowledged_at, problem FROM configuration_acknowledgements a
    WHERE a.source_id = s.id AND a.owner = d.owner
        AND a.serial >= (%(serials)s::jsonb ->> s.id::text)::bigint
    ORDER BY a.problem <> '', a.serial LIMIT 1
) AS a ON true
WHERE s.id = ANY(%(sources)s) AND (jsonb_exists(d.bundles, s.name) OR a.acknowledged_at IS NOT NULL)
ORDER BY d.slot, s.name
"""
# the bundles that hold the version: those answered since, under which a partition's first batch is
# found by its key
_FIRST: Final = """
SELECT p.id, p.source_id, p.name, p.leased_by, b.id, b.start_position
FROM partitions p
LEFT JOIN LATERAL (
    SELECT id, start_position FROM batches
    WHERE partition_id = p.id AND id >= %(first_id)s AND bundle_id IN (
        SELECT a.bundle_id FROM configuration_acknowledgements a
        WHERE a.source_id = p.source_id
            AND a.serial >= (%(serials)s::jsonb ->> p.source_id::text)::bigint)
    ORDER BY id LIMIT 1
) AS b ON true
WHERE p.source_id = ANY(%(sources)s) AND p.state = 'active' AND p.leased_by = ANY(%(owners)s)
ORDER BY p.source_id, p.id
"""
#: live workers that do not run what is active: (source, source name, slot, problem, since);
#: without a problem they have not answered, `since` is when the change was first known then
STRAGGLERS: Final = """
SELECT s.id, s.name, d.slot, coalesce(a.problem, ''), coalesce(a.acknowledged_at, known.at)
FROM sources s
JOIN drainers d ON d.owner <> '' AND d.seen_at > now() - %(alive_s)s * interval '1 s'
LEFT JOIN configuration_acknowledgements a
    ON a.source_id = s.id AND a.serial = s.bundle_serial AND a.owner = d.owner
LEFT JOIN LATERAL (
    SELECT min(at) AS at FROM (
        SELECT acknowledged_at AS at FROM configuration_acknowledgements o
        WHERE o.source_id = s.id AND o.serial = s.bundle_serial
        UNION ALL
        (SELECT activated_at FROM configuration_activations v
        WHERE (v.serials ->> s.id::text)::bigint = s.bundle_serial ORDER BY v.id DESC LIMIT 1)
    ) AS signs
) AS known ON true
WHERE s.active_bundle_id IS NOT NULL AND (jsonb_exists(d.bundles, s.name) OR a.id IS NOT NULL)
    AND (a.problem <> ''
        OR (a.id IS NULL AND known.at < now() - %(late_s)s * interval '1 s'))
ORDER BY s.name, d.slot
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstBatch:
    """A partition, and where its first batch under the version began; None until there is one."""

    source: str
    partition: str
    partition_id: int
    batch_id: int | None
    position: str | None


@dataclass(slots=True, kw_only=True)
class Worker:
    """One live worker and its answer."""

    slot: int
    owner: str
    #: seconds from the activation to its answer for the last of its sources; None without one,
    #: or when it was started later and never ran anything else
    seconds: float | None = None
    has_answered: bool = True
    was_there: bool = True
    #: why it cannot run the version; the last good one stays
    problem: str = ""
    partitions: list[FirstBatch] = field(default_factory=list)

    @property
    def runs_it(self) -> bool:
        return self.has_answered and not self.problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Propagation:
    """How far an activation has come."""

    activation: Activation
    workers: Sequence[Worker]
    #: names of the sources that it gave another bundle
    sources: Sequence[str]

    @property
    def running(self) -> int:
        return sum(worker.runs_it for worker in self.workers)

    @property
    def refused(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.problem]

    @property
    def slowest(self) -> Worker | None:
        """The last of those that were there and have taken it."""
        timed = [worker for worker in self.workers if worker.runs_it and worker.seconds is not None]
        return max(timed, key=lambda worker: worker.seconds or 0.0, default=None)

    @property
    def is_everywhere(self) -> bool:
        return bool(self.workers) and self.running == len(self.workers)

    @property
    def is_told(self) -> bool:
        """Whether nothing is left to wait for: every partition has a batch under it, too."""
        held = [first for worker in self.workers for first in worker.partitions]
        return self.is_everywhere and all(first.batch_id is not None for first in held)


def propagation_of(activation: Activation) -> Propagation:
    """What the workers that live now say about an activation."""
    sources = Source.objects.filter(pk__in=[int(key) for key in activation.serials])
    names = {source.pk: source.name for source in sources}
    parameters = {
        "sources": list(names),
        "serials": json.dumps(activation.serials),
        "at": activation.activated_at,
        "alive_s": DRAINER_ALIVE_S,
        "first_id": first_id_at(activation.activated_at),
    }
    workers = _workers(activation, _rows(_WORKERS, parameters))
    owners = {worker.owner: worker for worker in workers}
    for key, source, name, owner, batch, position in _rows(
        _FIRST, {**parameters, "owners": list(owners)}
    ):
        owners[owner].partitions.append(
            FirstBatch(
                source=names[source],
                partition=name,
                partition_id=key,
                batch_id=batch,
                position=position,
            )
        )
    return Propagation(activation=activation, workers=workers, sources=sorted(names.values()))


def is_in_force(activation: Activation) -> bool:
    """Whether it is what made its version active now."""
    version = activation.version
    if version.status != ConfigurationVersion.Status.ACTIVE:
        return False
    return not version.activations.filter(pk__gt=activation.pk).exists()


def answers_to(activation: Activation) -> list[Acknowledgement]:
    """What workers said to exactly this activation, first to last; they may be gone by now."""
    wanted = Q(pk=None)
    for source, serial in activation.serials.items():
        wanted |= Q(source=int(source), serial=serial)
    found = Acknowledgement.objects.filter(wanted, acknowledged_at__gte=activation.activated_at)
    return list(found.select_related("source").order_by("acknowledged_at")[:MOST_ANSWERS])


@dataclass(frozen=True, slots=True, kw_only=True)
class Straggler:
    """A live worker that does not run the active bundle of a source."""

    slot: int
    #: why; "" when it has not answered
    problem: str
    since: datetime


def stragglers() -> dict[tuple[int, str], list[Straggler]]:
    """By (id, name) of the source: workers that refuse its bundle, or are late with an answer."""
    found: dict[tuple[int, str], list[Straggler]] = defaultdict(list)
    for source, name, slot, problem, since in _rows(
        STRAGGLERS, {"alive_s": DRAINER_ALIVE_S, "late_s": LATE_S}
    ):
        found[source, name].append(Straggler(slot=slot, problem=problem, since=since))
    return found


def _workers(activation: Activation, rows: Sequence[tuple[Any, ...]]) -> list[Worker]:
    """One for each owner: with several sources the last answer counts."""
    workers: dict[str, Worker] = {}
    for _source, slot, owner, was_there, answered_at, problem in rows:
        worker = workers.setdefault(owner, Worker(slot=slot, owner=owner, was_there=was_there))
        worker.problem = worker.problem or problem
        if answered_at is None:
            worker.has_answered = False
        elif was_there:
            took = (answered_at - activation.activated_at).total_seconds()
            worker.seconds = max(took, worker.seconds or 0.0)
    return list(workers.values())


def _rows(statement: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
