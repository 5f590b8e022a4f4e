"""Events that no schema accepts: the mistakes that producers make."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from simulator.config import Shape
from simulator.shapes import encode

#: the names that differ between the shapes
_TIME = {Shape.SIMULATOR: "transaction_timestamp", Shape.TRANSACTION: "timestamp"}
_STATUS = {Shape.SIMULATOR: "payment_status", Shape.TRANSACTION: "status"}

_AMOUNTS = ("12,50", "10.123456", "free", "", True)


def spoil(document: dict[str, Any], *, shape: Shape, rng: random.Random) -> bytes:
    """The body of the event with one mistake; `document` is changed."""
    return rng.choice(MISTAKES)(document, shape, rng)


def missing_field(document: dict[str, Any], shape: Shape, rng: random.Random) -> bytes:
    """A required field is left out."""
    del document[rng.choice(("transaction_id", "amount", "currency", _TIME[shape], _STATUS[shape]))]
    return encode(document)


def bad_amount(document: dict[str, Any], shape: Shape, rng: random.Random) -> bytes:  # noqa: ARG001
    """The amount is no amount."""
    document["amount"] = rng.choice(_AMOUNTS)
    return encode(document)


def wrong_type(document: dict[str, Any], shape: Shape, rng: random.Random) -> bytes:
    """A text field holds something else."""
    field = rng.choice(("transaction_id", "currency", _STATUS[shape]))
    document[field] = [document[field]]
    return encode(document)


def unknown_status(document: dict[str, Any], shape: Shape, rng: random.Random) -> bytes:  # noqa: ARG001
    """A word that nobody agreed on."""
    document[_STATUS[shape]] = "processing"
    return encode(document)


def bad_currency(document: dict[str, Any], shape: Shape, rng: random.Random) -> bytes:  # noqa: ARG001
    """Three letters that are no currency."""
    document["currency"] = "ZZZ"
    return encode(document)


def bad_time(document: dict[str, Any], shape: Shape, rng: random.Random) -> bytes:
    """A time without a date, or none at all."""
    document[_TIME[shape]] = rng.choice(("yesterday", "12:30:00", "2026-02-30T10:00:00Z"))
    return encode(document)


def bad_json(document: dict[str, Any], shape: Shape, rng: random.Random) -> bytes:  # noqa: ARG001
    """The message was cut off."""
    body = encode(document)
    return body[: rng.randrange(1, len(body))]


MISTAKES: tuple[Callable[[dict[str, Any], Shape, random.Random], bytes], ...] = (
    missing_field,
    bad_amount,
    wrong_type,
    unknown_status,
    bad_currency,
    bad_time,
    bad_json,
)
