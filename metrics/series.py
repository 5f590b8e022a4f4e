"""A metric over time: the one way in which pages, CSV and the overview read windows.

`read_series` gives one cell per step and group, for any rule of the active rule sets, any built-in
metric, and the measures over payment_metrics. It reads windows only, never transactions: at most
MAX_ROWS of them, else it refuses with SeriesTooLong. Steps are whole multiples of their length
since 1970 UTC, as windows are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import connection, transaction

from metrics.buckets import bucket_value
from metrics.distinct import Distinct, read_distinct, read_distinct_steps
from metrics.explore_metrics import Kind, Metric, find_metric
from metrics.series_request import MAX_ROWS, Request
from payflow.lib.errors import PayflowError

#: milliseconds that one query may take
PATIENCE_MS: Final = 10_000
#: steps of one series
MAX_STEPS: Final = 1_000
#: groups that are told apart; the others are added up as "other"
TOP_GROUPS: Final = 1_000
#: MAX_ROWS windows are added up in memory
_WORK_MEM: Final = "64MB"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class SeriesTooLong(PayflowError):
    """The range holds more than one series may read; a shorter one does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one step, or the whole range, holds for one group. What a kind has not is None."""

    #: events that had a value; of a DISTINCT the estimate
    transactions: int
    #: sum of a COUNTER, estimate of a DISTINCT; numerator of a RATE or AVERAGE
    total: Decimal | None = None
    #: of a RATE or AVERAGE
    denominator: Decimal | None = None
    #: of a GAUGE; of a DISTINCT what is likely at least and at most
    low: Decimal | None = None
    high: Decimal | None = None
    last: Decimal | None = None
    #: of a HISTOGRAM, within 1 % of the exact quantile
    p50: Decimal | None = None
    p95: Decimal | None = None
    p99: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One group: its dimensions' values, its cells, and all of them together."""

    #: dimension -> value, "" where events have none; empty when not grouped
    key: Mapping[str, str]
    #: start of a step -> its cell; a step without events has none
    cells: Mapping[datetime, Cell]
    whole: Cell
    #: groups in it: more than 1 only in "other"
    members: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleVersion:
    """A version of the rule that wrote windows of the range."""

    version: int
    #: first and last window of it within the range
    first: datetime
    last: datetime
    #: seconds
    window_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A metric over a range, largest group first."""

    metric: Metric
    #: whole steps: `since` is included, `until` is not
    since: datetime
    until: datetime
    step_s: int
    group_by: tuple[str, ...]
    filters: Mapping[str, str]
    groups: Sequence[Group]
    #: the groups beyond those told apart; amounts: one per currency
    others: Sequence[Group] = ()
    #: in the order of their first windows; empty for measures over payment_metrics
    versions: Sequence[RuleVersion] = ()
    #: start of each step
    starts: Sequence[datetime] = field(default_factory=tuple)


def value_of(cell: Cell | None, kind: Kind) -> Decimal | None:
    """The one number of a cell that a line draws: a RATE gives a share, a HISTOGRAM its p95."""
    if cell is None:
        return Decimal(0) if kind in {Kind.COUNTER, Kind.DISTINCT} else None
    if kind in {Kind.RATE, Kind.AVERAGE}:
        known = cell.total is not None and cell.denominator
        return cell.total / cell.denominator if known else None  # type: ignore[operator]
    if kind is Kind.GAUGE:
        return cell.high if cell.last is None else cell.last
    return cell.p95 if kind is Kind.HISTOGRAM else cell.total


def whole_steps(
    since: datetime, until: datetime, *, step_s: int
) -> tuple[datetime, datetime, list[datetime]]:
    """The range widened to whole steps, and the start of each."""
    step = timedelta(seconds=step_s)
    first = _EPOCH + (since - _EPOCH) // step * step
    count = max(1, -((first - until) // step))
    if count > MAX_STEPS:
        raise SeriesTooLong(
            f"This range has {count:,} steps of {step_s:,} s, at most {MAX_STEPS:,} can be read."
        )
    return first, first + count * step, [first + number * step for number in range(count)]


def read_series(
    name: str,
    *,
    since: datetime,
    until: datetime,
    step_s: int,
    group_by: Sequence[str] = (),
    filters: Mapping[str, str] = {},
    keep: int = TOP_GROUPS,
) -> Series:
    """Read a metric in steps of `step_s` seconds; the range is widened to whole steps.

    The step is the metric's window where that is longer. Amounts are always grouped by currency
    too, unless filtered to one. `keep` groups are told apart, by their size.
    Raises UnknownMetric; ValueError for a dimension that the metric does not have;
    SeriesTooLong for more than MAX_STEPS steps or MAX_ROWS windows.
    """
    metric = find_metric(name)
    unknown = ({*group_by} | filters.keys()) - set(metric.dimensions)
    if unknown:
        raise ValueError(f"{metric.name} cannot be split by {', '.join(sorted(unknown))}")
    if metric.is_per_currency and "currency" not in {*group_by, *filters}:
        group_by = (*group_by, "currency")
    step_s = max(step_s, metric.window_s)
    since, until, starts = whole_steps(since, until, step_s=step_s)
    request = Request(
        metric=metric,
        since=since,
        until=until,
        step_s=step_s,
        group_by=tuple(group_by),
        filters=dict(filters),
        keep=keep,
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('statement_timeout', %s, true), set_config('work_mem', %s, true)",
            [str(PATIENCE_MS), _WORK_MEM],
        )
        versions = _versions(cursor, request)
        groups = _groups(cursor, request)
    return Series(
        metric=metric,
        since=since,
        until=until,
        step_s=step_s,
        group_by=request.group_by,
        filters=request.filters,
        groups=[group for is_rest, group in groups if not is_rest],
        others=[group for is_rest, group in groups if is_rest],
        versions=versions,
        starts=starts,
    )


def _versions(cursor: Any, request: Request) -> list[RuleVersion]:
    """Who wrote the range; refuses what would be too much to read."""
    if request.metric.kind is Kind.DISTINCT:
        return []
    rows = request.versions(cursor)
    read = sum(row[4] for row in rows)
    if read > MAX_ROWS:
        raise SeriesTooLong(
            f"This range holds more than {MAX_ROWS:,} windows of {request.metric.name}. "
            "A shorter range can be read."
        )
    return [
        RuleVersion(version=row[0], window_s=row[1], first=row[2], last=row[3])
        for row in rows
        if row[0] is not None
    ]


def _groups(cursor: Any, request: Request) -> list[tuple[bool, Group]]:
    """Each group with its cells, in the order of the query; True for those beyond `keep`."""
    if request.metric.kind is Kind.DISTINCT:
        return [(False, group) for group in _distinct_groups(request)]
    cells: dict[tuple[bool, tuple[str, ...]], dict[datetime, Cell]] = {}
    wholes: dict[tuple[bool, tuple[str, ...]], tuple[Cell, int]] = {}
    for step, values, is_rest, members, *numbers in request.cells(cursor):
        at = (is_rest, tuple(values))
        cell = _cell(request.metric.kind, numbers)
        if step is None:
            wholes[at] = (cell, members)
        else:
            cells.setdefault(at, {})[step.astimezone(UTC)] = cell
    return [
        (
            is_rest,
            Group(
                key=_key(request, values, is_rest=is_rest),
                cells=cells[is_rest, values],
                whole=whole,
                members=members,
            ),
        )
        for (is_rest, values), (whole, members) in wholes.items()
    ]


def _distinct_groups(request: Request) -> list[Group]:
    """One group, or none where nobody was counted; its steps do not add up to the whole."""
    name, since, until = request.metric.name, request.since, request.until
    steps = read_distinct_steps(name, since=since, until=until, step_s=request.step_s)
    if not steps:
        return []
    cells = {start.astimezone(UTC): _estimated(found) for start, found in steps.items()}
    whole = _estimated(read_distinct(name, since=since, until=until))
    return [Group(key={}, cells=cells, whole=whole)]


def _estimated(found: Distinct) -> Cell:
    return Cell(
        transactions=found.estimate,
        total=Decimal(found.estimate),
        low=Decimal(max(0, found.estimate - found.error)),
        high=Decimal(found.estimate + found.error),
    )


def _key(request: Request, values: tuple[str, ...], *, is_rest: bool) -> dict[str, str]:
    names = request.rest_by if is_rest else request.group_by
    return dict(zip(names, values, strict=True))


def _cell(kind: Kind, numbers: Sequence[Any]) -> Cell:
    if kind is Kind.HISTOGRAM:
        events, *buckets = numbers
        p50, p95, p99 = map(bucket_value, buckets)
        return Cell(transactions=events, p50=p50, p95=p95, p99=p99)
    transactions, total, denominator, low, high, last = numbers
    if kind is Kind.GAUGE:
        return Cell(transactions=transactions, low=low, high=high, last=last)
    if kind is Kind.COUNTER:
        return Cell(transactions=transactions, total=total)
    return Cell(transactions=transactions, total=total, denominator=denominator)
