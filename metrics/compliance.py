"""Compliance rules that look at one event: compiled, and what they find.

```yaml
name: default
rules:
  - name: aml_large_amount
    description: Single payments of 50,000 units and more must be reported in most countries.
    family: aml
    severity: critical
    where: transaction_type <> 'refund' AND amount >= 50000
    evidence: [amount, currency, customer_id]
```
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from metrics.builtin import VIOLATIONS
from metrics.expressions import Kind
from metrics.isolation import FAILURES, Guarded, RuleFailure, evaluate_apart
from metrics.reading import RuleReader, rule_version
from metrics.remembered import remembered
from metrics.rollups import window_start
from metrics.windows import WINDOW_KEY, WINDOW_SCHEMA, group_key

FAMILIES: Final = ("aml", "kyc", "pci", "data_quality", "business_rule")
SEVERITIES: Final = ("low", "medium", "high", "critical")
#: columns shown with a finding
MAX_EVIDENCE: Final = 10
_DOCUMENT_KEYS: Final = frozenset({"name", "rules"})
_RULE_KEYS: Final = frozenset({"name", "description", "family", "severity", "where", "evidence"})

#: what `find` gives: one row per event and rule it broke, by ordinal and rule
FINDINGS: Final[Mapping[str, pl.DataType]] = {
    "ordinal": pl.Int64(),
    "rule": pl.String(),
    "rule_version": pl.Int64(),
    "family": pl.String(),
    "severity": pl.String(),
    "evidence": pl.String(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplianceRule:
    """One rule; `where` is canonical SQL over the columns of one transaction."""

    name: str
    description: str
    family: str
    severity: str
    where: str
    evidence: tuple[str, ...]

    @property
    def version(self) -> int:
        """Changes with what the rule finds and how bad it is, never with what is said of it."""
        return rule_version(
            {
                "name": self.name,
                "family": self.family,
                "severity": self.severity,
                "where": self.where,
                "evidence": self.evidence,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What the rules found in a batch."""

    #: columns of FINDINGS
    rows: pl.DataFrame
    errors: Mapping[str, RuleFailure]


class CompiledCompliance:
    """A compliance rule set ready for batches of one schema's transactions."""

    def __init__(
        self, rules: tuple[ComplianceRule, ...], *, schema: Mapping[str, pl.DataType]
    ) -> None:
        self.rules = rules
        self._members = {
            rule.name: [Guarded(value=pl.sql_expr(rule.where), dtype=pl.Boolean())]
            for rule in rules
        }
        self._flags = [members[0].value.alias(name) for name, members in self._members.items()]
        self._evidence = {rule.name: _evidence(rule, schema) for rule in rules}

    def find(self, columns: pl.DataFrame) -> Findings:
        """The findings among transactions with an `ordinal`; never raises for what one holds."""
        errors: Mapping[str, RuleFailure] = {}
        try:
            flags = columns.lazy().with_columns(self._flags).select(list(self._members)).collect()
        except FAILURES:
            found, errors = evaluate_apart(columns, self._members)
            flags = pl.DataFrame({name: series[0] for name, series in found.items()})
        hits = flags.select(pl.all().any(ignore_nulls=True))
        rows = [
            self._rows(columns.filter(flags[rule.name]), rule)
            for rule in self.rules
            if hits[rule.name].item()
        ]
        empty = pl.DataFrame(schema=dict(FINDINGS))
        return Findings(rows=pl.concat([empty, *rows]).sort("ordinal", "rule"), errors=errors)

    def _rows(self, broken: pl.DataFrame, rule: ComplianceRule) -> pl.DataFrame:
        return broken.select(
            ordinal=pl.col("ordinal").cast(pl.Int64),
            rule=pl.lit(rule.name),
            rule_version=pl.lit(rule.version, pl.Int64),
            family=pl.lit(rule.family),
            severity=pl.lit(rule.severity),
            evidence=self._evidence[rule.name],
        )


@remembered
def compile_compliance(
    document: Mapping[str, Any],
    *,
    attributes: Mapping[str, pl.DataType],
    elsewhere: Mapping[str, pl.DataType] | None = None,
) -> CompiledCompliance:
    """Compile a compliance rule set for transactions with these further attributes.

    Rules that name a common attribute (metrics/columns.py), or one of `elsewhere`, which is not
    among them are checked and left out. Raises ConfigurationError with every problem found and the
    JSON pointer to each.
    """
    reader = _Reader(attributes, elsewhere=elsewhere)
    reader.refuse_unknown("", document, _DOCUMENT_KEYS)
    found = [reader.rule(at, entry) for at, entry in reader.items(document, "rules")]
    reader.raise_problems()
    rules = tuple(rule for rule in found if rule is not None)
    return CompiledCompliance(rules, schema=reader.schema)


class _Reader(RuleReader):
    def rule(self, at: str, entry: Any) -> ComplianceRule | None:
        if not isinstance(entry, Mapping):
            self.problem(at, "must be an object")
            return None
        self.begin(entry)
        self.refuse_unknown(at, entry, _RULE_KEYS)
        name, description = self.rule_name(at, entry), self.description(at, entry)
        family = self.one_of(f"{at}/family", entry.get("family"), FAMILIES)
        severity = self.one_of(f"{at}/severity", entry.get("severity"), SEVERITIES)
        where = self.formula(f"{at}/where", entry.get("where"), boolean=True)
        evidence = self.columns(
            f"{at}/evidence", entry.get("evidence"), kinds=list(Kind), most=MAX_EVIDENCE
        )
        if where is None or self.unmapped:
            return None
        return ComplianceRule(
            name=name,
            description=description,
            family=family,
            severity=severity,
            where=where,
            evidence=evidence,
        )


def violation_windows(findings: pl.DataFrame) -> pl.DataFrame:
    """Cells of metric_windows that count findings (with `occurred_at`) by rule and severity."""
    counted = findings.group_by(window_start("occurred_at", 300), "rule", "severity").agg(
        transactions=pl.len().cast(pl.Int64)
    )
    constants = {
        "rule": pl.lit(VIOLATIONS),
        "rule_version": pl.lit(0, pl.Int64),
        "window_s": pl.lit(300, pl.Int32),
        "denominator": pl.lit(0).cast(WINDOW_SCHEMA["denominator"]),
    }
    known = counted.with_columns(
        group_key=group_key(("rule", "severity")),
        value_sum=pl.col("transactions").cast(WINDOW_SCHEMA["value_sum"]),
    ).with_columns(**constants)
    absent = {
        name: pl.lit(None, dtype)
        for name, dtype in WINDOW_SCHEMA.items()
        if name not in known.columns
    }
    return known.with_columns(**absent).select(list(WINDOW_SCHEMA)).sort(WINDOW_KEY)


def _evidence(rule: ComplianceRule, schema: Mapping[str, pl.DataType]) -> pl.Expr:
    """The values that the rule saw as a JSON object; numbers that must stay exact are texts."""
    columns = [
        pl.col(name).dt.to_string("iso:strict") if schema[name].is_temporal() else pl.col(name)
        for name in rule.evidence
    ]
    return pl.struct(columns).struct.json_encode()
