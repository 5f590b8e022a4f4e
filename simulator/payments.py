"""The people, shops and payments of a simulation, before any of them becomes an event."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from simulator.config import TransactionConfig
from simulator.distributions import Weighted, amount_sampler

CARDS = ("credit_card", "debit_card")
_BRANDS = {"Visa": 0.5, "Mastercard": 0.3, "Amex": 0.12, "Discover": 0.08}
_DEVICES = {"web": ("desktop", "tablet"), "mobile": ("mobile",), "pos": ("pos",), "api": ("",)}
_NAMES = ("Alder", "Birch", "Cedar", "Dune", "Ember", "Fjord", "Grove", "Harbor", "Iris", "Juniper")
_KINDS = ("Market", "Store", "House", "Works", "Supply", "Studio")


# None of these is frozen: making a frozen one costs four times as much, and one of the last two
# is made for every event.


@dataclass(slots=True)
class Customer:
    """Who pays."""

    customer_id: str
    #: the same as bytes: events of one customer keep their order
    key: bytes
    #: "" for the few who left it out
    email: str
    country: str
    ip_address: str


@dataclass(slots=True)
class Merchant:
    """Who is paid."""

    merchant_id: str
    name: str
    category: str
    currency: str
    processor: str
    #: draws an amount in hundredths of a major unit
    amount: Callable[[], int]


@dataclass(slots=True)
class Instrument:
    """How it is paid."""

    payment_method: str
    channel: str
    device_type: str
    #: "" unless it is paid by card
    card_brand: str
    by_card: bool


@dataclass(slots=True)
class Payment:
    """What stays the same over a payment's life."""

    transaction_id: str
    correlation_id: str
    customer: Customer
    merchant: Merchant
    #: in hundredths of a major unit, also where a currency has no minor one
    amount_cents: int
    instrument: Instrument
    #: "" unless it is paid by card
    card_last4: str
    risk_score: float


class World:
    """Draws payments among a fixed set of customers and merchants."""

    def __init__(self, config: TransactionConfig, rng: random.Random) -> None:
        mixes = config.variability
        self._rng = rng
        self.instruments = _instruments(mixes.payment_methods, mixes.channels)
        countries = Weighted(mixes.countries)
        categories, currencies = Weighted(mixes.merchant_categories), Weighted(mixes.currencies)
        self.customers = [self._customer(countries) for _ in range(config.population.customers)]
        self.merchants = [
            self._merchant(categories, currencies, config)
            for _ in range(config.population.merchants)
        ]

    def payment(self) -> Payment:
        """A new payment of anybody."""
        rng = self._rng
        # Squared: some customers and shops are busier than others.
        customer = self.customers[int(rng.random() ** 2 * len(self.customers))]
        merchant = self.merchants[int(rng.random() * len(self.merchants))]
        return self.pay(customer, merchant, merchant.amount())

    def retry(self, failed: Payment) -> Payment:
        """The same customer tries the same purchase again."""
        return self.pay(failed.customer, failed.merchant, failed.amount_cents)

    def pay(
        self,
        customer: Customer,
        merchant: Merchant,
        amount_cents: int,
        instrument: Instrument | None = None,
    ) -> Payment:
        """A new payment of this amount, by any instrument unless one is said."""
        rng = self._rng
        instrument = instrument or self.instruments.draw(rng)
        digits = f"{rng.getrandbits(256):064x}"
        return Payment(
            _uuid(digits[:32]),
            _uuid(digits[32:]),
            customer,
            merchant,
            amount_cents,
            instrument,
            f"{int(rng.random() * 10_000):04d}" if instrument.by_card else "",
            int(rng.random() ** 3 * 1000) / 1000,
        )

    def _customer(self, countries: Weighted[str]) -> Customer:
        rng = self._rng
        number = f"{rng.getrandbits(32):08X}"
        return Customer(
            customer_id=f"CUST-{number}",
            key=f"CUST-{number}".encode(),
            email=f"customer-{number.lower()}@example.com" if rng.random() > 0.03 else "",
            country=countries.draw(rng),
            ip_address=f"198.51.100.{int(rng.random() * 254) + 1}",
        )

    def _merchant(
        self, categories: Weighted[str], currencies: Weighted[str], config: TransactionConfig
    ) -> Merchant:
        rng = self._rng
        category, currency = categories.draw(rng), currencies.draw(rng)
        return Merchant(
            merchant_id=f"MERCH-{rng.getrandbits(32):08X}",
            name=f"{rng.choice(_NAMES)} {rng.choice(_KINDS)}",
            category=category,
            currency=currency,
            processor=rng.choice(config.population.processors),
            amount=amount_sampler(config.variability.amounts, category, currency, rng),
        )


def _instruments(
    methods: Mapping[str, float], channels: Mapping[str, float]
) -> Weighted[Instrument]:
    """Method, channel, device and brand are independent: one draw decides all four."""
    table: list[tuple[Instrument, float]] = []
    for method, method_share in methods.items():
        brands = _BRANDS if method in CARDS else {"": 1.0}
        for channel, channel_share in channels.items():
            devices = _DEVICES[channel]
            for device in devices:
                table += [
                    (
                        Instrument(method, channel, device, brand, method in CARDS),
                        method_share * channel_share * brand_share / len(devices),
                    )
                    for brand, brand_share in brands.items()
                ]
    return Weighted(table)


def _uuid(digits: str) -> str:
    # By hand: uuid.UUID(int=..) costs three times as much.
    return (
        f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-"
        f"{'89ab'[int(digits[16], 16) & 3]}{digits[17:20]}-{digits[20:]}"
    )
