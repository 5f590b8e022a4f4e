"""What the simulated payments look like: mixes, shares and delays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Shape(StrEnum):
    """The two event shapes; each has a shipped schema of the same name."""

    #: a payment's life: pending, completed, failed, cancelled, refunded
    SIMULATOR = "simulator"
    #: one message per outcome: success, declined, timeout, error
    TRANSACTION = "transaction"


def _mix(**weights: float) -> Mapping[str, float]:
    return MappingProxyType(weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountRange:
    """Log-normal amounts in major units: half of them lie below the median."""

    median: float
    #: standard deviation of the logarithm
    spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """Weights need not sum to 1; shares are of all events."""

    #: of all valid events of shape `simulator`; `transaction` has neither pending nor cancelled
    statuses: Mapping[str, float] = field(
        default_factory=lambda: _mix(
            completed=0.85, failed=0.10, pending=0.03, cancelled=0.01, refunded=0.01
        )
    )
    #: how pending payments end
    settlements: Mapping[str, float] = field(
        default_factory=lambda: _mix(completed=0.9, failed=0.1)
    )
    #: why payments fail, in the words of shape `transaction`
    failures: Mapping[str, float] = field(
        default_factory=lambda: _mix(declined=0.7, timeout=0.2, error=0.1)
    )
    currencies: Mapping[str, float] = field(
        default_factory=lambda: _mix(USD=0.60, EUR=0.20, GBP=0.10, JPY=0.05, CAD=0.03, AUD=0.02)
    )
    payment_methods: Mapping[str, float] = field(
        default_factory=lambda: _mix(
            credit_card=0.45,
            debit_card=0.25,
            digital_wallet=0.15,
            bank_transfer=0.10,
            cryptocurrency=0.02,
            cash_equivalent=0.03,
        )
    )
    channels: Mapping[str, float] = field(
        default_factory=lambda: _mix(web=0.40, mobile=0.35, pos=0.20, api=0.05)
    )
    countries: Mapping[str, float] = field(
        default_factory=lambda: _mix(
            US=0.50, DE=0.10, GB=0.10, FR=0.08, JP=0.06, CA=0.05, ES=0.04, AU=0.04, NL=0.03
        )
    )
    categories: Mapping[str, float] = field(
        default_factory=lambda: _mix(
            retail=0.35,
            food_beverage=0.25,
            travel=0.10,
            entertainment=0.10,
            healthcare=0.08,
            education=0.05,
            other=0.07,
        )
    )
    amounts: Mapping[str, AmountRange] = field(
        default_factory=lambda: MappingProxyType(
            {
                "retail": AmountRange(median=45, spread=0.9),
                "food_beverage": AmountRange(median=18, spread=0.6),
                "travel": AmountRange(median=320, spread=0.9),
                "entertainment": AmountRange(median=25, spread=0.7),
                "healthcare": AmountRange(median=90, spread=0.8),
                "education": AmountRange(median=210, spread=1.0),
                "other": AmountRange(median=40, spread=1.0),
            }
        )
    )
    processors: tuple[str, ...] = ("northpay", "acquira", "cardlink")
    customers: int = 2_000
    merchants: int = 300
    #: events that no schema accepts, on purpose
    invalid_share: float = 0.02
    #: events delivered a second time, byte for byte
    duplicate_share: float = 0.01
    #: failed payments that the customer tries again, as a new payment
    retry_share: float = 0.3
    #: delays in seconds of event time, uniform between the two
    settle_s: tuple[float, float] = (2, 30)
    refund_s: tuple[float, float] = (20, 120)
    retry_s: tuple[float, float] = (3, 20)
    redeliver_s: tuple[float, float] = (0.5, 10)
