"""The people, shops and payments of a simulation, before any of them becomes an event."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, TypeVar

from simulator.config import SimulatorConfig

T = TypeVar("T")

CARDS = ("credit_card", "debit_card")
_BRANDS = {"Visa": 0.5, "Mastercard": 0.3, "Amex": 0.12, "Discover": 0.08}
_DEVICES = {"web": ("desktop", "tablet"), "mobile": ("mobile",), "pos": ("pos",), "api": ("",)}
_NAMES = ("Alder", "Birch", "Cedar", "Dune", "Ember", "Fjord", "Grove", "Harbor", "Iris", "Juniper")
_KINDS = ("Market", "Store", "House", "Works", "Supply", "Studio")


class Weighted(Generic[T]):
    """Draws values by weight: one binary search, which `random.choices` does not do."""

    def __init__(self, weights: Mapping[T, float]) -> None:
        self._values = list(weights)
        self._bounds = list(accumulate(weights.values()))

    def draw(self, rng: random.Random) -> T:
        """One value."""
        return self._values[bisect(self._bounds, rng.random() * self._bounds[-1])]


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Who pays."""

    customer_id: str
    #: "" for the few who left it out
    email: str
    country: str
    ip_address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """Who is paid."""

    merchant_id: str
    name: str
    category: str
    currency: str
    processor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What stays the same over a payment's life."""

    transaction_id: str
    correlation_id: str
    customer: Customer
    merchant: Merchant
    #: in the currency's minor unit, times 100 where it has none
    amount_cents: int
    payment_method: str
    channel: str
    device_type: str
    #: "" unless it is paid by card
    card_brand: str
    card_last4: str
    risk_score: float


class World:
    """Draws payments among a fixed set of customers and merchants."""

    def __init__(self, config: SimulatorConfig, rng: random.Random) -> None:
        self._rng = rng
        self._amounts = config.amounts
        self._methods = Weighted(config.payment_methods)
        self._channels = Weighted(config.channels)
        self._brands = Weighted(_BRANDS)
        countries, categories = Weighted(config.countries), Weighted(config.categories)
        currencies = Weighted(config.currencies)
        self._customers = [self._customer(countries) for _ in range(config.customers)]
        self._merchants = [
            self._merchant(categories, currencies, config) for _ in range(config.merchants)
        ]

    def payment(self) -> Payment:
        """A new payment of anybody."""
        rng = self._rng
        # Squared: some customers and shops are busier than others.
        customer = self._customers[int(rng.random() ** 2 * len(self._customers))]
        merchant = self._merchants[int(rng.random() * len(self._merchants))]
        return self._pay(customer, merchant, self._amount(merchant))

    def retry(self, failed: Payment) -> Payment:
        """The same customer tries the same purchase again."""
        return self._pay(failed.customer, failed.merchant, failed.amount_cents)

    def _pay(self, customer: Customer, merchant: Merchant, amount_cents: int) -> Payment:
        rng = self._rng
        method, channel = self._methods.draw(rng), self._channels.draw(rng)
        devices = _DEVICES[channel]
        by_card = method in CARDS
        return Payment(
            transaction_id=_uuid(rng),
            correlation_id=_uuid(rng),
            customer=customer,
            merchant=merchant,
            amount_cents=amount_cents,
            payment_method=method,
            channel=channel,
            device_type=devices[int(rng.random() * len(devices))],
            card_brand=self._brands.draw(rng) if by_card else "",
            card_last4=f"{int(rng.random() * 10_000):04d}" if by_card else "",
            risk_score=round(rng.random() ** 3, 3),
        )

    def _amount(self, merchant: Merchant) -> int:
        amounts = self._amounts[merchant.category]
        major = amounts.median * self._rng.lognormvariate(0, amounts.spread)
        if merchant.currency == "JPY":
            return max(1, round(major * 150)) * 100
        return max(1, round(major * 100))

    def _customer(self, countries: Weighted[str]) -> Customer:
        rng = self._rng
        number = f"{rng.getrandbits(32):08X}"
        return Customer(
            customer_id=f"CUST-{number}",
            email=f"customer-{number.lower()}@example.com" if rng.random() > 0.03 else "",
            country=countries.draw(rng),
            ip_address=f"198.51.100.{int(rng.random() * 254) + 1}",
        )

    def _merchant(
        self, categories: Weighted[str], currencies: Weighted[str], config: SimulatorConfig
    ) -> Merchant:
        rng = self._rng
        return Merchant(
            merchant_id=f"MERCH-{rng.getrandbits(32):08X}",
            name=f"{rng.choice(_NAMES)} {rng.choice(_KINDS)}",
            category=categories.draw(rng),
            currency=currencies.draw(rng),
            processor=rng.choice(config.processors),
        )


def _uuid(rng: random.Random) -> str:
    # By hand: uuid.UUID(int=..) costs three times as much.
    text = f"{rng.getrandbits(128):032x}"
    variant = "89ab"[int(text[16], 16) & 3]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"
