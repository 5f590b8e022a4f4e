"""Windowed rules: values per transaction first, then cells per window and group that add up.

    1. values()        inside evaluate: one column per rule, "rule:<name>", and of a RATE
                       "rule:<name>:over". Numbers are rounded half-even to 6 decimals and are
                       exact from here on; a HISTOGRAM has the number of its bucket
    2. window_cells()  what is stored of them, added up over the accepted events of a batch
    3. merge_windows() cells of several batches added up: what an upsert does in the database

Every step gives the same bits however events are split into batches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from metrics.buckets import LIMIT, VALUE, bucket_column
from metrics.columns import EVENT_TIME
from metrics.extractors import Metric, MetricType
from metrics.isolation import FAILURES, Guarded, RuleFailure, evaluate_apart
from metrics.rollups import window_start

PREFIX: Final = "rule:"
#: characters of a group's value: four of them, escaped, fit into a row of the cells' index
MAX_GROUP_TEXT: Final = 100
_OVER: Final = ":over"

WINDOW_KEY: Final = ("rule", "window_start", "rule_version", "window_s", "group_key")
#: cells of metric_windows
WINDOW_SCHEMA: Final[Mapping[str, pl.DataType]] = {
    "rule": pl.String(),
    "window_start": EVENT_TIME,
    "rule_version": pl.Int64(),
    "window_s": pl.Int32(),
    "group_key": pl.String(),
    "transactions": pl.Int64(),
    "value_sum": VALUE,
    "denominator": VALUE,
    "value_min": VALUE,
    "value_max": VALUE,
    "value_last": VALUE,
    "last_at": EVENT_TIME,
    "last_key": pl.String(),
}
BUCKET_KEY: Final = (*WINDOW_KEY, "bucket")
#: cells of aggregate_histograms
BUCKET_SCHEMA: Final[Mapping[str, pl.DataType]] = {
    **{name: WINDOW_SCHEMA[name] for name in WINDOW_KEY},
    "bucket": pl.Int32(),
    "events": pl.Int64(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRule:
    """One rule as it is added up: its values, the length of its windows and its groups."""

    metric: Metric
    version: int
    window_s: int
    #: columns and attributes; empty for one cell per window
    group_by: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.metric.name

    @property
    def column(self) -> str:
        return PREFIX + self.name

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its value columns."""
        is_rate = self.metric.metric_type is MetricType.RATE
        return (self.column, self.column + _OVER) if is_rate else (self.column,)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowValues:
    #: one row per transaction; Boolean, VALUE, or Int32 for a bucket; null without a value
    data: pl.DataFrame
    errors: Mapping[str, RuleFailure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """What a batch adds: WINDOW_SCHEMA and BUCKET_SCHEMA, each sorted by its key."""

    windows: pl.DataFrame
    buckets: pl.DataFrame


class WindowEngine:
    """Evaluates windowed rules over batches; pure, and no row depends on another."""

    def __init__(self, rules: Sequence[WindowRule], *, schema: Mapping[str, pl.DataType]) -> None:
        self.rules = tuple(rules)
        self._members = {rule.name: _members(rule, schema) for rule in rules}
        self._groupings = _groupings(self.rules, schema)
        self._names = [name for rule in rules for name in rule.columns]
        self._expressions = [
            member.expression.alias(name)
            for name, member in zip(
                self._names, (m for group in self._members.values() for m in group), strict=True
            )
        ]

    def values(self, columns: pl.DataFrame) -> WindowValues:
        """The values of every rule; never raises for what one transaction holds."""
        try:
            frame = columns.with_columns(self._expressions).select(self._names)
            return WindowValues(data=frame, errors={})
        except FAILURES:
            found, errors = evaluate_apart(columns, self._members)
        series = [one for group in found.values() for one in group]
        named = dict(zip(self._names, series, strict=True))
        return WindowValues(data=pl.DataFrame(named, height=columns.height), errors=errors)

    def cells(self, kept: pl.DataFrame) -> Cells:
        """Add up the values of accepted events.

        `kept` has the transaction's columns, `key_hex` and the columns of `values()`.
        """
        lazy = kept.lazy()
        frames = pl.collect_all([grouping.added_up(lazy) for grouping in self._groupings])
        windows, buckets = [], []
        for grouping, frame in zip(self._groupings, frames, strict=True):
            if grouping.is_histogram:
                buckets.append(_bucket_rows(frame, grouping.rules[0]))
            else:
                windows += [_window_rows(frame, rule) for rule in grouping.rules]
        return Cells(
            windows=_gathered(windows, WINDOW_SCHEMA)
            .filter(pl.col("transactions") > 0)
            .with_columns(pl.col("denominator").fill_null(0))
            .sort(WINDOW_KEY),
            buckets=_gathered(buckets, BUCKET_SCHEMA).sort(BUCKET_KEY),
        )


def merge_windows(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Cells of metric_windows added up, sorted by key."""
    newest = pl.struct("last_at", "last_key")
    return (
        pl.concat([pl.DataFrame(schema=dict(WINDOW_SCHEMA)), *frames])
        .lazy()
        .group_by(WINDOW_KEY)
        .agg(
            pl.col("transactions", "value_sum", "denominator").sum(),
            pl.col("value_min").min(),
            pl.col("value_max").max(),
            pl.col("value_last", "last_at", "last_key").sort_by(newest, nulls_last=False).last(),
        )
        .select(list(WINDOW_SCHEMA))
        .sort(WINDOW_KEY)
        .collect()
    )


def merge_buckets(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Cells of aggregate_histograms added up, sorted by key."""
    return (
        pl.concat([pl.DataFrame(schema=dict(BUCKET_SCHEMA)), *frames])
        .lazy()
        .group_by(BUCKET_KEY)
        .agg(pl.col("events").sum())
        .sort(BUCKET_KEY)
        .collect()
    )


def group_key(group_by: Sequence[str]) -> pl.Expr:
    """The group's values as one compact JSON object, in the order of the rule."""
    return pl.struct(group_by).struct.json_encode() if group_by else pl.lit("{}")


def _members(rule: WindowRule, schema: Mapping[str, pl.DataType]) -> list[Guarded]:
    metric = rule.metric
    value = _number(metric.value, schema)
    if metric.metric_type is MetricType.HISTOGRAM:
        return [Guarded(value=bucket_column(value), where=metric.where, dtype=pl.Int32())]
    if metric.denominator is None:
        return [_guarded(value, metric.where, schema)]
    over = _number(metric.denominator, schema)
    both = value.is_not_null() & over.is_not_null()
    where = both if metric.where is None else metric.where & both
    return [_guarded(value, where, schema), _guarded(over, where, schema)]


def _guarded(value: pl.Expr, where: pl.Expr | None, schema: Mapping[str, pl.DataType]) -> Guarded:
    return Guarded(value=value, where=where, dtype=_dtype(value, schema))


def _number(value: pl.Expr | None, schema: Mapping[str, pl.DataType]) -> pl.Expr:
    """A value that adds up exactly: a boolean, or a number rounded to VALUE; null beyond LIMIT."""
    if value is None or _is_one(value):
        return pl.lit(True)
    dtype = _dtype(value, schema)
    if dtype == pl.Boolean:
        return value
    if dtype.is_float():
        value = pl.when(value.is_finite()).then(value).round(6, mode="half_to_even")
    # casting a decimal to fewer digits rounds half-even
    exact = value.cast(VALUE, strict=False)
    return pl.when(exact.abs() < pl.lit(LIMIT, VALUE)).then(exact)


def _is_one(value: pl.Expr) -> bool:
    return value.meta.is_literal() and bool(pl.select(value == 1).item())


def _dtype(value: pl.Expr, schema: Mapping[str, pl.DataType]) -> pl.DataType:
    frame = pl.LazyFrame(schema=dict(schema))
    return frame.select(value.alias("value")).collect_schema()["value"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grouping:
    """Rules that share windows and groups, added up in one pass; a histogram stands alone."""

    rules: Sequence[WindowRule]
    is_histogram: bool
    #: its columns, texts cut
    group_by: Sequence[pl.Expr]

    def added_up(self, kept: pl.LazyFrame) -> pl.LazyFrame:
        first = self.rules[0]
        key = [window_start("occurred_at", first.window_s), *self.group_by]
        if self.is_histogram:
            kept = kept.filter(pl.col(first.column).is_not_null())
            frame = kept.group_by(*key, first.column).agg(events=pl.len().cast(pl.Int64))
        else:
            frame = kept.group_by(key).agg(
                part for rule in self.rules for part in _aggregates(rule)
            )
        return frame.with_columns(group_key=group_key(first.group_by))


def _groupings(rules: Iterable[WindowRule], schema: Mapping[str, pl.DataType]) -> list[_Grouping]:
    shared, alone = defaultdict(list), []

    def grouping(group: Sequence[WindowRule], *, is_histogram: bool) -> _Grouping:
        columns = [
            pl.col(name).str.head(MAX_GROUP_TEXT) if schema[name] == pl.String else pl.col(name)
            for name in group[0].group_by
        ]
        return _Grouping(rules=group, is_histogram=is_histogram, group_by=columns)

    for rule in rules:
        if rule.metric.metric_type is MetricType.HISTOGRAM:
            alone.append(grouping([rule], is_histogram=True))
        else:
            shared[rule.window_s, rule.group_by].append(rule)
    return [grouping(group, is_histogram=False) for group in shared.values()] + alone


def _aggregates(rule: WindowRule) -> list[pl.Expr]:
    value, name = pl.col(rule.column), rule.column
    over = pl.col(rule.column + _OVER) if rule.metric.denominator is not None else None
    parts = [
        value.count().cast(pl.Int64).alias(f"{name} transactions"),
        value.sum().cast(VALUE).alias(f"{name} value_sum"),
    ]
    if over is not None:
        parts.append(over.sum().cast(VALUE).alias(f"{name} denominator"))
    if rule.metric.metric_type is MetricType.GAUGE:
        exact, has = value.cast(VALUE), value.is_not_null()
        newest = pl.struct("occurred_at", "key_hex").filter(has)
        parts += [
            exact.min().alias(f"{name} value_min"),
            exact.max().alias(f"{name} value_max"),
            exact.filter(has).sort_by(newest).last().alias(f"{name} value_last"),
            pl.col("occurred_at").filter(has).max().alias(f"{name} last_at"),
            pl.col("key_hex").filter(has).sort_by(newest).last().alias(f"{name} last_key"),
        ]
    return parts


def _window_rows(frame: pl.DataFrame, rule: WindowRule) -> pl.DataFrame:
    """The cells of one rule out of those of all rules with its windows and groups.

    Put together from columns: an expression for each rule would cost more than the adding up.
    """
    prefix = f"{rule.column} "
    values = [
        column.alias(column.name.removeprefix(prefix))
        for column in frame.get_columns()
        if column.name.startswith(prefix)
    ]
    return pl.DataFrame([*_key(frame, rule), *values])


def _bucket_rows(frame: pl.DataFrame, rule: WindowRule) -> pl.DataFrame:
    return pl.DataFrame([*_key(frame, rule), frame[rule.column].alias("bucket"), frame["events"]])


def _key(frame: pl.DataFrame, rule: WindowRule) -> list[pl.Series]:
    constants = {"rule": rule.name, "rule_version": rule.version, "window_s": rule.window_s}
    return [
        frame["window_start"],
        frame["group_key"],
        *(
            pl.Series(name, [value], dtype=WINDOW_SCHEMA[name]).new_from_index(0, frame.height)
            for name, value in constants.items()
        ),
    ]


def _gathered(parts: list[pl.DataFrame], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=dict(schema)), *parts], how="diagonal")
