"""A dry run as a job: from what a person chose to the kept result. It writes nothing else.

1. Sides    the live bundle of each source, and the same with the draft in it
2. Scope    the batches, and how long the steps of series are
3. Plan     what of both sides has to be evaluated at all
4. Compare  chunk by chunk, here or in processes beside
5. Report   bounded JSON
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth.models import User

from configuration.bundling import sources_using
from configuration.models import ConfigurationVersion, Job, Source
from ingestion import archive, jobs
from ingestion.bundles import compile_bundle
from ingestion.dryrun.compare import Tally
from ingestion.dryrun.plan import WINDOWS, Plan, plan_rules, plan_schema
from ingestion.dryrun.processes import compare_beside, compare_here
from ingestion.dryrun.report import report_of
from ingestion.dryrun.scope import BatchRef, Chosen, Scope, choose
from ingestion.dryrun.series_report import MAX_POINTS
from ingestion.dryrun.sides import draft_content, live_content
from ingestion.dryrun.unit import Chunk, Stored
from ingestion.models import BatchOutcome, Partition
from payflow.lib.errors import Permanent, StorageError

KIND: Final = "dry_run"
#: parts; with fewer, starting processes would take longer than the work
SMALL: Final = 30_000
#: evaluated in one go: batches of one partition, so many parts and bytes of (compressed) objects
CHUNK_PARTS: Final = 10_000
CHUNK_BYTES: Final = 8 * 2**20

_Sides = Mapping[int, tuple[dict[str, Any], dict[str, Any]]]


class NothingToRunOn(Permanent):
    """No source that was chosen uses this schema or rule set."""


@dataclass(slots=True)
class _Reader:
    """Reads the objects of batches; what cannot be read is counted and left out."""

    partitions: Mapping[int, Partition]
    #: whether what was stored before must not be counted again
    sets_aside: bool
    unreadable: int = 0
    unreadable_parts: int = 0

    def chunks(self, batches: Sequence[BatchRef]) -> Iterator[Chunk]:
        """Consecutive batches of one partition, as much as is evaluated in one go."""
        gathered: list[tuple[BatchRef, bytes]] = []
        parts = size = 0
        for batch in batches:
            try:
                content = archive.read_bytes(batch.file)
            except StorageError:
                self.unreadable += 1
                self.unreadable_parts += batch.parts
                continue
            parts, size = parts + batch.parts, size + len(content)
            is_other = gathered and gathered[0][0].partition_id != batch.partition_id
            if gathered and (is_other or parts > CHUNK_PARTS or size > CHUNK_BYTES):
                yield self._chunk(gathered)
                gathered, parts, size = [], batch.parts, len(content)
            gathered.append((batch, content))
        if gathered:
            yield self._chunk(gathered)

    def _chunk(self, gathered: Sequence[tuple[BatchRef, bytes]]) -> Chunk:
        partition = self.partitions[gathered[0][0].partition_id]
        aside = self._set_aside([batch for batch, _ in gathered]) if self.sets_aside else {}
        return Chunk.of(
            partition,
            [
                Stored(
                    id=batch.id,
                    file=batch.file,
                    content=content,
                    set_aside=frozenset(aside.get(batch.id, ())),
                )
                for batch, content in gathered
            ],
        )

    def _set_aside(self, batches: Sequence[BatchRef]) -> dict[int, set[int]]:
        """Batch -> ordinals that its transaction did not store as events."""
        found: dict[int, set[int]] = {}
        rows = BatchOutcome.objects.filter(
            id__gte=batches[0].id,
            id__lte=max(batch.last_id for batch in batches),
            batch__in=[batch.id for batch in batches],
        )
        for batch, ordinal in rows.values_list("batch", "ordinal"):
            found.setdefault(batch, set()).add(ordinal)
        return found


def new_dry_run(version: ConfigurationVersion, scope: Scope, *, by: User | None = None) -> Job:
    """The job of a dry run; it waits until it is submitted or run.

    Raises ConfigurationError when the draft is wrong or does not fit a source, NothingToRunOn when
    none of the sources uses it.
    """
    _sides(version, scope)
    return jobs.create(
        KIND,
        f"Dry run of {version}",
        version=version,
        parameters={"scope": scope.as_json(), "checksum": version.checksum},
        by=by,
    )


def candidates(version: ConfigurationVersion) -> list[Source]:
    """Sources that a version can be compared on: those that use it and have a bundle."""
    used = sources_using(version.kind, version.name)
    return [source for source in used if source.active_bundle_id is not None]


def dry_run(job: Job, progress: jobs.Progress) -> dict[str, Any]:
    """Do it; what Job.result keeps."""
    if job.version is None:
        raise Permanent("The draft was discarded before its dry run began.")
    started = time.monotonic()
    scope = Scope.from_json(job.parameters["scope"])
    sides = _sides(job.version, scope)
    chosen = choose(scope)
    plan = _plan(job.version, sides, chosen)
    has_work = plan.kind == "schema" or bool(plan.pairs)
    tally, reader = Tally(), _reader(scope, plan)
    if has_work:
        _compare(plan, chosen, reader, tally, progress)
    progress.tell(done=tally.parts + reader.unreadable_parts, total=chosen.parts)
    return {
        "kind": plan.kind,
        "draft": str(job.version),
        "live": _names(job.version, sides),
        "checksum": job.version.checksum,
        "sources": [content["source"] for content, _ in sides.values()],
        "events": tally.parts,
        "messages": tally.messages,
        "accepted": tally.accepted,
        "batches": len(chosen.batches),
        "unreadable": tally.unreadable + reader.unreadable,
        "is_cut": chosen.is_cut,
        "first": _moment(min, chosen),
        "last": _moment(max, chosen),
        "seconds": round(time.monotonic() - started, 2),
        **report_of(plan, tally),
    }


def _sides(version: ConfigurationVersion, scope: Scope) -> _Sides:
    """Source -> bundle content on both sides."""
    sides: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
    for source in candidates(version):
        if source.pk in scope.sources:
            live = live_content(source)
            sides[source.pk] = live, draft_content(live, version)
            compile_bundle(sides[source.pk][1])
    if not sides:
        raise NothingToRunOn
    return sides


def _plan(version: ConfigurationVersion, sides: _Sides, chosen: Chosen) -> Plan:
    if version.kind == ConfigurationVersion.Kind.SCHEMA:
        return plan_schema(sides)
    return plan_rules(version.kind, sides, step_s=_step_s(chosen))


def _step_s(chosen: Chosen) -> int:
    """The length of steps that makes a chart of all events' times."""
    firsts = [batch.min_occurred_at for batch in chosen.batches if batch.min_occurred_at]
    lasts = [batch.max_occurred_at for batch in chosen.batches if batch.max_occurred_at]
    if not firsts:
        return min(WINDOWS)
    seconds = (max(lasts) - min(firsts)).total_seconds()
    return next((step for step in WINDOWS if seconds / step < MAX_POINTS), max(WINDOWS))


