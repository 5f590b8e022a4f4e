"""A metric rule set, as people write it, compiled into columns.

```yaml
name: default
extractors: [transaction_status, transaction_amount, channel_failure_rate]
metrics:
  - name: high_value
    description: Payments above 10,000 units; a jump is a new customer segment or a fraud ring.
    type: COUNTER
    where: amount > 10000
  - name: soft_decline_rate
    description: ...
    type: RATE
    numerator: error_code IN ('do_not_honor', 'insufficient_funds')
    denominator: 1
```
A COUNTER without `value` counts 1. Windows and groups of windowed rules are not known yet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
from polars.exceptions import PanicException, PolarsError

from metrics.columns import TRANSACTION_COLUMNS
from metrics.expressions import ExpressionError, Kind, compile_expression, kind_of
from metrics.extraction import ExtractionResult, MetricGroup, MetricsExtractor
from metrics.extractors import EXTRACTORS, Metric, MetricExtractor, MetricType
from payflow.lib.errors import ConfigurationError, Problem

#: rules of one set
MAX_RULES = 500

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_DOCUMENT_KEYS = frozenset({"name", "extractors", "metrics"})
_RULE_KEYS = frozenset(
    {"name", "description", "type", "where", "value", "numerator", "denominator"}
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

    rules: tuple[MetricRule, ...]
    engine: MetricsExtractor

    def extract(self, columns: pl.DataFrame) -> ExtractionResult:
        """The metrics of each transaction in `columns`; never raises for what one of them holds."""
        return self.engine.extract(columns)


def compile_metrics(
    document: Mapping[str, Any], *, attributes: Mapping[str, pl.DataType]
) -> CompiledMetrics:
    """Compile a rule set for transactions with these further attributes.

    Raises ConfigurationError with every problem found and the JSON pointer to each.
    """
    return _Compiler(attributes).compile(document)


def _expression(sql: str | None) -> pl.Expr | None:
    return None if sql is None else pl.sql_expr(sql)


class _Compiler:
    """Collects problems while it reads; what it returns is only used when there are none."""

    def __init__(self, attributes: Mapping[str, pl.DataType]) -> None:
        self.schema: dict[str, pl.DataType] = {**attributes, **TRANSACTION_COLUMNS}
        self.kinds: dict[str, Kind] = {name: kind_of(t) for name, t in self.schema.items()}
        self.problems: list[Problem] = []
        #: name of a metric, rule or extractor -> pointer to who has it
        self.names: dict[str, str] = {}

    def problem(self, pointer: str, message: str) -> None:
        self.problems.append(Problem(pointer=pointer, message=message))

    def compile(self, document: Mapping[str, Any]) -> CompiledMetrics:
        self.refuse_unknown("", document, _DOCUMENT_KEYS)
        found = [
            *(self.extractor(at, value) for at, value in self.items(document, "extractors")),
            *(self.rule(at, value) for at, value in self.items(document, "metrics")),
        ]
        if self.problems:
            raise ConfigurationError(self.problems)
        parts = [part for part in found if part is not None]
        return CompiledMetrics(
            rules=tuple(part for part in parts if isinstance(part, MetricRule)),
            engine=MetricsExtractor([_group_of(part) for part in parts], schema=self.schema),
        )

    def refuse_unknown(self, at: str, value: Mapping[str, Any], known: frozenset[str]) -> None:
        for key in value:
            if key not in known:
                token = str(key).replace("~", "~0").replace("/", "~1")
                self.problem(f"{at}/{token}", f"unknown key; known are {', '.join(sorted(known))}")

    def items(self, document: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
        """The entries of a list in the document with their pointers."""
        entries = document.get(key, [])
        if not isinstance(entries, list):
            self.problem(f"/{key}", "must be a list")
            return []
        if len(entries) > MAX_RULES:
            self.problem(f"/{key}", f"has {len(entries)} entries, at most {MAX_RULES} are allowed")
            return []
        return [(f"/{key}/{number}", entry) for number, entry in enumerate(entries)]

    def extractor(self, at: str, name: Any) -> MetricExtractor | None:
        if not isinstance(name, str) or name not in EXTRACTORS:
            self.problem(at, f"unknown extractor; known are {', '.join(sorted(EXTRACTORS))}")
            return None
        extractor = EXTRACTORS[name]()
        for taken in {name, *(metric.name for metric in extractor.metrics())}:
            self.take_name(at, taken, owner=at)
        return extractor

    def take_name(self, at: str, name: str, *, owner: str) -> None:
        """Names are unique over the set: two metrics of one name would overwrite each other."""
        taken = self.names.setdefault(name, owner)
        if taken != owner:
            self.problem(at, f"the name {name!r} is already used by {taken}")

    def rule(self, at: str, entry: Any) -> MetricRule | None:
        if not isinstance(entry, Mapping):
            self.problem(at, "must be an object")
            return None
        before = len(self.problems)
        self.refuse_unknown(at, entry, _RULE_KEYS)
        name = self.rule_name(at, entry)
        description = entry.get("description")
        if not isinstance(description, str) or not description.strip():
            self.problem(f"{at}/description", "must say what the rule watches and why")
        metric_type = self.metric_type(at, entry)
        formulas = {
            key: self.formula(f"{at}/{key}", entry[key], boolean=key == "where")
            for key in _FORMULAS
            if key in entry
        }
        if len(self.problems) > before or metric_type is None:
            return None
        rule = MetricRule(
            name=name, description=str(description), metric_type=metric_type, **formulas
        )
        return self.tried(at, rule)

    def rule_name(self, at: str, entry: Mapping[str, Any]) -> str:
        name = entry.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self.problem(f"{at}/name", "must be lower_snake_case, at most 63 characters")
            return ""
        self.take_name(f"{at}/name", name, owner=at)
        return name

    def metric_type(self, at: str, entry: Mapping[str, Any]) -> MetricType | None:
        """The type, if the formulas are the ones it needs."""
        given = entry.get("type")
        if given not in list(MetricType):
            self.problem(f"{at}/type", f"must be one of {', '.join(MetricType)}")
            return None
        metric_type = MetricType(given)
        needed, optional = _FORMULAS_OF[metric_type]
        for key in _FORMULAS:
            if key in entry and key not in needed | optional:
                self.problem(f"{at}/{key}", f"a {metric_type} has no {key}")
            if key not in entry and key in needed:
                self.problem(f"{at}/{key}", f"a {metric_type} needs a {key}")
        return metric_type

    def formula(self, at: str, text: Any, *, boolean: bool) -> str | None:
        """Canonical SQL of one formula; numbers may be written without quotes."""
        if isinstance(text, bool | int | float):
            text = str(text)
        if not isinstance(text, str):
            self.problem(at, "must be an expression")
            return None
        try:
            expression = compile_expression(text, self.kinds)
        except ExpressionError as exc:
            self.problem(at, str(exc))
            return None
        if boolean and expression.kind is not Kind.BOOLEAN:
            self.problem(at, f"must be true or false, not {expression.kind}")
        if not boolean and expression.kind in {Kind.TEXT, Kind.TIME}:
            self.problem(at, f"must be a number, not {expression.kind}")
        return expression.sql

    def tried(self, at: str, rule: MetricRule) -> MetricRule | None:
        """The rule, if it gives no error on an ordinary transaction."""
        sample = pl.DataFrame(
            {name: [_ordinary(name, dtype)] for name, dtype in self.schema.items()},
            schema=self.schema,
        )
        try:
            errors = MetricsExtractor([_group_of(rule)], schema=self.schema).extract(sample).errors
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


def _ordinary(name: str, dtype: pl.DataType) -> Any:
    """A value of a transaction on which every sensible rule can be computed."""
    if name in _ORDINARY:
        return _ORDINARY[name]
    return {Kind.TEXT: "text", Kind.BOOLEAN: True, Kind.FLOAT: 0.5}.get(kind_of(dtype), 1)
