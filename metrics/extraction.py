"""From a table of transactions to the metric_data of each: one pass in columns, failures apart.

The JSON text is put together by polars. Decimals and integers keep every digit (COPY hands the
text to jsonb, whose numbers are exact); floats are written in the shortest form that reads back
to the same bits; a float that is no finite number is no value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import polars as pl

from metrics.extractors import Metric, MetricType
from metrics.isolation import FAILURES, Guarded, RuleFailure, evaluate_apart


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicMetric:
    """What one transaction gave for one metric type; numbers are int or Decimal."""

    metric_type: MetricType
    metric_data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionResult:
    #: one row per transaction in the order given, one String column per MetricType value:
    #: a JSON object without nulls, or null when it would be empty
    data: pl.DataFrame
    #: name of a rule or extractor -> its failures
    errors: Mapping[str, RuleFailure]
    #: one row per transaction: what windowed rules add up (metrics/windows.py)
    window_values: pl.DataFrame = field(default_factory=pl.DataFrame)

    def metrics_of(self, row: int) -> list[DynamicMetric]:
        """The metrics of the transaction in `row`, decoded."""
        return [
            DynamicMetric(
                metric_type=MetricType(name), metric_data=json.loads(text, parse_float=Decimal)
            )
            for name, text in self.data.row(row, named=True).items()
            if text is not None
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricGroup:
    """The metrics of one rule or one extractor: they fail together and are counted together."""

    owner: str
    metrics: Sequence[Metric]


class MetricsExtractor:
    """Evaluates rules and extractors over batches of transactions.

    Pure; the result for a transaction does not depend on the others in its batch. Raises
    PolarsError or TypeError at construction when an expression does not fit `schema` or gives no
    number.
    """

    def __init__(self, groups: Sequence[MetricGroup], *, schema: Mapping[str, pl.DataType]) -> None:
        self._groups = {
            group.owner: [_fragment(metric, schema) for metric in group.metrics] for group in groups
        }
        self._types = [metric.metric_type for group in groups for metric in group.metrics]
        self._schema = dict(schema)
        fragments = [part.expression for parts in self._groups.values() for part in parts]
        self._members = _members(zip(self._types, fragments, strict=True))

    def extract(self, columns: pl.DataFrame) -> ExtractionResult:
        """The metrics of each transaction; ValueError when `columns` lacks one of the schema."""
        if missing := self._schema.keys() - columns.columns:
            raise ValueError(f"columns are missing: {', '.join(sorted(missing))}")
        try:
            data = columns.with_columns(self._members).select(_OBJECTS)
        except FAILURES:
            return self._extract_apart(columns)
        return ExtractionResult(data=data, errors={})

    def _extract_apart(self, columns: pl.DataFrame) -> ExtractionResult:
        """Each group by itself; a row on which one fails has none of its metrics."""
        found, errors = evaluate_apart(columns, self._groups)
        texts = [series for group in found.values() for series in group]
        frame = pl.DataFrame(
            {str(number): series for number, series in enumerate(texts)}, height=columns.height
        )
        types = [(kind, pl.col(str(number))) for number, kind in enumerate(self._types)]
        data = frame.with_columns(_members(types)).select(_OBJECTS)
        return ExtractionResult(data=data, errors=errors)


def _fragment(metric: Metric, schema: Mapping[str, pl.DataType]) -> Guarded:
    """`"name":value` of one metric, null where a transaction does not have it."""
    return Guarded(value=_named(metric, schema), where=metric.where, dtype=pl.String())


def _named(metric: Metric, schema: Mapping[str, pl.DataType]) -> pl.Expr:
    key = json.dumps(metric.name)
    if metric.denominator is not None:
        over = _number(metric.denominator, schema)
        above = _number(pl.lit(1) if metric.value is None else metric.value, schema)
        return pl.concat_str(pl.lit(key + ':{"n":'), above, pl.lit(',"d":'), over, pl.lit("}"))
    if metric.value is None:
        return pl.lit(key + ":1")
    return pl.concat_str(pl.lit(key + ":"), _number(metric.value, schema))


def _number(value: pl.Expr, schema: Mapping[str, pl.DataType]) -> pl.Expr:
    """A value as the text of a JSON number."""
    dtype = pl.LazyFrame(schema=dict(schema)).select(value.alias("value")).collect_schema()["value"]
    if dtype == pl.Boolean:
        return pl.when(value).then(pl.lit("1")).when(~value).then(pl.lit("0"))
    if dtype.is_float():
        return pl.when(value.is_finite()).then(value.cast(pl.String))
    if dtype.is_integer() or dtype.is_decimal():
        return value.cast(pl.String)
    raise TypeError(f"a metric is a number or a boolean, not {dtype}")


def _members(fragments: Iterable[tuple[MetricType, pl.Expr]]) -> list[pl.Expr]:
    """The members of one JSON object per metric type, "" when there are none."""
    by_type: dict[MetricType, list[pl.Expr]] = {name: [] for name in MetricType}
    for metric_type, expression in fragments:
        by_type[metric_type].append(expression)
    return [
        (pl.concat_str(parts, separator=",", ignore_nulls=True) if parts else pl.lit("")).alias(
            name
        )
        for name, parts in by_type.items()
    ]


#: a step of its own, because polars would build the members twice for test and value
_OBJECTS = [
    pl.when(pl.col(name) != "")
    .then(pl.concat_str(pl.lit("{"), pl.col(name), pl.lit("}")))
    .alias(name)
    for name in MetricType
]
