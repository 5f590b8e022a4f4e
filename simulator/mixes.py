"""The types of a simulation's configuration that are no sections: shares, mixes and delays."""

from __future__ import annotations

import re
from math import fsum
from typing import Annotated, Any, Literal, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

_TOLERANCE = 0.01


def sums_to_one(mix: dict[Any, float]) -> dict[Any, float]:
    """The mix scaled to a sum of 1; ValueError when it is not about that."""
    total = fsum(mix.values())
    if abs(total - 1) > _TOLERANCE:
        raise ValueError(f"the shares sum to {total:g}, not to 1")
    return {value: share / total for value, share in mix.items()}


def _known_zones(mix: dict[str, float]) -> dict[str, float]:
    for name in mix:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError) as exc:
            raise ValueError(f"there is no time zone {name}") from exc
    return mix


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError("the first number is larger than the second")
    return bounds


def _among(*names: str) -> AfterValidator:
    """Only these names may have a share."""

    def check(mix: dict[str, float]) -> dict[str, float]:
        if unknown := [name for name in mix if name not in names]:
            raise ValueError(f"{unknown[0]!r} is not known, only {', '.join(names)}")
        return mix

    return AfterValidator(check)


def _spelled(pattern: str) -> AfterValidator:
    """Every name matches the pattern as a whole."""

    def check(mix: dict[str, float]) -> dict[str, float]:
        if wrong := [name for name in mix if not re.fullmatch(pattern, name)]:
            raise ValueError(f"{wrong[0]!r} does not match {pattern}")
        return mix

    return AfterValidator(check)


Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Mix: TypeAlias = Annotated[dict[str, Share], Field(min_length=1), AfterValidator(sums_to_one)]
Statuses: TypeAlias = Annotated[
    Mix, _among("completed", "failed", "pending", "cancelled", "refunded")
]
Settlements: TypeAlias = Annotated[Mix, _among("completed", "failed", "cancelled")]
Failure: TypeAlias = Literal["declined", "timeout", "error"]
Failures: TypeAlias = Annotated[Mix, _among("declined", "timeout", "error")]
Methods: TypeAlias = Annotated[
    Mix,
    _among(
        "credit_card",
        "debit_card",
        "bank_transfer",
        "digital_wallet",
        "cryptocurrency",
        "cash_equivalent",
    ),
]
Channels: TypeAlias = Annotated[Mix, _among("web", "mobile", "pos", "api")]
Categories: TypeAlias = Annotated[
    Mix,
    _among(
        "retail", "food_beverage", "travel", "entertainment", "healthcare", "education", "other"
    ),
]
Currencies: TypeAlias = Annotated[Mix, _spelled("[A-Z]{3}")]
Countries: TypeAlias = Annotated[Mix, _spelled("[A-Z]{2}")]
Zones: TypeAlias = Annotated[Mix, AfterValidator(_known_zones)]
#: seconds of event time, uniform between the two
Delay: TypeAlias = Annotated[
    tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]], AfterValidator(_ordered)
]
