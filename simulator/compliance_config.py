"""What a simulation is told about violations: scenarios (families) and their patterns.

Of all events, `total_violation_percentage` belong to a violation. A scenario's `percentage` is its
share of these, a pattern's `frequency` its share of the scenario's; both sum to 1 over what is
enabled. So the share of a kind in all events is the product of the three, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class KindInfo:
    """A kind of violation and what its pattern takes."""

    severity: str
    #: events of one pattern by default, and seconds of event time between first and last
    transactions: int = 1
    window_s: float = 0
    #: keys of a pattern that mean something to this kind
    options: frozenset[str] = frozenset()


_SPREAD = frozenset({"transaction_count", "time_window_minutes", "time_window_seconds"})

#: scenario -> pattern -> what it is; the kind is "<scenario>_<pattern>"
CATALOGUE: dict[str, dict[str, KindInfo]] = {
    "aml": {
        "structuring": KindInfo(
            severity="high",
            transactions=5,
            window_s=3_600,
            options=_SPREAD | {"threshold"},
        ),
        "large_amount": KindInfo(severity="critical", options=frozenset({"min_amount"})),
        "rapid_fire": KindInfo(severity="low", transactions=100, window_s=60, options=_SPREAD),
    },
    "kyc": {
        "missing_customer_id": KindInfo(severity="high"),
        "invalid_email": KindInfo(severity="low"),
        "missing_country": KindInfo(severity="low"),
    },
    "pci": {
        "missing_card_data": KindInfo(severity="critical"),
        "invalid_card_brand": KindInfo(severity="low"),
    },
    "data_quality": {
        "negative_amount": KindInfo(severity="medium"),
        "zero_amount": KindInfo(severity="medium"),
        "invalid_currency": KindInfo(severity="low"),
        "invalid_status": KindInfo(severity="low"),
        "future_timestamp": KindInfo(severity="low"),
    },
    "business_rule": {
        "status_mismatch": KindInfo(severity="low"),
        "orphan_refund": KindInfo(severity="low"),
        "currency_mismatch": KindInfo(
            severity="low",
            transactions=2,
            window_s=60,
            options=frozenset({"time_window_minutes", "time_window_seconds"}),
        ),
    },
    "fraud": {
        "card_testing": KindInfo(severity="high", transactions=40, window_s=60, options=_SPREAD),
    },
}


class PatternConfig(BaseModel):
    """One kind of violation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    enabled: bool = True
    #: of the scenario's violating events
    frequency: float = Field(ge=0, le=1)
    #: structuring: every amount stays below it, all together exceed it (major units)
    threshold: float | None = Field(default=None, gt=0)
    #: large_amount: no payment is smaller (major units)
    min_amount: float | None = Field(default=None, gt=0)
    #: events of one pattern
    transaction_count: int | None = Field(default=None, ge=2, le=1_000)
    #: the time in which all events of one pattern lie; say one of the two
    time_window_minutes: float | None = Field(default=None, gt=0)
    time_window_seconds: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_window(self) -> Self:
        if self.time_window_minutes is not None and self.time_window_seconds is not None:
            raise ValueError("say time_window_minutes or time_window_seconds, not both")
        return self


class ScenarioConfig(BaseModel):
    """A family of violations."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    enabled: bool = True
    #: of all violating events
    percentage: float = Field(ge=0, le=1)
    patterns: dict[str, PatternConfig] = Field(min_length=1)


class ComplianceConfig(BaseModel):
    """How much of the traffic breaks rules, and which."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    enabled: bool = False
    #: share of all events, 0.13 for 13 %
    total_violation_percentage: float = Field(default=0.13, ge=0, le=0.8)
    #: JSON Lines of what was done on purpose; never in the event
    answer_key: str | None = None
    scenarios: dict[str, ScenarioConfig] = {}

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        for name, scenario in self.scenarios.items():
            _check_patterns(name, scenario)
        on = {name: item for name, item in self.scenarios.items() if item.enabled}
        if self.enabled and self.total_violation_percentage:
            if not on:
                raise ValueError("compliance is enabled, and no scenario is")
            _require_one("scenarios.<name>.percentage", [s.percentage for s in on.values()])
        return self

    def planned(self) -> list[Planned]:
        """The kinds that happen, with their true shares."""
        on = {name: item for name, item in self.scenarios.items() if item.enabled}
        if not self.enabled or not self.total_violation_percentage:
            return []
        whole = fsum(scenario.percentage for scenario in on.values())
        planned = []
        for name, scenario in on.items():
            patterns = {key: p for key, p in scenario.patterns.items() if p.enabled}
            within = fsum(pattern.frequency for pattern in patterns.values())
            share = self.total_violation_percentage * scenario.percentage / whole
            planned += [
                _planned(name, key, pattern, share=share * pattern.frequency / within)
                for key, pattern in patterns.items()
            ]
        return [item for item in planned if item.share]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A kind of violation as it will happen."""

    kind: str
    #: of all events
    share: float
    #: events of one pattern
    transactions: int
    #: seconds in which they lie
    window_s: float
    #: minor units times 100 where a currency has none, like every amount here
    threshold_cents: int
    min_amount_cents: int


def _planned(scenario: str, name: str, pattern: PatternConfig, *, share: float) -> Planned:
    info = CATALOGUE[scenario][name]
    window_s = pattern.time_window_seconds or (pattern.time_window_minutes or 0) * 60
    return Planned(
        kind=f"{scenario}_{name}",
        share=share,
        transactions=pattern.transaction_count or info.transactions,
        window_s=window_s or info.window_s,
        threshold_cents=round((pattern.threshold or 10_000) * 100),
        min_amount_cents=round((pattern.min_amount or 50_000) * 100),
    )


def _check_patterns(name: str, scenario: ScenarioConfig) -> None:
    if name not in CATALOGUE:
        raise ValueError(f"scenarios.{name} is not known, only {', '.join(CATALOGUE)}")
    for key, pattern in scenario.patterns.items():
        place = f"scenarios.{name}.patterns.{key}"
        if key not in CATALOGUE[name]:
            raise ValueError(f"{place} is not known, only {', '.join(CATALOGUE[name])}")
        stated = pattern.model_fields_set - {"enabled", "frequency"}
        if useless := sorted(stated - CATALOGUE[name][key].options):
            raise ValueError(f"{place}.{useless[0]} means nothing to this pattern")
    on = [pattern.frequency for pattern in scenario.patterns.values() if pattern.enabled]
    if scenario.enabled:
        _require_one(f"scenarios.{name}.patterns.<name>.frequency", on)


def _require_one(what: str, shares: list[float]) -> None:
    if abs(fsum(shares) - 1) > _TOLERANCE:
        raise ValueError(f"{what} of what is enabled sums to {fsum(shares):g}, not to 1")
