"""An endless stream of payment events, the same bytes for the same seed and start.

One event takes place every 1/rate seconds of event time. It is the next step of a payment that has
one due (settled, refunded, tried again, delivered twice), or else a new payment.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

from simulator.config import Shape, SimulatorConfig
from simulator.mistakes import spoil
from simulator.payments import Payment, Weighted, World
from simulator.shapes import Happening, document, encode

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: a processor gives up after this long
_TIMEOUT_US = 30_000_000


class Kind(StrEnum):
    """What an event was made to be."""

    VALID = "valid"
    #: the bytes of an earlier event once more
    DUPLICATE = "duplicate"
    #: no schema accepts it
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedEvent:
    """One message to send."""

    kind: Kind
    body: bytes
    #: events of one customer keep their order
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """What comes next for a payment; a new one draws its status."""

    payment: Payment
    status: str | None = None


_Due: TypeAlias = tuple[int, int, _Step | SimulatedEvent]


class Generator:
    """Iterate over it for events without end."""

    def __init__(
        self, config: SimulatorConfig, *, shape: Shape, seed: int, start: datetime, rate: float
    ) -> None:
        """`start` is the first event's time (aware), `rate` is events per second of event time."""
        start_us = (start - _EPOCH) // timedelta(microseconds=1)
        # With the start in the seed another run makes other payments, not the same ids again.
        self._rng = random.Random(f"{seed} {start_us}")  # noqa: S311 - must be repeatable
        self._config = config
        self._shape = shape
        self._start_us = start_us
        self._interval_us = 1e6 / rate
        self._world = World(config, self._rng)
        statuses = config.statuses
        if shape is Shape.TRANSACTION:
            statuses = {**statuses, "pending": 0.0, "cancelled": 0.0}
        self._first = Weighted(_first_statuses(statuses, config.settlements))
        self._refund_share = statuses["refunded"] / statuses["completed"]
        self._settlements = Weighted(config.settlements)
        self._failures = Weighted(config.failures)
        #: what is due when; the number keeps equal times in order
        self._due: list[_Due] = []

    def __iter__(self) -> Iterator[SimulatedEvent]:
        number = 0
        while True:
            now_us = self._start_us + round(number * self._interval_us)
            yield self._event(now_us, number)
            number += 1

    def _event(self, now_us: int, number: int) -> SimulatedEvent:
        step: _Step | SimulatedEvent
        if self._due and self._due[0][0] <= now_us:
            step = heapq.heappop(self._due)[2]
        else:
            step = _Step(payment=self._world.payment())
        if isinstance(step, SimulatedEvent):
            return step
        happening = self._happening(step, now_us)
        self._plan(happening, number)
        return self._write(happening, number)

    def _happening(self, step: _Step, now_us: int) -> Happening:
        rng = self._rng
        status = step.status or self._first.draw(rng)
        failure = self._failures.draw(rng) if status == "failed" else ""
        amount_cents = step.payment.amount_cents
        if status == "refunded" and rng.random() < 0.5:
            amount_cents = max(100, amount_cents // 200 * 100)  # about half, whole units
        latency_us = round(180_000 * rng.lognormvariate(0, 0.5))
        return Happening(
            payment=step.payment,
            status=status,
            failure=failure,
            amount_cents=min(amount_cents, step.payment.amount_cents),
            occurred_us=now_us,
            latency_us=_TIMEOUT_US if failure == "timeout" else latency_us,
        )

    def _plan(self, happening: Happening, number: int) -> None:
        rng, config, payment = self._rng, self._config, happening.payment
        match happening.status:
            case "pending":
                settled = _Step(payment=payment, status=self._settlements.draw(rng))
                self._later(happening, number, settled, config.settle_s)
            case "completed" if rng.random() < self._refund_share:
                refund = _Step(payment=payment, status="refunded")
                self._later(happening, number, refund, config.refund_s)
            case "failed" if rng.random() < config.retry_share:
                again = _Step(payment=self._world.retry(payment))
                self._later(happening, number, again, config.retry_s)

    def _write(self, happening: Happening, number: int) -> SimulatedEvent:
        rng, config = self._rng, self._config
        key = happening.payment.customer.customer_id.encode()
        written = document(self._shape, happening)
        if rng.random() < config.invalid_share:
            body = spoil(written, shape=self._shape, rng=rng)
            return SimulatedEvent(kind=Kind.INVALID, body=body, key=key)
        body = encode(written)
        if rng.random() < config.duplicate_share:
            again = SimulatedEvent(kind=Kind.DUPLICATE, body=body, key=key)
            self._later(happening, number, again, config.redeliver_s)
        return SimulatedEvent(kind=Kind.VALID, body=body, key=key)

    def _later(
        self,
        happening: Happening,
        number: int,
        what: _Step | SimulatedEvent,
        delay_s: tuple[float, float],
    ) -> None:
        due_us = happening.occurred_us + round(self._rng.uniform(*delay_s) * 1e6)
        # One event plans at most one step and one redelivery, so this number is unique.
        order = 2 * number + isinstance(what, SimulatedEvent)
        heapq.heappush(self._due, (due_us, order, what))


def _first_statuses(
    statuses: Mapping[str, float], settlements: Mapping[str, float]
) -> dict[str, float]:
    """Weights of a new payment's first status, so that all events together have `statuses`.

    Refunds and the ends of pending payments are later events: what they add is taken off here.
    """
    settled = statuses["pending"] / sum(settlements.values())
    first = {
        status: weight - settled * settlements.get(status, 0.0)
        for status, weight in statuses.items()
        if status != "refunded"
    }
    if min(first.values()) < 0:
        raise ValueError("more payments settle than the mix of statuses has")
    return first
