"""The kept result of a dry run: JSON, bounded, without payload."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ingestion.dryrun.findings import FindingsTally
from ingestion.dryrun.plan import Pair, Plan
from ingestion.dryrun.schemas import Cause, CauseKey, SchemaTally
from ingestion.dryrun.series_report import report_series
from ingestion.dryrun.verdicts import ACCEPTED, FAILED

#: points of a line over time
MAX_POINTS: Final = 160
#: merchants named for each cause
_MERCHANTS: Final = 5
#: causes that are kept; the others are counted together
_CAUSES: Final = 50
_MINUTES: Final = (1, 5, 15, 60, 360, 1_440, 10_080)


def report_of(plan: Plan, tally: Any) -> dict[str, Any]:
    """What was found, by the kind of the draft."""
    if plan.kind == "schema":
        return report_schemas(tally.schemas)
    if plan.kind == "metrics":
        return report_series(tally.series, plan.pairs)
    return report_findings(tally.findings, plan.pairs)


def report_schemas(tally: SchemaTally) -> dict[str, Any]:
    """Verdicts that move, by cause; columns that change; accepted events over time."""
    moved = {f"{old}>{new}": number for (old, new), number in sorted(tally.verdicts.items())}
    return {
        "verdicts": moved,
        "newly_failing": sum(
            number for (old, new), number in tally.verdicts.items() if new == FAILED != old
        ),
        "newly_passing": tally.verdicts.get((FAILED, ACCEPTED), 0),
        "same": sum(number for (old, new), number in tally.verdicts.items() if old == new),
        "changed": tally.changed,
        "failing": _causes(tally.failing),
        "passing": _causes(tally.passing),
        "columns": [
            {"column": name, "events": cause.events, "samples": cause.samples}
            for name, cause in sorted(tally.columns.items(), key=lambda item: -item[1].events)
        ],
        "over_time": _over_time(tally.live_minutes, tally.draft_minutes, unit_s=60),
    }


def report_findings(tally: FindingsTally, pairs: Iterable[Pair]) -> dict[str, Any]:
    """Findings that only one side has, by rule."""
    rules: list[dict[str, Any]] = []
    for pair in pairs:
        found = tally.rules.get(pair.name)
        rules.append(
            {
                "name": pair.name,
                "change": pair.change,
                "changes": pair.changes,
                "old_severity": pair.live_severity,
                "new_severity": pair.draft_severity,
                "new": found.new if found else 0,
                "gone": found.gone if found else 0,
                "both": found.both if found else 0,
                "new_samples": found.new_samples if found else [],
                "gone_samples": found.gone_samples if found else [],
                "over_time": _over_time(found.live_hours, found.draft_hours, unit_s=3_600)
                if found
                else None,
                "errors": {
                    "live": tally.errors.get(pair.live, 0),
                    "draft": tally.errors.get(pair.draft, 0),
                },
            }
        )
    rules.sort(key=lambda rule: -(rule["new"] + rule["gone"]))
    return {
        "rules": rules,
        "new": sum(rule["new"] for rule in rules),
        "gone": sum(rule["gone"] for rule in rules),
        "both": sum(rule["both"] for rule in rules),
    }


def _causes(causes: Mapping[CauseKey, Cause]) -> list[dict[str, Any]]:
    ranked = sorted(causes.items(), key=lambda item: (-item[1].events, item[0]))
    return [
        {
            "field": field,
            "reason": reason,
            "expected": expected,
            "source": source,
            "events": cause.events,
            "merchants": cause.merchants.most_common(_MERCHANTS),
            "merchants_known": len(cause.merchants),
            "has_more_merchants": cause.other_merchants > 0,
            "samples": cause.samples,
        }
        for (field, reason, expected, source), cause in ranked[:_CAUSES]
    ]


def _over_time(
    live: Mapping[int, int], draft: Mapping[int, int], *, unit_s: int
) -> dict[str, Any] | None:
    """Both sides by steps that make a chart; they come by multiples of `unit_s`."""
    moments = sorted({*live, *draft})
    if not moments:
        return None
    first_s, last_s = moments[0], moments[-1]
    step_s = next(
        (
            minutes * 60
            for minutes in _MINUTES
            if minutes * 60 >= unit_s and (last_s - first_s) // (minutes * 60) < MAX_POINTS
        ),
        _MINUTES[-1] * 60,
    )
    start_s = max(first_s // step_s, last_s // step_s - MAX_POINTS + 1) * step_s
    number = (last_s - start_s) // step_s + 1
    return {
        "start": (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=start_s)).isoformat(),
        "step_s": step_s,
        "live": _steps(live, start_s=start_s, step_s=step_s, number=number),
        "draft": _steps(draft, start_s=start_s, step_s=step_s, number=number),
    }


def _steps(counts: Mapping[int, int], *, start_s: int, step_s: int, number: int) -> list[int]:
    steps = [0] * number
    for moment, events in counts.items():
        place = (moment - start_s) // step_s
        if 0 <= place < number:
            steps[place] += events
    return steps
