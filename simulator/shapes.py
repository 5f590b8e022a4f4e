"""What happened to a payment, written as an event of one of the two shapes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from simulator.config import Shape
from simulator.payments import CARDS, Payment

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: what this shape's producers write where they mean null
_NOT_SET = "NOT_SET"

encode = msgspec.json.encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One step in a payment's life."""

    payment: Payment
    #: completed, failed, pending, cancelled or refunded
    status: str
    #: when it failed: declined, timeout or error; else ""
    failure: str
    #: of this step: a refund may be partial
    amount_cents: int
    #: microseconds since 1970 UTC
    occurred_us: int
    latency_us: int


def document(shape: Shape, happening: Happening) -> dict[str, Any]:
    """The event as a JSON object, keys in a fixed order."""
    return _DOCUMENTS[shape](happening)


def _simulator(happening: Happening) -> dict[str, Any]:
    payment = happening.payment
    by_card = payment.payment_method in CARDS
    received_us = happening.occurred_us + 1_000 + payment.amount_cents % 5_000
    return {
        "transaction_id": payment.transaction_id,
        "transaction_timestamp": _text(happening.occurred_us),
        "ingestion_timestamp": _text(received_us),
        "processing_timestamp": _text(received_us + happening.latency_us),
        "amount": _amount(happening),
        "currency": payment.merchant.currency,
        "payment_method": payment.payment_method,
        "payment_status": happening.status,
        "customer_id": payment.customer.customer_id,
        "customer_email": payment.customer.email or _NOT_SET,
        "customer_country": payment.customer.country,
        "merchant_id": payment.merchant.merchant_id,
        "merchant_name": payment.merchant.name,
        "merchant_category": payment.merchant.category,
        "transaction_type": _type(happening),
        "channel": payment.channel,
        "device_type": payment.device_type or _NOT_SET,
        "metadata": {
            "ip_address": payment.customer.ip_address,
            "user_agent": f"payflow-simulator/1 ({payment.channel})",
            "card_last4": payment.card_last4 or _NOT_SET,
            "card_brand": payment.card_brand or _NOT_SET,
            "cvv_provided": by_card and payment.channel != "pos",
            "3ds_verified": by_card and payment.amount_cents % 3 == 0,
            "risk_score": payment.risk_score,
            "fraud_indicators": ["velocity"] if payment.risk_score > 0.9 else [],
        },
        "compliance_violations": [],
        "violation_severity": "NONE",
    }


def _transaction(happening: Happening) -> dict[str, Any]:
    payment = happening.payment
    metadata = {
        "payment_method": payment.payment_method,
        "processor": payment.merchant.processor,
        "merchant_category": payment.merchant.category,
        "country": payment.customer.country,
        "processing_time_ms": happening.latency_us / 1000,
        "risk_score": payment.risk_score,
    }
    if payment.card_brand:
        metadata["card_brand"] = payment.card_brand
        metadata["card_last4"] = payment.card_last4
    return {
        "transaction_id": payment.transaction_id,
        "correlation_id": payment.correlation_id,
        "timestamp": _text(happening.occurred_us),
        "transaction_type": _type(happening),
        "channel": payment.channel,
        "amount": _amount(happening),
        "currency": payment.merchant.currency,
        "merchant_id": payment.merchant.merchant_id,
        "customer_id": payment.customer.customer_id,
        "status": happening.failure or "success",
        "metadata": metadata,
    }


_DOCUMENTS = {Shape.SIMULATOR: _simulator, Shape.TRANSACTION: _transaction}


def _type(happening: Happening) -> str:
    return "refund" if happening.status == "refunded" else "payment"


def _amount(happening: Happening) -> float | int:
    whole, cents = divmod(happening.amount_cents, 100)
    # A float of two decimals prints as these two decimals: up to 15 digits nothing is rounded.
    return happening.amount_cents / 100 if cents else whole


def _text(moment_us: int) -> str:
    moment = _EPOCH + timedelta(microseconds=moment_us)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
