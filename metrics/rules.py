"""A metric rule set, as people write it, compiled into columns.

```yaml
name: default
extractors: [transaction_status, transaction_amount, channel_failure_rate]
metrics:
  - name: high_value
    description: Payments above 10,000 units; a jump is a new customer segment or a fraud ring.
    type: COUNTER
    where: amount > 10000
  - name: merchant_approval
    description: ...
    type: RATE
    numerator: payment_status = 'completed'
    denominator: 1
    group_by: [merchant_id]
    window: 1h
```
A COUNTER without `value` counts 1. A rule with neither `group_by` nor `window` is kept with each
transaction and added up per 5 minutes; any other is added up per window and group only. Sums never
cross currencies: a rule whose value reads `amount` is grouped by currency too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import polars as pl
from polars.exceptions import PanicException, PolarsError

from metrics.builtin import BUILTIN, VIOLATIONS
from metrics.expressions import Kind, kind_of
from metrics.extraction import ExtractionResult, MetricGroup, MetricsExtractor
from metrics.extractors import EXTRACTORS, Metric, MetricExtractor, MetricType
from metrics.isolation import merge_failures
from metrics.reading import RuleReader, rule_version
from metrics.remembered import remembered
from metrics.windows import WindowEngine, WindowRule

#: lengths of windows in seconds: each divides a day or is whole days, so that none straddles
WINDOWS_S: Final = (60, 300, 900, 3_600, 21_600, 86_400, 604_800)
MAX_GROUPS: Final = 4

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_GROUP_KINDS: Final = (Kind.TEXT, Kind.BOOLEAN, Kind.INTEGER)
_DOCUMENT_KEYS = frozenset({"name", "extractors", "metrics"})
_RULE_KEYS = frozenset(
    {
        "name",
        "description",
        "type",
        "where",
        "value",
        "numerator",
        "denominator",
        "group_by",
        "window",
    }
)
_FORMULAS = ("where", "value", "numerator", "denominator")
#: metric type -> formulas it needs, formulas it may have
_FORMULAS_OF: Mapping[MetricType, tuple[frozenset[str], frozenset[str]]] = {
    MetricType.COUNTER: (frozenset(), frozenset({"where", "value"})),
    MetricType.GAUGE: (frozenset({"value"}), frozenset({"where"})),
    MetricType.HISTOGRAM: (frozenset({"value"}), frozenset({"where"})),
    MetricType.RATE: (frozenset({"numerator", "denominator"}), frozenset({"where"})),
}
_ORDINARY: Mapping[str, Any] = {
    "occurred_at": datetime(2024, 2, 29, 12, tzinfo=UTC),
    "amount": Decimal("12.3400"),
    "latency_us": 250_000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRule:
    """One rule; its formulas are canonical SQL over the columns of one transaction."""

    name: str
    description: str
    metric_type: MetricType
    where: str | None = None
    value: str | None = None
    numerator: str | None = None
    denominator: str | None = None
    #: columns and attributes; the currency of an amount is one of them
    group_by: tuple[str, ...] = ()
    window_s: int = 300
    #: kept with each transaction too
    is_per_transaction: bool = True

    @property
    def version(self) -> int:
        """Changes with what the rule computes, never with what is said about it."""
        return rule_version(
            {
                "name": self.name,
                "type": self.metric_type,
                **{key: getattr(self, key) for key in _FORMULAS},
                "group_by": self.group_by,
                "window_s": self.window_s,
            }
        )

    def window(self) -> WindowRule:
        return WindowRule(
            metric=self.metric(),
            version=self.version,
            window_s=self.window_s,
            group_by=self.group_by,
        )

    def metric(self) -> Metric:
        value = self.numerator if self.metric_type is MetricType.RATE else self.value
        return Metric(
            name=self.name,
            metric_type=self.metric_type,
            value=_expression(value),
            denominator=_expression(self.denominator),
            where=_expression(self.where),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledMetrics:
    """A rule set ready for batches of one schema's transactions."""

    #: of the set, without those that are built in
    rules: tuple[MetricRule, ...]
    engine: MetricsExtractor
    windows: WindowEngine

    def extract(self, columns: pl.DataFrame) -> ExtractionResult:
        """The metrics of each transaction in `columns`; never raises for what one of them holds."""
        kept, added = self.engine.extract(columns), self.windows.values(columns)
        return ExtractionResult(
            data=kept.data,
            window_values=added.data,
            errors=merge_failures(kept.errors, added.errors),
        )


def builtin_rules() -> tuple[MetricRule, ...]:
    """The windowed metrics that are always there, whatever the rule set."""
    reader = _Reader({})
    rules = [reader.rule(at, entry) for at, entry in reader.items(BUILTIN, "metrics")]
    reader.raise_problems()
    return tuple(rule for rule in rules if rule is not None)


@remembered
def compile_metrics(
    document: Mapping[str, Any],
    *,
    attributes: Mapping[str, pl.DataType],
    elsewhere: Mapping[str, pl.DataType] | None = None,
) -> CompiledMetrics:
    """Compile a rule set for transactions with these further attributes.

    Rules that name a common attribute (metrics/columns.py), or one of `elsewhere`, which is not
    among them are checked and left out. Raises ConfigurationError with every problem found and the
    JSON pointer to each.
    """
    reader = _Reader(
        attributes,
        elsewhere=elsewhere,
        reserved=(*(rule.name for rule in _BUILTIN), VIOLATIONS),
    )
    parts = reader.parts(document)
    reader.raise_problems()
    rules = tuple(part for part in parts if isinstance(part, MetricRule))
    groups = [
        _group_of(part)
        for part in parts
        if isinstance(part, MetricExtractor) or part.is_per_transaction
    ]
    return CompiledMetrics(
        rules=rules,
        engine=MetricsExtractor(groups, schema=reader.schema),
        windows=WindowEngine([rule.window() for rule in _BUILTIN + rules], schema=reader.schema),
    )


