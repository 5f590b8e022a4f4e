"""What happened to a payment, written as an event of one of the two shapes.

The text is put together by hand, for speed: every value in it is a word of ours, a number, or a
name that the configuration restricts to letters that JSON need not escape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

from simulator.config import MetadataConfig, Shape
from simulator.payments import Payment

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: what this shape's producers write where they mean null
_NOT_SET = "NOT_SET"
_BOOLEANS = ("false", "true")

encode = msgspec.json.encode
decode = msgspec.json.decode


@dataclass(slots=True)
class Happening:
    """One step in a payment's life. Not frozen, for speed: one is made for every event."""

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


def writer(shape: Shape, metadata: MetadataConfig) -> Callable[[Happening], bytes]:
    """Writes the events of a shape as JSON, keys in a fixed order."""
    return (_simulator if shape is Shape.SIMULATOR else _transaction)(metadata)


def _simulator(config: MetadataConfig) -> Callable[[Happening], bytes]:
    described = _simulator_metadata(config)

    def write(happening: Happening) -> bytes:
        payment = happening.payment
        customer, merchant, by = payment.customer, payment.merchant, payment.instrument
        received_us = happening.occurred_us + 1_000 + payment.amount_cents % 5_000
        status = happening.status
        return (
            f'{{"transaction_id":"{payment.transaction_id}",'
            f'"transaction_timestamp":"{time_text(happening.occurred_us)}",'
            f'"ingestion_timestamp":"{time_text(received_us)}",'
            f'"processing_timestamp":"{time_text(received_us + happening.latency_us)}",'
            f'"amount":{amount_text(happening.amount_cents)},"currency":"{merchant.currency}",'
            f'"payment_method":"{by.payment_method}","payment_status":"{status}",'
            f'"customer_id":"{customer.customer_id}",'
            f'"customer_email":"{customer.email or _NOT_SET}",'
            f'"customer_country":"{customer.country}",'
            f'"merchant_id":"{merchant.merchant_id}","merchant_name":"{merchant.name}",'
            f'"merchant_category":"{merchant.category}",'
            f'"transaction_type":"{"refund" if status == "refunded" else "payment"}",'
            f'"channel":"{by.channel}","device_type":"{by.device_type or _NOT_SET}",'
            f'"metadata":{{{described(payment)}}}}}'
        ).encode()

    return write


def _simulator_metadata(config: MetadataConfig) -> Callable[[Payment], str]:
    with_ip, with_agent = config.include_ip_address, config.include_user_agent
    with_card, with_3ds = config.include_card_details, config.include_3ds
    with_risk, with_fraud = config.risk_score, config.fraud_indicators

    def describe(payment: Payment) -> str:
        by = payment.instrument
        text = f',"ip_address":"{payment.customer.ip_address}"' if with_ip else ""
        if with_agent:
            text += f',"user_agent":"payflow-simulator/1 ({by.channel})"'
        if with_card:
            text += (
                f',"card_last4":"{payment.card_last4 or _NOT_SET}",'
                f'"card_brand":"{by.card_brand or _NOT_SET}",'
                f'"cvv_provided":{_BOOLEANS[by.by_card and by.channel != "pos"]}'
            )
        if with_3ds:
            verified = by.by_card and payment.amount_cents % 3 == 0
            text += f',"3ds_verified":{_BOOLEANS[verified]}'
        if with_risk:
            text += f',"risk_score":{payment.risk_score}'
        if with_fraud:
            found = '"velocity"' if payment.risk_score > 0.9 else ""
            text += f',"fraud_indicators":[{found}]'
        return text[1:]

    return describe


def _transaction(config: MetadataConfig) -> Callable[[Happening], bytes]:
    cards, risk = config.include_card_details, config.risk_score

    def write(happening: Happening) -> bytes:
        payment = happening.payment
        customer, merchant, by = payment.customer, payment.merchant, payment.instrument
        described = f',"risk_score":{payment.risk_score}' if risk else ""
        if cards and by.by_card:
            described += f',"card_brand":"{by.card_brand}","card_last4":"{payment.card_last4}"'
        return (
            f'{{"transaction_id":"{payment.transaction_id}",'
            f'"correlation_id":"{payment.correlation_id}",'
            f'"timestamp":"{time_text(happening.occurred_us)}",'
            f'"transaction_type":"{"refund" if happening.status == "refunded" else "payment"}",'
            f'"channel":"{by.channel}","amount":{amount_text(happening.amount_cents)},'
            f'"currency":"{merchant.currency}","merchant_id":"{merchant.merchant_id}",'
            f'"customer_id":"{customer.customer_id}",'
            f'"status":"{happening.failure or "success"}",'
            f'"metadata":{{"payment_method":"{by.payment_method}",'
            f'"processor":"{merchant.processor}","merchant_category":"{merchant.category}",'
            f'"country":"{customer.country}",'
            f'"processing_time_ms":{happening.latency_us / 1000}{described}}}}}'
        ).encode()

    return write


def amount_text(cents: int) -> str:
    """`12.3`, `12.34`, `12`: exact, however large."""
    whole, rest = divmod(cents, 100)
    if not rest:
        return str(whole)
    return f"{whole}.{rest:02d}" if rest % 10 else f"{whole}.{rest // 10}"


def time_text(moment_us: int) -> str:
    """RFC 3339 with six decimals, from microseconds since 1970 UTC."""
    # adding and cutting off a 1 is faster than :06d
    return f"{_second(moment_us // 1_000_000)}.{str(1_000_000 + moment_us % 1_000_000)[1:]}Z"


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()
