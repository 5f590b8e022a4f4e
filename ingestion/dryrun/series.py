"""What a draft of metric rules would change: series on both sides, and the events behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import polars as pl

from ingestion.bundles import CompiledBundle
from ingestion.dryrun.plan import Pair
from ingestion.dryrun.unit import Unit
from ingestion.dryrun.verdicts import Judged
from metrics.buckets import VALUE
from metrics.windows import (
    MAX_GROUP_TEXT,
    PREFIX,
    Cells,
    merge_buckets,
    merge_windows,
)
from payflow.lib.errors import Permanent

#: windows of both sides that are kept in memory at most
MAX_CELLS: Final = 1_000_000
#: events kept of one series, and series that any are kept of
SAMPLES: Final = 5
MAX_SAMPLED: Final = 2_000
#: frames that are gathered before they are added up
_GATHER: Final = 16

_VALUES: Final = ("live", "live_over", "draft", "draft_over")

#: name of the rule in the draft or live document, group as JSON text
SeriesKey = tuple[str, str]


class TooManySeries(Permanent):
    """The rules that differ give more windows than can be compared; choose a shorter range."""


@dataclass(slots=True, kw_only=True)
class Behind:
    """The events that give another value, or none, to a series under the draft."""

    events: int = 0
    samples: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class SeriesTally:
    """Windows of both sides so far, under the names of the plan."""

    windows: list[pl.DataFrame] = field(default_factory=list)
    buckets: list[pl.DataFrame] = field(default_factory=list)
    behind: dict[SeriesKey, Behind] = field(default_factory=dict)
    #: rule -> events with another value
    events: dict[str, int] = field(default_factory=dict)
    #: name in the plan -> events for which the rule gave an error
    errors: dict[str, int] = field(default_factory=dict)

    def merge(self, other: SeriesTally) -> None:
        self.windows += other.windows
        self.buckets += other.buckets
        for name, number in other.events.items():
            self.events[name] = self.events.get(name, 0) + number
        for name, number in other.errors.items():
            self.errors[name] = self.errors.get(name, 0) + number
        for key, theirs in other.behind.items():
            mine = self.behind.setdefault(key, Behind())
            mine.events += theirs.events
            if mine.samples or len(self.behind) <= MAX_SAMPLED:
                mine.samples += theirs.samples[: SAMPLES - len(mine.samples)]
        if len(self.windows) + len(self.buckets) > _GATHER:
            self.add_up()

    def add_up(self) -> None:
        """One frame of each kind. Raises TooManySeries."""
        windows, buckets = merge_windows(self.windows), merge_buckets(self.buckets)
        if windows.height + buckets.height > MAX_CELLS:
            raise TooManySeries
        self.windows, self.buckets = [windows], [buckets]


def compare_series(
    unit: Unit, side: Judged, pairs: Sequence[Pair], bundle: CompiledBundle
) -> SeriesTally:
    """The windows of both sides' rules, and the events whose values differ."""
    events = _of_their_own(unit, side.accepted())
    cells = cells_of(events, bundle)
    ours = pl.col("rule").is_in([name for pair in pairs for name in (pair.live, pair.draft)])
    tally = SeriesTally(windows=[cells.windows.filter(ours)], buckets=[cells.buckets.filter(ours)])
    for name, failure in side.outcome.rule_failures.items():
        tally.errors[name] = failure.count
    for pair in pairs:
        _note_behind(tally, unit, events, pair)
    return tally


def cells_of(events: pl.DataFrame, bundle: CompiledBundle) -> Cells:
    """Added up by the engine that adds up live ones."""
    return bundle.metrics.windows.cells(events)


def _of_their_own(unit: Unit, events: pl.DataFrame) -> pl.DataFrame:
    """Without those that the live rules did not count either: what was stored before."""
    if not unit.rows["set_aside"].any():
        return events
    rows = [unit.row_of(*place) for place in events.select("message", "part").iter_rows()]
    return events.filter(~unit.rows["set_aside"].gather(rows))


def _note_behind(tally: SeriesTally, unit: Unit, events: pl.DataFrame, pair: Pair) -> None:
    """Events with another value, or in another group; they count for the groups of both sides."""
    sides = events.select(
        "message",
        "part",
        "transaction_id",
        *_value(events, pair.live, "live"),
        *_value(events, pair.draft, "draft"),
        live_group=_group(events, pair.live_group_by),
        draft_group=_group(events, pair.draft_group_by),
    )
    has_live, has_draft = pl.col("live").is_not_null(), pl.col("draft").is_not_null()
    differs = (
        pl.col("live").ne_missing(pl.col("draft"))
        | pl.col("live_over").ne_missing(pl.col("draft_over"))
        | (has_live & has_draft & (pl.col("live_group") != pl.col("draft_group")))
        | pl.lit(pair.live_type != pair.draft_type) & (has_live | has_draft)
    )
    found = sides.filter(differs)
    if found.is_empty():
        return
    tally.events[pair.name] = found.height
    of_live = found.filter(has_live).rename({"live_group": "group"})
    of_draft = found.filter(
        has_draft & (pl.col("live").is_null() | (pl.col("live_group") != pl.col("draft_group")))
    ).rename({"draft_group": "group"})
    both = pl.concat([of_live, of_draft], how="diagonal")
    groups = both.group_by("group", maintain_order=True).agg(
        events=pl.len(),
        **{
            name: pl.col(name).head(SAMPLES)
            for name in ("message", "part", "transaction_id", *_VALUES)
        },
    )
    for row in groups.iter_rows(named=True):
        samples = _samples(unit, row) if len(tally.behind) < MAX_SAMPLED else []
        tally.behind[pair.name, row["group"]] = Behind(events=row["events"], samples=samples)


def _value(events: pl.DataFrame, name: str, side: str) -> list[pl.Expr]:
    """What a rule gave each event, and of a RATE what it is over; null where it gave nothing."""
    columns = {side: PREFIX + name, f"{side}_over": f"{PREFIX}{name}:over"}
    return [_number_in(events, column).alias(alias) for alias, column in columns.items()]


def _number_in(events: pl.DataFrame, column: str) -> pl.Expr:
    if column not in events.columns:
        return pl.lit(None, VALUE)
    value = pl.col(column)
    # a decimal takes no booleans
    is_flag = events.schema[column] == pl.Boolean
    return (value.cast(pl.Int64) if is_flag else value).cast(VALUE)


def _group(events: pl.DataFrame, group_by: Sequence[str]) -> pl.Expr:
    """The group of each event as cells name it; "{}" where a schema has no such attribute."""
    if any(name not in events.columns for name in group_by):
        return pl.lit("{}")
    cut = [
        pl.col(name).str.head(MAX_GROUP_TEXT) if events.schema[name] == pl.String else pl.col(name)
        for name in group_by
    ]
    return pl.struct(cut).struct.json_encode() if cut else pl.lit("{}")


def _samples(unit: Unit, row: dict[str, Any]) -> list[dict[str, Any]]:
    columns = [row[name] for name in ("message", "part", "transaction_id", *_VALUES)]
    return [
        {
            **unit.place(message, part),
            "transaction_id": transaction_id,
            "live": _number(live, live_over),
            "draft": _number(draft, draft_over),
        }
        for message, part, transaction_id, live, live_over, draft, draft_over in zip(
            *columns, strict=True
        )
    ]


def _number(value: Decimal | None, over: Decimal | None) -> str | None:
    """`12.34`, of a RATE `1 / 1`; None where the rule gives the event nothing."""
    if value is None:
        return None
    return f"{_plain(value)} / {_plain(over)}" if over is not None else _plain(value)


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"
