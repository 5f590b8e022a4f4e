"""What can be explored: every rule of the active rule sets, and measures over the roll-ups."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from configuration.models import ConfigurationVersion
from metrics.builtin import BUILTIN, VIOLATIONS
from metrics.dimensions import DIMENSIONS
from metrics.sketches import WINDOW_S
from payflow.lib.errors import PayflowError

#: the unit of amounts
MONEY: Final = "money"
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_AMOUNT: Final = re.compile(r"\bamount\b", re.IGNORECASE)


class Kind(StrEnum):
    """How cells of a metric add up, and which of their numbers a person reads."""

    #: a sum
    COUNTER = "COUNTER"
    #: smallest, largest and last value
    GAUGE = "GAUGE"
    #: quantiles from buckets
    HISTOGRAM = "HISTOGRAM"
    #: one sum over another, a share
    RATE = "RATE"
    #: one sum over another, in the metric's own unit
    AVERAGE = "AVERAGE"
    #: an estimate of how many different ones; those of steps do not add up
    DISTINCT = "DISTINCT"


class UnknownMetric(PayflowError):
    """No active rule set and no built-in metric has this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric that has windows to read."""

    #: how addresses and read_series() call it
    name: str
    description: str
    kind: Kind
    #: what it can be grouped and filtered by
    dimensions: tuple[str, ...]
    #: length of its windows, seconds
    window_s: int
    #: who gives it: "Payments", "Built in", or "Rule set NAME"
    origin: str
    #: "ms", MONEY (in the currency of the group) or "" (a number of things)
    unit: str = ""

    #: its sums are of amounts: never added up across currencies
    is_per_currency: bool = False
    #: the rule's name in the tables; "" for a measure over payment_metrics
    rule: str = ""

    @property
    def is_money(self) -> bool:
        """Its values are in the unit of their currency."""
        return self.unit == MONEY


def _measure(name: str, kind: Kind, description: str, unit: str = "") -> Metric:
    return Metric(
        name=name,
        description=description,
        kind=kind,
        dimensions=DIMENSIONS,
        window_s=300,
        origin="Payments",
        unit=unit,
        is_per_currency=unit == MONEY,
    )


def _distinct(name: str, description: str) -> Metric:
    return Metric(
        name=name,
        description=description,
        kind=Kind.DISTINCT,
        dimensions=(),
        window_s=WINDOW_S,
        origin="Payments",
    )


#: measures over payment_metrics_5m and _1h and distinct_counts, whatever the rule sets say
MEASURES: Final[Mapping[str, Metric]] = {
    metric.name: metric
    for metric in (
        _measure(
            "transactions",
            Kind.COUNTER,
            "Accepted events. A fall to nothing is a producer that stopped; a jump is a replay.",
        ),
        _measure(
            "success_rate",
            Kind.RATE,
            "Completed over completed and failed events. The first number to fall when an "
            "acquirer, a bank or a release breaks.",
        ),
        _measure(
            "amount",
            Kind.COUNTER,
            "Sum of all amounts, per currency. Says what a change in counts is worth.",
            MONEY,
        ),
        _measure(
            "average_amount",
            Kind.AVERAGE,
            "Amount of an average event, per currency. Moves when the mix of payments does.",
            MONEY,
        ),
        _measure(
            "amount_range",
            Kind.GAUGE,
            "Smallest and largest amount, per currency. One wrong unit shows here at once.",
            MONEY,
        ),
        _measure(
            "latency_average_ms",
            Kind.AVERAGE,
            "Average processing time of the events that state it.",
            "ms",
        ),
        _measure(
            "latency_max_ms",
            Kind.GAUGE,
            "Longest processing time that an event states.",
            "ms",
        ),
        _distinct(
            "customers",
            "Different customers, each once however often they pay: an estimate, within 2 % in 95 "
            "of 100 cases. Payments that fall while customers do not: people pay less often.",
        ),
        _distinct(
            "merchants",
            "Different merchants, each once: an estimate, within 2 % in 95 of 100 cases. A fall "
            "is a shop, or a gateway with all its shops, that went quiet.",
        ),
    )
}


def known_metrics() -> dict[str, Metric]:
    """Every metric that can be explored by its name: measures, built-in ones, active rules.

    A rule that has the name of a measure is called "rule.NAME". Where two active rule sets have a
    rule of one name, the windows of both lie together, and the first set describes them.
    """
    found = dict(MEASURES)
    for metric in (*_builtin(), *_active_rules()):
        name = f"rule.{metric.rule}" if metric.rule in MEASURES else metric.rule
        found.setdefault(name, replace(metric, name=name))
    return found


def find_metric(name: str) -> Metric:
    """The metric of this name; raises UnknownMetric."""
    metric = MEASURES.get(name) or known_metrics().get(name)
    if metric is None:
        raise UnknownMetric(f"There is no metric {name[:80]!r} in the active rule sets.")
    return metric


def _builtin() -> Iterable[Metric]:
    for rule in BUILTIN["metrics"]:
        yield _rule(rule, origin="Built in")
    yield Metric(
        name=VIOLATIONS,
        rule=VIOLATIONS,
        description="Findings of compliance rules, by rule and severity.",
        kind=Kind.COUNTER,
        dimensions=("rule", "severity"),
        window_s=300,
        origin="Built in",
    )


def _active_rules() -> Iterable[Metric]:
    versions = ConfigurationVersion.objects.filter(
        kind=ConfigurationVersion.Kind.METRICS, status=ConfigurationVersion.Status.ACTIVE
    ).order_by("name")
    for version in versions:
        for rule in version.document.get("metrics", []):
            yield _rule(rule, origin=f"Rule set {version}")


def _rule(rule: Mapping[str, Any], *, origin: str) -> Metric:
    """A rule as its document says it: it was compiled before it became active."""
    kind = Kind(rule["type"])
    reads_amount = any(
        _AMOUNT.search(str(rule.get(key, ""))) for key in ("value", "numerator", "denominator")
    )
    dimensions = tuple(rule.get("group_by", ()))
    if reads_amount:
        dimensions = (*(name for name in dimensions if name != "currency"), "currency")
    return Metric(
        name=rule["name"],
        rule=rule["name"],
        description=" ".join(rule["description"].split()),
        kind=kind,
        dimensions=dimensions,
        window_s=_window_s(str(rule.get("window", "1h" if kind is Kind.HISTOGRAM else "5m"))),
        origin=origin,
        unit=MONEY if reads_amount and kind is not Kind.RATE else _unit(rule["name"]),
        is_per_currency=reads_amount,
    )


def _window_s(window: str) -> int:
    return int(window[:-1]) * _SECONDS[window[-1]]


def _unit(name: str) -> str:
    return "ms" if name.endswith("_ms") else ""
