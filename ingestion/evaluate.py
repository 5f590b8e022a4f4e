"""evaluate(messages, bundle): the one function that decides what an event means. Pure.

No ORM, clock, network or settings: what it needs of time is in the messages. Live ingestion,
retry, dry run and verification all call it, so what it says here is what it says everywhere.

Its halves can be called apart: read_events() (events.py) depends on the routes and schemas of the
bundle alone, apply_rules() on its rule sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

import polars as pl

from ingestion.bundles import CompiledBundle, CompiledRoute
from ingestion.events import (
    FUTURE_TOLERANCE,
    LATE_AFTER,
    WINDOW,
    Events,
    FailedPart,
    read_events,
    stage_of,
)
from ingestion.sources.base import MessageBatch
from metrics.extractors import MetricType
from metrics.isolation import RuleFailure, merge_failures

__all__ = [
    "FUTURE_TOLERANCE",
    "LATE_AFTER",
    "METRIC_PREFIX",
    "METRIC_TYPES",
    "WINDOW",
    "Events",
    "FailedPart",
    "Outcome",
    "apply_rules",
    "evaluate",
    "read_events",
    "stage_of",
    "verdicts",
]

#: prefix of the columns that hold the metric data of one type
METRIC_PREFIX: Final = "metric:"
METRIC_TYPES: Final = tuple(kind.value for kind in MetricType)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One verdict for every part of a batch."""

    parts: int
    #: parts of each message; None: each has one, and an ordinal is the index of its message
    sizes: Sequence[int] | None
    #: accepted parts by ordinal: row (index of the message), part, ordinal, route, late, key_hex
    #: (event_key as text), the columns of Parsed, "metric:<TYPE>", "rule:<name>"
    #: (metrics/windows.py)
    accepted: pl.DataFrame
    #: what compliance rules found in them: columns of metrics.compliance.FINDINGS
    findings: pl.DataFrame
    #: by ordinal
    failed: list[FailedPart]
    #: ordinals that the configuration routes away, ascending
    ignored: list[int]
    rule_failures: Mapping[str, RuleFailure]


def evaluate(batch: MessageBatch, bundle: CompiledBundle) -> Outcome:
    """Judge every part of every message of a scrubbed batch under one bundle."""
    return apply_rules(read_events(batch, bundle), bundle)


def apply_rules(events: Events, bundle: CompiledBundle) -> Outcome:
    """The second half: metrics and findings, by the rules compiled for each route."""
    found = [
        _judge(columns, route)
        for columns, route in zip(events.accepted, bundle.routes, strict=True)
    ]
    accepted, findings = found[0].accepted, found[0].findings
    if len(found) > 1:
        accepted, findings = _together(found, bundle)
    return Outcome(
        parts=events.parts,
        sizes=events.sizes,
        accepted=accepted,
        findings=findings,
        failed=events.failed,
        ignored=events.ignored,
        rule_failures=_added_up(one.failures for one in found),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """What the rules behind one route gave."""

    accepted: pl.DataFrame
    findings: pl.DataFrame
    failures: Mapping[str, RuleFailure]


def _judge(columns: pl.DataFrame, route: CompiledRoute) -> _Judged:
    metrics = route.metrics.extract(columns)
    findings = route.compliance.find(columns)
    accepted = pl.concat(
        [
            columns.drop("broker_time"),
            metrics.data.rename(lambda name: METRIC_PREFIX + name),
            metrics.window_values,
        ],
        how="horizontal",
    )
    return _Judged(
        accepted=accepted,
        findings=findings.rows,
        failures=merge_failures(metrics.errors, findings.errors),
    )


def _together(
    found: Sequence[_Judged], bundle: CompiledBundle
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What several routes accepted and found, by ordinal.

    A rule that is left out behind a route has no value there: it adds nothing to any window.
    """
    findings = pl.concat([one.findings for one in found]).sort("ordinal", "rule")
    accepted = pl.concat([one.accepted for one in found], how="diagonal").sort("ordinal")
    values = bundle.metrics.windows.values(accepted.clear()).data
    left_out = [name for name in values.columns if name not in accepted.columns]
    if left_out:
        accepted = pl.concat([accepted, values.select(left_out)], how="diagonal")
    return accepted, findings


def _added_up(failures: Iterable[Mapping[str, RuleFailure]]) -> dict[str, RuleFailure]:
    """Failures of rules over all routes, each of which has other events."""
    total: dict[str, RuleFailure] = {}
    for name, failure in chain.from_iterable(each.items() for each in failures):
        known = total.get(name, replace(failure, count=0))
        total[name] = replace(known, count=known.count + failure.count)
    return total


def verdicts(outcome: Outcome) -> Sequence[str]:
    """The verdict of every ordinal: accepted, failed or ignored."""
    result = ["accepted"] * outcome.parts
    for part in outcome.failed:
        result[part.ordinal] = "failed"
    for ordinal in outcome.ignored:
        result[ordinal] = "ignored"
    return result
