"""Both sides of a shadow for some batches: what differing rules add up to, and what they find.

Everything that is the same under the draft is not computed at all; what differs is computed for
both sides from events that are parsed once (ingestion/dryrun/plan.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import groupby
from typing import Any, Final

import polars as pl

from configuration.models import Bundle, ConfigurationVersion
from ingestion import archive
from ingestion.bundles import CompiledBundle, compile_bundle
from ingestion.dryrun.plan import Pair, plan_rules
from ingestion.dryrun.sides import draft_content, uses
from ingestion.dryrun.unit import Chunk, Stored, Unit, read_unit
from ingestion.evaluate import Outcome, evaluate
from ingestion.models import Batch
from ingestion.shadow.batches import set_aside
from ingestion.shadow.models import Shadow
from payflow.lib.event_id import IDS_PER_TICK

#: columns of shadow_cells besides the shadow, in their order
CELL: Final[Mapping[str, pl.DataType]] = {
    "is_draft": pl.Boolean(),
    "rule": pl.String(),
    "rule_version": pl.Int64(),
    "window_start": pl.Datetime("us", "UTC"),
    "window_s": pl.Int32(),
    "group_key": pl.String(),
    "bucket": pl.Int32(),
    "transactions": pl.Int64(),
    "value_sum": pl.Decimal(38, 6),
    "denominator": pl.Decimal(38, 6),
}
_KEY: Final = list(CELL)[:7]
_TICK: Final = 2**22
#: columns of shadow_findings besides the shadow
FINDING: Final[Mapping[str, pl.DataType]] = {
    "rule": pl.String(),
    "event_id": pl.Int64(),
    "occurred_at": pl.Datetime("us", "UTC"),
    "severity": pl.String(),
    "by_draft": pl.Boolean(),
    "by_live": pl.Boolean(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    """What some batches gave."""

    #: accepted and stored, and looked at under both sides
    events: int = 0
    #: CELL, one row a key, sorted by it
    cells: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict(CELL)))
    #: FINDING, one row a rule and event, sorted by them
    findings: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict(FINDING)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One bundle as it was live, with the rules of both sides that differ in place of its own."""

    bundle: CompiledBundle
    pairs: tuple[Pair, ...]


def look_at(batches: Sequence[Batch], shadow: Shadow) -> Both:
    """Evaluate archived batches, each under its own bundle, with the rules of both sides.

    Raises StorageError when an object cannot be read, ConfigurationError when the draft does not
    fit a bundle that has gone live since.
    """
    aside = set_aside(batches)
    ordered = sorted(batches, key=lambda batch: (batch.bundle_id, batch.partition_id, batch.pk))
    found = []
    for _, group in groupby(ordered, key=lambda batch: (batch.bundle_id, batch.partition_id)):
        members = list(group)
        if not uses(members[0].bundle.content, shadow.version):
            continue
        prepared = prepare(members[0].bundle_id, shadow.pk)
        unit = read_unit(_chunk(members, aside))
        found.append(_of_unit(unit, prepared))
    return _together(found)


@lru_cache(maxsize=16)
def prepare(bundle_id: int, shadow_id: int) -> Prepared:
    """The rules of both sides that differ, compiled; neither a bundle nor a shadow's text changes.

    Raises ConfigurationError.
    """
    shadow = Shadow.objects.select_related("version").get(pk=shadow_id)
    bundle = Bundle.objects.get(pk=bundle_id)
    version = shadow.version
    frozen = ConfigurationVersion(
        kind=version.kind, name=version.name, number=version.number, document=shadow.document
    )
    content, pairs = plan_of(bundle, frozen)
    return Prepared(bundle=compile_bundle(content), pairs=tuple(pairs))


def plan_of(bundle: Bundle, version: ConfigurationVersion) -> tuple[dict[str, Any], list[Pair]]:
    """A bundle's content with nothing but the rules that differ, and their pairs.

    Raises ConfigurationError.
    """
    contents = (bundle.content, draft_content(bundle.content, version))
    plan = plan_rules(version.kind, {bundle.source_id: contents}, step_s=0)
    return plan.contents[str(bundle.source_id)][0], plan.pairs


def _chunk(batches: Sequence[Batch], aside: Mapping[int, frozenset[int]]) -> Chunk:
    return Chunk.of(
        batches[0].partition,
        [
            Stored(
                id=batch.pk,
                file=batch.file,
                content=archive.read_bytes(batch.file),
                set_aside=aside.get(batch.pk, frozenset()),
            )
            for batch in batches
        ],
    )


