"""What a draft of compliance rules would change: findings that only one side has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from ingestion.dryrun.plan import Pair
from ingestion.dryrun.unit import Unit, add_counts
from ingestion.dryrun.verdicts import Judged

#: findings kept of each rule on each side
SAMPLES: Final = 10
_HOUR: Final = "1h"


@dataclass(slots=True, kw_only=True)
class RuleFindings:
    """One rule: events found by the draft only, by the live rule only, by both."""

    new: int = 0
    gone: int = 0
    both: int = 0
    new_samples: list[dict[str, Any]] = field(default_factory=list)
    gone_samples: list[dict[str, Any]] = field(default_factory=list)
    #: hour of the events (seconds since 1970) -> findings of each side
    live_hours: dict[int, int] = field(default_factory=dict)
    draft_hours: dict[int, int] = field(default_factory=dict)

    def merge(self, other: RuleFindings) -> None:
        self.new += other.new
        self.gone += other.gone
        self.both += other.both
        self.new_samples += other.new_samples[: SAMPLES - len(self.new_samples)]
        self.gone_samples += other.gone_samples[: SAMPLES - len(self.gone_samples)]
        add_counts(self.live_hours, other.live_hours)
        add_counts(self.draft_hours, other.draft_hours)


@dataclass(slots=True, kw_only=True)
class FindingsTally:
    """What the rules that differ found so far, by their name."""

    rules: dict[str, RuleFindings] = field(default_factory=dict)
    #: name in the plan -> events for which the rule gave an error
    errors: dict[str, int] = field(default_factory=dict)

    def merge(self, other: FindingsTally) -> None:
        add_counts(self.errors, other.errors)
        for name, found in other.rules.items():
            self.rules.setdefault(name, RuleFindings()).merge(found)


def compare_findings(unit: Unit, side: Judged, pairs: Sequence[Pair]) -> FindingsTally:
    """Which events each side's rules find. What was stored before is no event of its own."""
    events = side.accepted().select(
        pl.col("ordinal").cast(pl.Int64),
        "message",
        "part",
        "transaction_id",
        hour=pl.col("occurred_at").dt.truncate(_HOUR).dt.epoch("s"),
    )
    findings = side.outcome.findings.select("ordinal", "rule").join(events, on="ordinal")
    found = {name: rows for (name,), rows in findings.group_by("rule", maintain_order=True)}
    tally = FindingsTally(
        errors={name: failure.count for name, failure in side.outcome.rule_failures.items()}
    )
    nothing = findings.clear()
    for pair in pairs:
        live = _of_their_own(unit, found.get(pair.live, nothing))
        draft = _of_their_own(unit, found.get(pair.draft, nothing))
        if live.is_empty() and draft.is_empty():
            continue
        new = draft.join(live, on="ordinal", how="anti", maintain_order="left")
        gone = live.join(draft, on="ordinal", how="anti", maintain_order="left")
        tally.rules[pair.name] = RuleFindings(
            new=new.height,
            gone=gone.height,
            both=live.height - gone.height,
            new_samples=_samples(unit, new),
            gone_samples=_samples(unit, gone),
            live_hours=_hours(live),
            draft_hours=_hours(draft),
        )
    return tally


def _of_their_own(unit: Unit, found: pl.DataFrame) -> pl.DataFrame:
    if found.is_empty() or not unit.rows["set_aside"].any():
        return found
    rows = [unit.row_of(*place) for place in found.select("message", "part").iter_rows()]
    return found.filter(~unit.rows["set_aside"].gather(rows))


def _samples(unit: Unit, found: pl.DataFrame) -> list[dict[str, Any]]:
    rows = found.head(SAMPLES).select("message", "part", "transaction_id").iter_rows()
    return [
        {**unit.place(message, part), "transaction_id": transaction_id}
        for message, part, transaction_id in rows
    ]


def _hours(found: pl.DataFrame) -> dict[int, int]:
    return dict(found["hour"].value_counts(name="events").iter_rows())
