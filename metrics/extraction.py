"""From a table of transactions to the metric_data of each: one pass in columns, failures apart.

The JSON text is put together by polars. Decimals and integers keep every digit (COPY hands the
text to jsonb, whose numbers are exact); floats are written in the shortest form that reads back
to the same bits; a float that is no finite number is no value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl
from polars.exceptions import PanicException, PolarsError

from metrics.extractors import Metric, MetricType

#: what evaluating an expression can raise for a value: polars, and the Python in an extractor;
#: anything else (no memory, an interrupt) is not the rule's fault
_FAILURES = (
    PolarsError,
    PanicException,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFailure:
    """Transactions for which a rule or an extractor gave an error in place of a value."""

    count: int
    #: class of the error on the first of them; its message may quote the payload
    error_class: str


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
            group.owner: [_Fragment(metric, schema) for metric in group.metrics] for group in groups
        }
        self._schema = dict(schema)
        self._members = _members(
            (part.metric_type, part.expression) for parts in self._groups.values() for part in parts
        )

    def extract(self, columns: pl.DataFrame) -> ExtractionResult:
        """The metrics of each transaction; ValueError when `columns` lacks one of the schema."""
        if missing := self._schema.keys() - columns.columns:
            raise ValueError(f"columns are missing: {', '.join(sorted(missing))}")
        try:
            data = columns.with_columns(self._members).select(_OBJECTS)
        except _FAILURES:
            return self._extract_apart(columns)
        return ExtractionResult(data=data, errors={})

    def _extract_apart(self, columns: pl.DataFrame) -> ExtractionResult:
        """Each group by itself; a row on which one fails has none of its metrics."""
        texts: dict[str, pl.Series] = {}
        types: list[tuple[MetricType, pl.Expr]] = []
        errors: dict[str, RuleFailure] = {}
        for owner, fragments in self._groups.items():
            found, failed = _evaluate_group(columns, fragments)
            if failed:
                errors[owner] = RuleFailure(count=len(failed), error_class=failed[min(failed)])
            for fragment, series in zip(fragments, found, strict=True):
                name = f"{len(texts)}"
                texts[name] = series
                types.append((fragment.metric_type, pl.col(name)))
        frame = pl.DataFrame(texts, height=columns.height)
        data = frame.with_columns(_members(types)).select(_OBJECTS)
        return ExtractionResult(data=data, errors=errors)


class _Fragment:
    """`"name":value` of one metric, null where a transaction does not have it."""

    def __init__(self, metric: Metric, schema: Mapping[str, pl.DataType]) -> None:
        self.metric_type = metric.metric_type
        self.where = metric.where
        self.text = _named(metric, schema)
        self.expression = (
            self.text if metric.where is None else pl.when(metric.where).then(self.text)
        )
        #: columns that it needs, and one more in case that it is a constant
        self.reads = {*self.expression.meta.root_names(), next(iter(schema))}


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


def _evaluate_group(
    columns: pl.DataFrame, fragments: Sequence[_Fragment]
) -> tuple[list[pl.Series], dict[int, str]]:
    """The texts of one group, and row -> error class where any of its metrics failed."""
    try:
        return [_evaluate(columns, part.expression) for part in fragments], {}
    except _FAILURES:
        failed: dict[int, str] = {}
        texts = [_evaluate_fragment(columns, part, failed) for part in fragments]
        for row in failed:
            for values in texts:
                values[row] = None
        return [pl.Series(values, dtype=pl.String) for values in texts], failed


def _evaluate(columns: pl.DataFrame, expression: pl.Expr) -> pl.Series:
    """One value per row. polars refuses some that are the same on every row: `2 = NULLIF(a, a)`."""
    values = columns.select(value=expression)["value"]
    return values if len(values) == columns.height else values.new_from_index(0, columns.height)


def _evaluate_fragment(
    columns: pl.DataFrame, fragment: _Fragment, failed: dict[int, str]
) -> list[Any]:
    """The texts of one metric; only rows that its condition takes can fail."""
    rows = list(range(columns.height))
    columns = columns.select(fragment.reads)
    if fragment.where is not None:
        taken = _by_halves(columns, rows, fragment.where, failed)
        rows = [row for row in rows if taken[row]]
    texts = _by_halves(columns[rows], rows, fragment.text, failed)
    values: list[Any] = [None] * columns.height
    for row, text in zip(rows, texts, strict=True):
        values[row] = text
    return values


def _by_halves(
    columns: pl.DataFrame, rows: Sequence[int], expression: pl.Expr, failed: dict[int, str]
) -> list[Any]:
    """Evaluate on all rows, else on each half, down to the rows that fail by themselves."""
    if not rows:
        return []
    try:
        return _evaluate(columns, expression).to_list()
    except _FAILURES as exc:
        if len(rows) == 1:
            failed.setdefault(rows[0], type(exc).__name__)
            return [None]
    middle = len(rows) // 2
    return [
        *_by_halves(columns[:middle], rows[:middle], expression, failed),
        *_by_halves(columns[middle:], rows[middle:], expression, failed),
    ]
