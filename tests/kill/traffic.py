"""Events of known sums, made in plain Python: what the path must end with, whatever is killed."""

from __future__ import annotations

import json
import random
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

CURRENCIES = ("USD", "EUR", "GBP")
STATUSES = ("success",) * 17 + ("declined", "timeout", "error")


@dataclass
class Expected:
    """What must be in the tables in the end."""

    messages: int = 0
    accepted: int = 0
    failed: int = 0
    duplicates: int = 0
    #: currency -> exact sum of the accepted amounts
    amounts: Counter[str] = field(default_factory=Counter)
    #: (5-minute window, currency, status) -> count
    cells: Counter[tuple[str, str, str]] = field(default_factory=Counter)


def make(count: int, *, seed: float, start: datetime | None = None) -> tuple[list[bytes], Expected]:
    """`count` messages of the schema `transaction`: 2 % broken, 1 % sent twice, sums known."""
    rng = random.Random(seed)
    start = start or datetime.now(UTC) - timedelta(minutes=7)
    messages: list[bytes] = []
    expected = Expected()
    while len(messages) < count:
        number = len(messages)
        body = _event(rng, start + timedelta(milliseconds=4 * number))
        kind = number % 100
        if kind in (17, 63):
            messages.append(body[:200] if kind == 17 else body.replace(b'"amount"', b'"amounts"'))
            expected.failed += 1
            continue
        messages.append(body)
        _count(expected, json.loads(body, parse_float=Decimal))
        if kind == 42 and len(messages) < count:
            messages.append(body)
            expected.duplicates += 1
    expected.messages = len(messages)
    return messages, expected


def padded(body: bytes, size: int) -> bytes:
    """The same event, `size` bytes long by a field that no rule looks at."""
    head = body.removesuffix(b"}") + b', "padding": "'
    return head + b"x" * (size - len(head) - 2) + b'"}'


def _event(rng: random.Random, moment: datetime) -> bytes:
    return json.dumps(
        {
            "transaction_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            "correlation_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "transaction_type": "payment",
            "channel": rng.choice(("web", "mobile", "pos", "api")),
            "amount": rng.randrange(1, 500_000) / 100,
            "currency": rng.choice(CURRENCIES),
            "merchant_id": f"MERCH-{rng.randrange(10**5):08d}",
            "customer_id": f"CUST-{rng.randrange(10**6):08d}",
            "status": rng.choice(STATUSES),
            "payment_method": rng.choice(("credit_card", "debit_card")),
            "metadata": {"risk_score": rng.randrange(1000) / 1000, "user_agent": "Mozilla/5.0"},
        }
    ).encode()


def _count(expected: Expected, event: dict[str, object]) -> None:
    expected.accepted += 1
    amount, currency = event["amount"], str(event["currency"])
    expected.amounts[currency] += Decimal(str(amount))  # type: ignore[assignment]
    moment = datetime.fromisoformat(str(event["timestamp"]))
    window = moment.replace(minute=moment.minute - moment.minute % 5, second=0, microsecond=0)
    status = "completed" if event["status"] == "success" else "failed"
    expected.cells[(window.isoformat(), currency, status)] += 1