def _reader(scope: Scope, plan: Plan) -> _Reader:
    partitions = Partition.objects.filter(source__in=scope.sources).select_related("source")
    return _Reader({row.pk: row for row in partitions}, plan.kind != "schema")


def _compare(
    plan: Plan, chosen: Chosen, reader: _Reader, tally: Tally, progress: jobs.Progress
) -> None:
    compare = compare_here if chosen.parts <= SMALL else compare_beside
    found = compare(plan.as_json(), reader.chunks(chosen.batches))
    progress.tell(done=0, total=chosen.parts)
    # closing: processes end at once when the job is cancelled
    with closing(found):
        for one in found:
            if one is not None:
                tally.merge(one)
            progress.tell(done=tally.parts + reader.unreadable_parts, total=chosen.parts)


def _names(version: ConfigurationVersion, sides: _Sides) -> str:
    """What the draft is compared with: `transaction v2`."""
    parts = []
    for live, _ in sides.values():
        if version.kind == ConfigurationVersion.Kind.SCHEMA:
            schemas = [route["schema"] for route in live["routes"]]
            parts += [part for part in schemas if part["name"] == version.name]
        else:
            parts.append(live[version.kind])
    return ", ".join(dict.fromkeys(f"{part['name']} v{part['version']}" for part in parts))


def _moment(choose_one: Any, chosen: Chosen) -> str | None:
    times = [batch.received_at for batch in chosen.batches]
    return choose_one(times).isoformat() if times else None
