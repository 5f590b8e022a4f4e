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
from typing import Final

from metrics.explore_metrics import Kind, Metric
from payflow.lib.errors import PayflowError

#: windows that one series may read; PostgreSQL takes about a second for them
MAX_ROWS: Final = 1_000_000
#: steps of one series
MAX_STEPS: Final = 1_000
#: groups that are told apart; the others are added up as "other"
TOP_GROUPS: Final = 1_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class SeriesTooLong(PayflowError):
    """The range holds more than one series may read; a shorter one does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one step, or the whole range, holds for one group. What a kind has not is None."""

    #: events that had a value
    transactions: int
    #: sum of a COUNTER; numerator of a RATE or AVERAGE
    total: Decimal | None = None
    #: of a RATE or AVERAGE
    denominator: Decimal | None = None
    #: of a GAUGE
    low: Decimal | None = None
    high: Decimal | None = None
    last: Decimal | None = None
    #: of a HISTOGRAM, within 1 % of the exact quantile
    p50: Decimal | None = None
    p95: Decimal | None = None
    p99: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One group: its dimensions' values, its cells and what they add up to."""

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
        return Decimal(0) if kind is Kind.COUNTER else None
    if kind in {Kind.RATE, Kind.AVERAGE}:
        return (
            cell.total / cell.denominator if cell.total is not None and cell.denominator else None
        )
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

    The step is made longer when the metric's windows are. Amounts are always grouped by currency
    too, unless filtered to one. `keep` groups are told apart, by their size.
    Raises UnknownMetric; ValueError for a dimension that the metric does not have;
    SeriesTooLong for more than MAX_STEPS steps or MAX_ROWS windows.
    """
    raise NotImplementedError
