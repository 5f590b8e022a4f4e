"""What each kind of violation does: a pattern yields its events one by one, in their order.

An act is an ordinary event of a payment, and a change of its document where the ordinary words
cannot say what is wrong. Nothing in the event names the violation.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from simulator.compliance_config import Planned
from simulator.config import Shape
from simulator.payments import CARDS, Customer, Instrument, Merchant, Payment, World

Document: TypeAlias = dict[str, Any]
Edit: TypeAlias = Callable[[Document, Shape], None]

_BULKY = ("bank_transfer", "cash_equivalent")


@dataclass(slots=True)
class Act:
    """One event of a pattern; what is wrong with it alone is in `edit`."""

    payment: Payment
    status: str = "completed"
    failure: str = ""
    edit: Edit | None = None


class Violator:
    """Makes the patterns of every kind among the people and shops of a world."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng
        values = world.instruments.values()
        self._cards = [i for i in values if i.payment_method in CARDS] or values
        online = [i for i in self._cards if i.channel in ("web", "api")]
        self._online = online or self._cards
        self._bulky = [i for i in values if i.payment_method in _BULKY] or values

    def acts(self, planned: Planned) -> Iterator[Act]:
        """The events of one pattern."""
        several = _PATTERNS.get(planned.kind)
        return several(self, planned) if several else iter([self._single(planned)])

    def _single(self, planned: Planned) -> Act:
        payment = self._world.payment()
        if planned.kind.startswith("pci_"):
            payment = self._pay(payment, instrument=self._rng.choice(self._cards))
        elif planned.kind == "aml_large_amount":
            least = planned.min_amount_cents * _scale(payment.merchant)
            extra = int(least * self._rng.expovariate(2))
            payment = self._pay(payment, cents=least + extra // 100 * 100)
        elif planned.kind == "business_rule_orphan_refund":
            return Act(payment, status="refunded")  # of a payment that nobody has ever made
        return Act(payment, edit=_EDITS.get(planned.kind))

    def _structuring(self, planned: Planned) -> Iterator[Act]:
        """Amounts just below the threshold, of one customer, which together pass it by far."""
        customer, merchant = self._anybody()
        for _ in range(planned.transactions):
            limit = planned.threshold_cents * _scale(merchant)
            cents = int(limit * self._rng.uniform(0.8, 0.99)) // 100 * 100
            instrument = self._rng.choice(self._bulky)
            yield Act(self._world.pay(customer, merchant, cents, instrument))

    def _rapid_fire(self, planned: Planned) -> Iterator[Act]:
        """One customer pays one merchant again and again."""
        customer, merchant = self._anybody()
        for _ in range(planned.transactions):
            yield Act(self._world.pay(customer, merchant, merchant.amount()))

    def _card_testing(self, planned: Planned) -> Iterator[Act]:
        """Tiny payments at one merchant, each with another card, most of them declined."""
        customer, merchant = self._anybody()
        for _ in range(planned.transactions):
            cents = int(self._rng.uniform(50, 200)) if merchant.currency != "JPY" else 10_000
            payment = self._world.pay(customer, merchant, cents, self._rng.choice(self._online))
            declined = self._rng.random() < 0.85
            yield Act(payment, "failed", "declined") if declined else Act(payment)

    def _currency_mismatch(self, planned: Planned) -> Iterator[Act]:  # noqa: ARG002
        """A payment, and its refund in another currency."""
        payment = self._world.payment()
        yield Act(payment)
        yield Act(payment, status="refunded", edit=_other_currency)

    def _anybody(self) -> tuple[Customer, Merchant]:
        return self._rng.choice(self._world.customers), self._rng.choice(self._world.merchants)

    def _pay(
        self, like: Payment, *, cents: int | None = None, instrument: Instrument | None = None
    ) -> Payment:
        return self._world.pay(
            like.customer, like.merchant, cents or like.amount_cents, instrument or like.instrument
        )


def _scale(merchant: Merchant) -> int:
    """Limits are meant for units worth about a euro or a dollar."""
    return 100 if merchant.currency == "JPY" else 1


_PATTERNS = {
    "aml_structuring": Violator._structuring,  # noqa: SLF001 - its own table
    "aml_rapid_fire": Violator._rapid_fire,  # noqa: SLF001
    "fraud_card_testing": Violator._card_testing,  # noqa: SLF001
    "business_rule_currency_mismatch": Violator._currency_mismatch,  # noqa: SLF001
}


def _no_customer(document: Document, shape: Shape) -> None:  # noqa: ARG001
    del document["customer_id"]


def _invalid_email(document: Document, shape: Shape) -> None:
    place = document if shape is Shape.SIMULATOR else document["metadata"]
    place["customer_email"] = "customer(at)example"


def _no_country(document: Document, shape: Shape) -> None:
    if shape is Shape.SIMULATOR:
        del document["customer_country"]
    else:
        del document["metadata"]["country"]


def _no_card(document: Document, shape: Shape) -> None:  # noqa: ARG001
    for name in ("card_brand", "card_last4"):
        document["metadata"].pop(name, None)


def _unknown_brand(document: Document, shape: Shape) -> None:  # noqa: ARG001
    document["metadata"]["card_brand"] = "UnknownCard"


def _negative(document: Document, shape: Shape) -> None:  # noqa: ARG001
    document["amount"] = -document["amount"]


def _zero(document: Document, shape: Shape) -> None:  # noqa: ARG001
    document["amount"] = 0


def _no_currency(document: Document, shape: Shape) -> None:  # noqa: ARG001
    document["currency"] = "XXX"


def _no_status(document: Document, shape: Shape) -> None:
    document[status_field(shape)] = "processing"


def _tomorrow(document: Document, shape: Shape) -> None:
    stated = datetime.fromisoformat(document[time_field(shape)])
    text = (stated + timedelta(days=1)).replace(tzinfo=None).isoformat(timespec="microseconds")
    document[time_field(shape)] = f"{text}Z"


def _mismatch(document: Document, shape: Shape) -> None:
    """A payment that is refunded at once; in the other shape, a refund that was declined."""
    if shape is Shape.SIMULATOR:
        document["payment_status"] = "refunded"
    else:
        document["transaction_type"] = "refund"
        document["status"] = "declined"


def _other_currency(document: Document, shape: Shape) -> None:  # noqa: ARG001
    document["currency"] = "GBP" if document["currency"] != "GBP" else "EUR"


_EDITS: dict[str, Edit] = {
    "kyc_missing_customer_id": _no_customer,
    "kyc_invalid_email": _invalid_email,
    "kyc_missing_country": _no_country,
    "pci_missing_card_data": _no_card,
    "pci_invalid_card_brand": _unknown_brand,
    "data_quality_negative_amount": _negative,
    "data_quality_zero_amount": _zero,
    "data_quality_invalid_currency": _no_currency,
    "data_quality_invalid_status": _no_status,
    "data_quality_future_timestamp": _tomorrow,
    "business_rule_status_mismatch": _mismatch,
}


def time_field(shape: Shape) -> str:
    """The name of the event's time."""
    return "transaction_timestamp" if shape is Shape.SIMULATOR else "timestamp"


def status_field(shape: Shape) -> str:
    """The name of its status."""
    return "payment_status" if shape is Shape.SIMULATOR else "status"
