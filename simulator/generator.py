"""An endless stream of payment events, the same bytes for the same seed, start and configuration.

An event belongs to a violation where the planner says so. Every other one is the next step of a
payment that has one due (settled, refunded, tried again, delivered twice), or else a new payment.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import count
from math import exp
from typing import NamedTuple, TypeAlias

from simulator.config import Incident, Shape, SimulatorConfig
from simulator.distributions import Weighted
from simulator.mistakes import spoil
from simulator.pace import Pace
from simulator.patterns import BLOCK, Answer, Pattern, Planner, check_rate
from simulator.payments import Payment, World
from simulator.shapes import Happening, decode, encode, writer
from simulator.violations import Violator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: a processor gives up after this long
_TIMEOUT_US = 30_000_000
#: how often it is asked which processors fail
_LOOK_US = 1_000_000


class Kind(StrEnum):
    """What an event was made to be."""

    VALID = "valid"
    #: the bytes of an earlier event once more
    DUPLICATE = "duplicate"
    #: no schema accepts it
    INVALID = "invalid"
    #: part of a violation; some kinds are refused by a schema too
    VIOLATION = "violation"


class SimulatedEvent(NamedTuple):
    """One message to send."""

    kind: Kind
    body: bytes
    #: events of one customer keep their order
    key: bytes
    #: when it takes place, microseconds since 1970 UTC; a second delivery has its own
    at_us: int = 0
    answer: Answer | None = None


@dataclass(slots=True)
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
        """`start` is the first event's time (aware), `rate` is events per second of event time.

        Raises ConfigurationError when a pattern cannot happen at this rate.
        """
        check_rate(config.compliance, rate)
        start_us = (start - _EPOCH) // timedelta(microseconds=1)
        # With the start in the seed another run makes other payments, not the same ids again.
        self._rng = random.Random(f"{seed} {start_us}")  # noqa: S311 - must be repeatable
        self._shape = shape
        self._start_us = start_us
        temporal = config.transaction.variability.temporal
        self._pace = Pace(start_us=start_us, rate=rate, temporal=temporal)
        self._world = World(config.transaction, self._rng)
        violator = Violator(self._world, self._rng)
        self._planner = Planner(config.compliance, violator, self._rng)
        #: what is due when; the number keeps equal times in order
        self._due: list[_Due] = []
        self._order = count()
        self._take(config)

    def change(self, config: SimulatorConfig, *, rate: float) -> None:
        """From the next event on (violations: the next block). What is due stays due.

        Raises ConfigurationError and changes nothing when a pattern cannot happen at this rate.
        """
        check_rate(config.compliance, rate)
        self._world = World(config.transaction, self._rng)
        self._planner.change(config.compliance, Violator(self._world, self._rng))
        self._pace.change(rate=rate, temporal=config.transaction.variability.temporal)
        self._take(config)

    def _take(self, config: SimulatorConfig) -> None:
        mixes, delivery = config.transaction.variability, config.transaction.delivery
        self._lifecycle, self._incidents = (
            config.transaction.lifecycle,
            config.transaction.incidents,
        )
        self._write = writer(self._shape, config.metadata)
        statuses: dict[str, float] = dict(mixes.payment_status)
        if self._shape is Shape.TRANSACTION:
            statuses = {**statuses, "pending": 0.0, "cancelled": 0.0}
        self._first = Weighted(_first_statuses(statuses, mixes.settlements))
        self._refund_share = statuses["refunded"] / statuses["completed"]
        self._settlements = Weighted[str](mixes.settlements)
        self._failures = Weighted[str](mixes.failures)
        # Both shares are of all ordinary events, second deliveries included; the draws are made
        # for those that are written.
        written = 1 - delivery.duplicate_share
        self._invalid = delivery.invalid_share / written
        valid = written - delivery.invalid_share
        self._twice = delivery.duplicate_share / valid if valid else 0.0
        self._failing: Mapping[str, Incident] = {}
        self._look_us = self._start_us

    def __iter__(self) -> Iterator[SimulatedEvent]:
        pace = self._pace
        while True:
            patterns = self._planner.block(per_second=pace.per_second)
            for place in range(BLOCK):
                now_us = pace.next()
                if place in patterns:
                    yield self._violation(patterns[place], now_us)
                else:
                    yield self._ordinary(now_us)

    def _violation(self, pattern: Pattern, now_us: int) -> SimulatedEvent:
        act, answer = pattern.next(now_us)
        payment = act.payment
        latency_us = self._latency(act.failure)
        body = self._write(
            Happening(payment, act.status, act.failure, payment.amount_cents, now_us, latency_us)
        )
        if act.edit is not None:
            document = decode(body)
            act.edit(document, self._shape)
            body = encode(document)
        return SimulatedEvent(Kind.VIOLATION, body, payment.customer.key, now_us, answer)

    def _ordinary(self, now_us: int) -> SimulatedEvent:
        if self._due and self._due[0][0] <= now_us:
            step = heapq.heappop(self._due)[2]
            if isinstance(step, SimulatedEvent):
                return step._replace(at_us=now_us)
            happening = self._happening(step.payment, step.status, now_us)
        else:
            happening = self._happening(self._world.payment(), None, now_us)
        self._plan(happening)
        return self._deliver(happening)

    def _happening(self, payment: Payment, status: str | None, now_us: int) -> Happening:
        rng = self._rng
        failure, amount_cents = "", payment.amount_cents
        if status is None:
            status, failure = self._outcome(payment, now_us)
        if status == "failed":
            failure = failure or self._failures.draw(rng)
        elif status == "refunded" and rng.random() < 0.5:
            amount_cents = min(amount_cents, max(100, amount_cents // 200 * 100))  # about half
        return Happening(payment, status, failure, amount_cents, now_us, self._latency(failure))

    def _outcome(self, payment: Payment, now_us: int) -> tuple[str, str]:
        """How a new payment begins: as the mix says, unless its processor fails."""
        if self._incidents:
            if now_us >= self._look_us:
                self._look_us = now_us + _LOOK_US
                self._failing = _failing(self._incidents, (now_us - self._start_us) / 1e6)
            incident = self._failing.get(payment.merchant.processor)
            if incident is not None and self._rng.random() < incident.failure_share:
                return "failed", incident.failure
        return self._first.draw(self._rng), ""

    def _latency(self, failure: str) -> int:
        if failure == "timeout":
            return _TIMEOUT_US
        return round(180_000 * exp(self._rng.gauss(0, 0.5)))

    def _plan(self, happening: Happening) -> None:
        rng, payment, life = self._rng, happening.payment, self._lifecycle
        match happening.status:
            case "pending":
                settled = _Step(payment, self._settlements.draw(rng))
                self._later(happening, settled, life.settle_seconds)
            case "completed" if rng.random() < self._refund_share:
                self._later(happening, _Step(payment, "refunded"), life.refund_seconds)
            case "failed" if rng.random() < life.retry_share:
                again = _Step(self._world.retry(payment))
                self._later(happening, again, life.retry_seconds)

    def _deliver(self, happening: Happening) -> SimulatedEvent:
        rng, key, now_us = self._rng, happening.payment.customer.key, happening.occurred_us
        body = self._write(happening)
        chance = rng.random()
        if chance < self._invalid:
            body = spoil(decode(body), shape=self._shape, rng=rng)
            return SimulatedEvent(Kind.INVALID, body, key, now_us)
        if chance > 1 - self._twice * (1 - self._invalid):
            again = SimulatedEvent(Kind.DUPLICATE, body, key)
            self._later(happening, again, self._lifecycle.redeliver_seconds)
        return SimulatedEvent(Kind.VALID, body, key, now_us)

    def _later(
        self, happening: Happening, what: _Step | SimulatedEvent, delay_s: tuple[float, float]
    ) -> None:
        due_us = happening.occurred_us + round(self._rng.uniform(*delay_s) * 1e6)
        heapq.heappush(self._due, (due_us, next(self._order), what))


def _failing(incidents: tuple[Incident, ...], since_s: float) -> dict[str, Incident]:
    """The processors that fail now, by name."""
    failing = {}
    for incident in incidents:
        within_s = since_s - incident.after_seconds
        if incident.every_seconds and within_s > 0:
            within_s %= incident.every_seconds
        length_s = incident.duration_seconds
        if within_s >= 0 and (length_s is None or within_s < length_s):
            failing[incident.processor] = incident
    return failing


def _first_statuses(
    statuses: Mapping[str, float], settlements: Mapping[str, float]
) -> dict[str, float]:
    """Weights of a new payment's first status, so that all events together have `statuses`.

    Refunds and the ends of pending payments are later events: what they add is taken off here.
    """
    return {
        status: max(0.0, weight - statuses["pending"] * settlements.get(status, 0.0))
        for status, weight in statuses.items()
        if status != "refunded"
    }
