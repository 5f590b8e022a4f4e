"""What somebody explores, as the address says it: every choice is there, so that it can be shared.

metric=NAME  range=1h|6h|24h|7d|custom  from=TIME  to=TIME  by=DIMENSION (repeated)
in.DIMENSION=VALUE  compare=previous|yesterday|week  rows=all
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from metrics.explore_metrics import Metric

DEFAULT_METRIC: Final = "success_rate"
DEFAULT_RANGE: Final = "24h"
CUSTOM: Final = "custom"
RANGES: Final[Mapping[str, timedelta]] = {
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
}
#: as windows are kept
LONGEST: Final = timedelta(days=730)
COMPARISONS: Final[Mapping[str, str]] = {
    "": "Nothing",
    "previous": "Period before",
    "yesterday": "Yesterday",
    "week": "Last week",
}
STEPS_S: Final = (60, 300, 900, 3_600, 21_600, 86_400, 604_800)
#: steps that a chart shows at most
_STEPS: Final = 200
_FILTER: Final = "in."
_LONGEST_VALUE: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All choices, checked: the range is whole steps when it is compared."""

    metric: Metric
    range: str
    since: datetime
    until: datetime
    group_by: tuple[str, ...] = ()
    filters: Mapping[str, str] = field(default_factory=dict)
    compare: str = ""
    is_all_rows: bool = False

    @property
    def step_s(self) -> int:
        """The shortest step that a chart can show, at least the window of the metric."""
        return step_for(self.until - self.since, self.metric.window_s)

    @property
    def shift(self) -> timedelta:
        """How far back the compared range lies; whole steps."""
        if self.compare == "previous":
            step = timedelta(seconds=self.step_s)
            return max(step, -((self.since - self.until) // step) * step)
        return timedelta(days=7 if self.compare == "week" else 1)

    def query(self, *, is_absolute: bool = False) -> str:
        """The address of this state; absolute: the same range whenever it is opened."""
        params: list[tuple[str, str]] = [("metric", self.metric.name)]
        if is_absolute or self.range == CUSTOM:
            params += [("range", CUSTOM), ("from", utc_text(self.since))]
            params += [("to", utc_text(self.until))]
        else:
            params.append(("range", self.range))
        params += [("by", name) for name in self.group_by]
        params += [(f"{_FILTER}{name}", value) for name, value in self.filters.items()]
        if self.compare:
            params.append(("compare", self.compare))
        if self.is_all_rows:
            params.append(("rows", "all"))
        return "?" + urlencode(params)


def utc_text(moment: datetime) -> str:
    """`2026-03-02T12:00:00Z`."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


def step_for(length: timedelta, window_s: int) -> int:
    """Seconds of a step for a range of this length."""
    fits = (step for step in STEPS_S if length <= timedelta(seconds=step) * _STEPS)
    return max(window_s, next(fits, STEPS_S[-1]))


def read_state(
    params: QueryDict, metrics: Mapping[str, Metric], *, now: datetime
) -> tuple[State, list[str]]:
    """The state of an address, and a sentence for each thing in it that is wrong.

    What is wrong is left out or replaced by its default, so that there is always a page.
    """
    problems: list[str] = []
    name = params.get("metric") or DEFAULT_METRIC
    if name not in metrics:
        problems.append(
            f"There is no metric {name[:80]!r} in the active rule sets; this is {DEFAULT_METRIC}."
        )
        name = DEFAULT_METRIC
    metric = metrics[name]
    chosen, since, until = _range(params, problems, now=now)
    state = State(
        metric=metric,
        range=chosen,
        since=since,
        until=until,
        group_by=_group_by(params, metric, problems),
        filters=_filters(params, metric, problems),
        compare=_compare(params, problems),
        is_all_rows=params.get("rows") == "all",
    )
    return _comparable(state, problems, now=now), problems


def with_metric(state: State, metric: Metric) -> State:
    """The same range and comparison for another metric; what it cannot be split by goes."""
    return replace(
        state,
        metric=metric,
        group_by=tuple(name for name in state.group_by if name in metric.dimensions),
        filters={k: v for k, v in state.filters.items() if k in metric.dimensions},
        is_all_rows=False,
    )


def _range(
    params: QueryDict, problems: list[str], *, now: datetime
) -> tuple[str, datetime, datetime]:
    chosen = params.get("range") or (CUSTOM if params.get("from") else DEFAULT_RANGE)
    if chosen == CUSTOM:
        try:
            return (CUSTOM, *_custom(params.get("from", ""), params.get("to", ""), now=now))
        except ValueError as exc:
            problems.append(f"{exc} Shown is the last day.")
            chosen = DEFAULT_RANGE
    elif chosen not in RANGES:
        known = ", ".join(RANGES)
        problems.append(f"The range is one of {known} or custom. Shown is the last day.")
        chosen = DEFAULT_RANGE
    return chosen, now - RANGES[chosen], now


def _custom(since_text: str, until_text: str, *, now: datetime) -> tuple[datetime, datetime]:
    since = _moment(since_text)
    until = _moment(until_text) if until_text else now
    if until <= since:
        raise ValueError("The range ends before it begins.")
    if until - since > LONGEST:
        raise ValueError(f"A range has at most {LONGEST.days} days.")
    if since.year < 2000 or until.year > 2100:
        raise ValueError("Events have times of the years 2000 to 2100.")
    return since, until


def _moment(text: str) -> datetime:
    """A time with its zone, or of the local zone."""
    try:
        moment = parse_datetime(text)
        if moment is None:
            moment = datetime.fromisoformat(text)
        if timezone.is_naive(moment):
            moment = timezone.make_aware(moment)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:40]!r} is no time like 2026-03-02T12:00.") from None


def _group_by(params: QueryDict, metric: Metric, problems: list[str]) -> tuple[str, ...]:
    asked = list(dict.fromkeys(name for name in params.getlist("by") if name))
    unknown = [name for name in asked if name not in metric.dimensions]
    if unknown:
        problems.append(_unsplit(metric, "grouped", unknown))
    return tuple(name for name in asked if name in metric.dimensions)


def _filters(params: QueryDict, metric: Metric, problems: list[str]) -> dict[str, str]:
    asked = {
        key.removeprefix(_FILTER): value
        for key, value in params.items()
        if key.startswith(_FILTER) and isinstance(value, str)
    }
    unknown = [name for name, value in asked.items() if value and name not in metric.dimensions]
    if unknown:
        problems.append(_unsplit(metric, "filtered", unknown))
    bad = [v for v in asked.values() if len(v) > _LONGEST_VALUE or "\0" in v]
    if bad:
        problems.append(f"A filter has at most {_LONGEST_VALUE} characters, and no NUL.")
    return {k: v for k, v in asked.items() if k in metric.dimensions and v and v not in bad}


def _unsplit(metric: Metric, verb: str, unknown: Sequence[str]) -> str:
    names = ", ".join(name[:40] for name in unknown)
    known = ", ".join(metric.dimensions) or "nothing: its windows have no groups"
    return f"{metric.name} cannot be {verb} by {names}. It can by {known}."


def _compare(params: QueryDict, problems: list[str]) -> str:
    asked = params.get("compare", "")
    if asked not in COMPARISONS:
        problems.append("A range is compared with previous, yesterday or week.")
        return ""
    return asked


def _comparable(state: State, problems: list[str], *, now: datetime) -> State:
    """Compared ranges have finished steps only: half a step is less than a whole one before."""
    if not state.compare:
        return state
    step = timedelta(seconds=state.step_s)
    if state.shift % step:
        problems.append(
            f"Steps of {state.step_s // 86_400} days cannot be compared with {state.compare}."
        )
        return replace(state, compare="")
    if state.until <= now - step:
        return state
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    until = epoch + (min(state.until, now) - epoch) // step * step
    since = until - (state.until - state.since)
    if state.range == CUSTOM:
        since = min(state.since, until - step)
    return replace(state, since=since, until=until)


def changed(state: State, **values: Any) -> str:
    """The address of this state with other choices."""
    return replace(state, **values).query()