def _expression(sql: str | None) -> pl.Expr | None:
    return None if sql is None else pl.sql_expr(sql)


class _Reader(RuleReader):
    """Reads the parts of a metric rule set."""

    def parts(self, document: Mapping[str, Any]) -> list[MetricRule | MetricExtractor]:
        self.refuse_unknown("", document, _DOCUMENT_KEYS)
        found = [
            *(self.extractor(at, value) for at, value in self.items(document, "extractors")),
            *(self.rule(at, value) for at, value in self.items(document, "metrics")),
        ]
        return [part for part in found if part is not None]

    def extractor(self, at: str, name: Any) -> MetricExtractor | None:
        if not isinstance(name, str) or name not in EXTRACTORS:
            known = ", ".join(sorted(EXTRACTORS))
            self.problem(at, f"unknown extractor {name!r}; known are {known}")
            return None
        extractor = EXTRACTORS[name]()
        for taken in {name, *(metric.name for metric in extractor.metrics())}:
            self.take_name(at, taken, owner=at)
        return extractor

    def rule(self, at: str, entry: Any) -> MetricRule | None:
        if not isinstance(entry, Mapping):
            self.problem(at, "must be an object")
            return None
        before = len(self.problems)
        self.begin(entry)
        self.refuse_unknown(at, entry, _RULE_KEYS)
        name = self.rule_name(at, entry)
        description = self.description(at, entry)
        metric_type = self.metric_type(at, entry)
        formulas = {
            key: self.formula(f"{at}/{key}", entry[key], boolean=key == "where")
            for key in _FORMULAS
            if key in entry
        }
        group_by = self.group_by(at, entry)
        window_s = self.window_s(at, entry, metric_type)
        if len(self.problems) > before or metric_type is None or self.unmapped:
            return None
        if any(_reads_amount(formulas.get(key)) for key in _FORMULAS[1:]):
            group_by = (*(name for name in group_by if name != "currency"), "currency")
        rule = MetricRule(
            name=name,
            description=description,
            metric_type=metric_type,
            group_by=group_by,
            window_s=window_s,
            is_per_transaction="group_by" not in entry and "window" not in entry,
            **formulas,
        )
        return self.tried(at, rule)

    def group_by(self, at: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
        if "group_by" not in entry:
            return ()
        names = entry["group_by"]
        return self.columns(f"{at}/group_by", names, kinds=_GROUP_KINDS, most=MAX_GROUPS)

    def window_s(self, at: str, entry: Mapping[str, Any], metric_type: MetricType | None) -> int:
        """Seconds of the window; a HISTOGRAM has an hour by default, all others 5 minutes."""
        if "window" not in entry:
            return 3_600 if metric_type is MetricType.HISTOGRAM else 300
        match = re.fullmatch(r"([1-9]\d{0,5})([smhd])", str(entry["window"]))
        seconds = int(match[1]) * _UNITS[match[2]] if match else 0
        if seconds not in WINDOWS_S:
            self.problem(f"{at}/window", "must be 1m, 5m, 15m, 1h, 6h, 1d or 7d")
        return seconds

    def metric_type(self, at: str, entry: Mapping[str, Any]) -> MetricType | None:
        """The type, if the formulas are the ones it needs."""
        given = entry.get("type")
        if given not in list(MetricType):
            known = ", ".join(MetricType)
            self.problem(f"{at}/type", f"must be one of {known}, not {given!r}")
            return None
        metric_type = MetricType(given)
        needed, optional = _FORMULAS_OF[metric_type]
        for key in _FORMULAS:
            if key in entry and key not in needed | optional:
                self.problem(f"{at}/{key}", f"a {metric_type} has no {key}")
            if key not in entry and key in needed:
                self.problem(f"{at}/{key}", f"a {metric_type} needs a {key}")
        return metric_type

    def tried(self, at: str, rule: MetricRule) -> MetricRule | None:
        """The rule, if it gives no error on an ordinary transaction."""
        sample = ordinary(self.schema, rows=1)
        try:
            errors = merge_failures(
                MetricsExtractor([_group_of(rule)], schema=self.schema).extract(sample).errors,
                WindowEngine([rule.window()], schema=self.schema).values(sample).errors,
            )
        except (PolarsError, PanicException) as exc:
            self.problem(at, f"cannot be computed ({type(exc).__name__})")
            return None
        for failure in errors.values():
            self.problem(at, f"fails on an ordinary transaction ({failure.error_class})")
        return rule


def _group_of(part: MetricRule | MetricExtractor) -> MetricGroup:
    if isinstance(part, MetricRule):
        return MetricGroup(owner=part.name, metrics=[part.metric()])
    return MetricGroup(owner=part.name, metrics=part.metrics())


def ordinary(schema: Mapping[str, pl.DataType], *, rows: int) -> pl.DataFrame:
    """Transactions, all alike, for which every sensible rule can be computed."""
    other = {Kind.TEXT: "text", Kind.BOOLEAN: True, Kind.FLOAT: 0.5}
    values = {
        name: _ORDINARY.get(name, other.get(kind_of(dtype), 1)) for name, dtype in schema.items()
    }
    return pl.DataFrame({name: [value] * rows for name, value in values.items()}, schema=schema)


def _reads_amount(sql: str | None) -> bool:
    """Whether a formula reads the amount, other than to compare it."""
    return sql is not None and "amount" in pl.sql_expr(sql).meta.root_names()


_BUILTIN: Final = builtin_rules()
