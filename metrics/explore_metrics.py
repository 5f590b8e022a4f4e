"""What can be explored: every rule of the active rule sets, and measures over the roll-ups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from metrics.dimensions import DIMENSIONS
from payflow.lib.errors import PayflowError


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
    #: "ms" or "" (a number of things); amounts are in the currency of their group
    unit: str = ""

    @property
    def is_money(self) -> bool:
        """Its values are amounts: never added up across currencies."""
        return "currency" in self.dimensions and self.unit == "money"


def _measure(name: str, kind: Kind, description: str, unit: str = "") -> Metric:
    return Metric(
        name=name,
        description=description,
        kind=kind,
        dimensions=DIMENSIONS,
        window_s=300,
        origin="Payments",
        unit=unit,
    )


#: measures over payment_metrics_5m and _1h, whatever the rule sets say
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
            "money",
        ),
        _measure(
            "average_amount",
            Kind.AVERAGE,
            "Amount of an average event, per currency. Moves when the mix of payments does.",
            "money",
        ),
        _measure(
            "amount_range",
            Kind.GAUGE,
            "Smallest and largest amount, per currency. One wrong unit shows here at once.",
            "money",
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
    )
}
