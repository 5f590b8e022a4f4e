"""A chunk of archived batches under both sides of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from polars.exceptions import PolarsError

from ingestion.bundles import CompiledBundle, compile_bundle
from ingestion.dryrun.findings import FindingsTally, compare_findings
from ingestion.dryrun.plan import Plan
from ingestion.dryrun.schemas import SchemaTally, compare_schemas
from ingestion.dryrun.series import SeriesTally, compare_series
from ingestion.dryrun.unit import Chunk, Unit, read_unit
from ingestion.dryrun.verdicts import judged
from ingestion.evaluate import evaluate
from ingestion.scrub import scrub
from ingestion.sources.base import MessageBatch

#: hashes of originals are not looked at, and the secret stays where it is
_NO_KEY: Final = b"dry run"


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was found in some chunks; they add up in any order, except for which samples stay."""

    #: messages evaluated, and their parts as the archive holds them
    messages: int = 0
    parts: int = 0
    #: parts that the live bundle takes: what rules are computed on
    accepted: int = 0
    #: batches whose object cannot be read
    unreadable: int = 0
    schemas: SchemaTally = field(default_factory=SchemaTally)
    series: SeriesTally = field(default_factory=SeriesTally)
    findings: FindingsTally = field(default_factory=FindingsTally)

    def merge(self, other: Tally) -> None:
        self.messages += other.messages
        self.parts += other.parts
        self.accepted += other.accepted
        self.unreadable += other.unreadable
        self.schemas.merge(other.schemas)
        self.series.merge(other.series)
        self.findings.merge(other.findings)


class Comparison:
    """A plan with its bundles compiled."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        """`plan` as Plan.as_json() gives it."""
        self._plan = Plan.from_json(plan)
        self._bundles = {
            int(source): [compile_bundle(content) for content in contents]
            for source, contents in self._plan.contents.items()
        }

    def of(self, chunk: Chunk) -> Tally:
        """What differs in a chunk."""
        try:
            unit = read_unit(chunk)
        except PolarsError:
            return Tally(unreadable=len(chunk.batches))
        tally = self._compare(unit, self._bundles[chunk.source_id])
        tally.messages, tally.parts = len(unit.messages), unit.rows.height
        return tally

    def _compare(self, unit: Unit, bundles: list[CompiledBundle]) -> Tally:
        live = judged(evaluate(unit.messages, bundles[0]))
        tally = Tally(accepted=live.outcome.accepted.height)
        if self._plan.kind == "schema":
            draft = judged(evaluate(_scrubbed(unit.messages, bundles[1]), bundles[1]))
            tally.schemas = compare_schemas(unit, live, draft)
        elif self._plan.kind == "metrics":
            tally.series = compare_series(unit, live, self._plan.pairs, bundles[0])
        else:
            tally.findings = compare_findings(unit, live, self._plan.pairs)
        return tally


def _scrubbed(messages: MessageBatch, bundle: CompiledBundle) -> MessageBatch:
    """The messages as a draft's own rules leave them: it may open texts that nobody opened yet."""
    found = scrub(messages.bodies, None, messages.headers, rules=bundle.scrub, key=_NO_KEY)
    return messages.with_bodies(found.bodies, keys=None, headers=found.headers)
