"""Which series appear, vanish and change under a draft, the most changed ones with both lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import polars as pl

from ingestion.dryrun.plan import Pair
from ingestion.dryrun.series import Behind, SeriesTally
from metrics.buckets import quantile

#: series whose lines are kept: of one rule, and in all
MAX_OF_RULE: Final = 6
MAX_SERIES: Final = 24
#: points of a line; of more steps the last ones
MAX_POINTS: Final = 160
_GAUGE: Final = "GAUGE"
_RATE: Final = "RATE"
_HISTOGRAM: Final = "HISTOGRAM"
#: type of a rule -> what has to be equal in a window of both sides
_COMPARED: Final[Mapping[str, tuple[str, ...]]] = {
    "COUNTER": ("value_sum",),
    _RATE: ("value_sum", "denominator"),
    _GAUGE: ("value_min", "value_max", "value_last"),
    _HISTOGRAM: ("bucket", "events"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sides:
    """The windows of one rule under both sides."""

    pair: Pair
    live: pl.DataFrame
    draft: pl.DataFrame

    def of_group(self, group: str) -> _Sides:
        chosen = pl.col("group_key") == group
        return _Sides(
            pair=self.pair, live=self.live.filter(chosen), draft=self.draft.filter(chosen)
        )


def report_series(tally: SeriesTally, pairs: Sequence[Pair]) -> dict[str, Any]:
    """JSON: every rule that differs with its numbers of series, and the most changed series."""
    tally.add_up()
    [windows], [buckets] = tally.windows, tally.buckets
    rules: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    for pair in pairs:
        sides = _Sides(
            pair=pair,
            live=_of(pair.live, pair.live_type, windows, buckets),
            draft=_of(pair.draft, pair.draft_type, windows, buckets),
        )
        kinds = _kinds(sides)
        rules.append(
            {
                "name": pair.name,
                "change": pair.change,
                "changes": pair.changes,
                "type": pair.draft_type or pair.live_type,
                "events": tally.events.get(pair.name, 0),
                "series": {
                    kind: sum(one == kind for one in kinds.values())
                    for kind in ("appears", "vanishes", "changes", "same")
                },
                "errors": {
                    "live": tally.errors.get(pair.live, 0),
                    "draft": tally.errors.get(pair.draft, 0),
                },
            }
        )
        shown += _most_changed(sides, kinds, tally)
    shown.sort(key=lambda series: -series["events"])
    return {
        "rules": rules,
        "series": shown[:MAX_SERIES],
        "differing": sum(sum(rule["series"].values()) - rule["series"]["same"] for rule in rules),
        "compared": sum(sum(rule["series"].values()) for rule in rules),
    }


def _of(name: str, kind: str, windows: pl.DataFrame, buckets: pl.DataFrame) -> pl.DataFrame:
    frame = buckets if kind == _HISTOGRAM else windows
    return frame.filter(pl.col("rule") == name)


def _kinds(sides: _Sides) -> dict[str, str]:
    """Group -> appears, vanishes, changes or same."""
    pair = sides.pair
    before = set(sides.live["group_key"].unique())
    after = set(sides.draft["group_key"].unique())
    if pair.live_type != pair.draft_type:
        changed = before & after
    else:
        keys = ["group_key", "window_start", *_COMPARED[pair.live_type]]
        one, other = sides.live.select(keys), sides.draft.select(keys)
        odd = [
            one.join(other, on=keys, how="anti", nulls_equal=True),
            other.join(one, on=keys, how="anti", nulls_equal=True),
        ]
        changed = set(pl.concat(odd)["group_key"].unique()) & before & after
    return {
        group: "appears"
        if group not in before
        else "vanishes"
        if group not in after
        else "changes"
        if group in changed
        else "same"
        for group in sorted(before | after)
    }


def _most_changed(
    sides: _Sides, kinds: Mapping[str, str], tally: SeriesTally
) -> list[dict[str, Any]]:
    """The series with the most events behind their difference."""
    found = [
        (tally.behind.get((sides.pair.name, group), Behind()), group, kind)
        for group, kind in kinds.items()
        if kind != "same"
    ]
    found.sort(key=lambda entry: -entry[0].events)
    return [
        {
            "rule": sides.pair.name,
            "type": sides.pair.draft_type or sides.pair.live_type,
            "group": group,
            "change": kind,
            "events": behind.events,
            "samples": behind.samples,
            **_numbers(sides.of_group(group)),
        }
        for behind, group, kind in found[:MAX_OF_RULE]
    ]


def _numbers(sides: _Sides) -> dict[str, Any]:
    """The value over the whole range on each side, and the lines."""
    pair, step = sides.pair, timedelta(seconds=sides.pair.step_s)
    starts: list[datetime] = [
        start for side in (sides.live, sides.draft) for start in side["window_start"].to_list()
    ]
    first, last = min(starts), max(starts)
    first = max(first, last - step * (MAX_POINTS - 1))
    times = [first + number * step for number in range((last - first) // step + 1)]
    return {
        "old": _text(_value(sides.live, pair.live_type)),
        "new": _text(_value(sides.draft, pair.draft_type)),
        "step_s": pair.step_s,
        "start": first.astimezone(UTC).isoformat(),
        "live": _line(sides.live, pair.live_type, times),
        "draft": _line(sides.draft, pair.draft_type, times),
    }


def _line(frame: pl.DataFrame, kind: str, times: Sequence[datetime]) -> list[float | None]:
    if frame.is_empty():
        return [None] * len(times)
    values = {
        start: _value(windows, kind)
        for (start,), windows in frame.filter(pl.col("window_start") >= times[0]).group_by(
            "window_start"
        )
    }
    found = [values.get(start) for start in times]
    return [None if value is None else float(value) for value in found]


def _value(frame: pl.DataFrame, kind: str) -> Decimal | None:
    """The one number of some windows: a sum, a share, the last value, or the 95th percentile."""
    if frame.is_empty():
        return None
    if kind == _HISTOGRAM:
        counts = frame.group_by("bucket").agg(pl.col("events").sum())
        return quantile(dict(counts.iter_rows()), 0.95)
    if kind == _GAUGE:
        newest: Decimal | None = frame.sort("last_at", "last_key")["value_last"][-1]
        return newest
    total = Decimal(frame["value_sum"].sum())
    if kind != _RATE:
        return total
    over = Decimal(frame["denominator"].sum())
    return total / over if over else None


def _text(value: Decimal | None) -> str | None:
    return None if value is None else f"{round(value, 6):f}"