def _of_unit(unit: Unit, prepared: Prepared) -> Both:
    outcome = evaluate(unit.messages, prepared.bundle)
    kept = _stored(unit, outcome)
    names = pl.DataFrame(
        [
            (name, pair.name, name == pair.draft)
            for pair in prepared.pairs
            for name in (pair.live, pair.draft)
            if name
        ],
        schema={"planned": pl.String(), "rule": pl.String(), "is_draft": pl.Boolean()},
        orient="row",
    )
    return Both(
        events=kept.height,
        cells=_cells(kept, prepared, names),
        findings=_findings(outcome, kept, prepared, names),
    )


def _stored(unit: Unit, outcome: Outcome) -> pl.DataFrame:
    """The accepted parts that were stored as events, with the ids that they were stored under."""
    accepted, rows = outcome.accepted, unit.rows
    starts = pl.Series(unit.starts, dtype=pl.Int64)
    at = starts.gather(accepted["row"]) + accepted["part"]
    batch, ordinal = rows["batch"].gather(at), rows["row"].gather(at)
    tick = batch // _TICK + ordinal // IDS_PER_TICK
    event_id = tick * _TICK + batch % _TICK // IDS_PER_TICK * IDS_PER_TICK + ordinal % IDS_PER_TICK
    return accepted.with_columns(event_id=event_id).filter(~rows["set_aside"].gather(at))


def _cells(kept: pl.DataFrame, prepared: Prepared, names: pl.DataFrame) -> pl.DataFrame:
    engine = prepared.bundle.metrics
    cells = engine.windows.cells(kept)
    versions = _versions(prepared)
    both = pl.concat(
        [
            cells.windows.with_columns(bucket=pl.lit(0, pl.Int32)),
            cells.buckets.rename({"events": "transactions"}),
        ],
        how="diagonal",
    )
    return (
        both.drop("rule_version")
        .rename({"rule": "planned"})
        .join(names, on="planned")
        .join(versions, on="planned")
        .select(pl.col(name).cast(dtype) for name, dtype in CELL.items())
        .sort(_KEY)
    )


def _versions(prepared: Prepared) -> pl.DataFrame:
    """What the rules are known by outside of the plan: by their own names."""
    own = {name: pair.name for pair in prepared.pairs for name in (pair.live, pair.draft)}
    rows = {
        rule.name: replace(rule, name=own[rule.name]).version
        for rule in prepared.bundle.metrics.rules
    }
    return pl.DataFrame(
        {"planned": list(rows), "rule_version": list(rows.values())},
        schema={"planned": pl.String(), "rule_version": pl.Int64()},
    )


def _findings(
    outcome: Outcome, kept: pl.DataFrame, prepared: Prepared, names: pl.DataFrame
) -> pl.DataFrame:
    """One row for each event that a rule finds on either side."""
    severity = pl.DataFrame(
        [(pair.name, pair.draft_severity or pair.live_severity) for pair in prepared.pairs],
        schema={"rule": pl.String(), "severity": pl.String()},
        orient="row",
    )
    events = kept.select(pl.col("ordinal").cast(pl.Int64), "event_id", "occurred_at")
    return (
        outcome.findings.select("ordinal", planned="rule")
        .join(names, on="planned")
        .join(events, on="ordinal")
        .group_by("rule", "event_id", "occurred_at")
        .agg(by_draft=pl.col("is_draft").any(), by_live=(~pl.col("is_draft")).any())
        .join(severity, on="rule")
        .select(list(FINDING))
        .sort("rule", "event_id")
    )


def _together(found: Iterable[Both]) -> Both:
    """Cells of one key added up; an event is in one batch only."""
    parts = list(found)
    if not parts:
        return Both()
    cells = (
        pl.concat([one.cells for one in parts])
        .group_by(_KEY)
        .agg(pl.col("transactions").sum(), _sum("value_sum"), _sum("denominator"))
        .sort(_KEY)
    )
    findings = pl.concat([one.findings for one in parts]).sort("rule", "event_id")
    return Both(events=sum(one.events for one in parts), cells=cells, findings=findings)


def _sum(name: str) -> pl.Expr:
    """Null stays null: a histogram's cell has no sum."""
    column = pl.col(name)
    return pl.when(column.is_not_null().any()).then(column.sum())
