"""Which events belong to violations, so that the stated share is the true one.

Events are planned in blocks of BLOCK. Of each block a kind gets share x BLOCK events on average:
whole patterns only, the fraction decided by a draw. Each pattern gets places of its own, all within
its time window and the block; every other place is an ordinary event. Nothing is drawn per event,
so no probability is multiplied by another, and no pattern is cut off by the end of a block.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from payflow.lib.errors import ConfigurationError, Problem
from simulator.compliance_config import CATALOGUE, ComplianceConfig, Planned
from simulator.violations import Act, Violator

BLOCK = 10_000
#: tries to find a free place in a window before the whole block will do
_TRIES = 200
_SEVERITIES = {
    f"{scenario}_{name}": info.severity
    for scenario, patterns in CATALOGUE.items()
    for name, info in patterns.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one event was made to be."""

    transaction_id: str
    kind: str
    severity: str
    #: all events of one pattern share it
    pattern_id: str
    #: which of them it is, from 1, and how many they are
    event: int
    events: int
    #: microseconds since 1970 UTC, as the event states it before anything in it is changed
    occurred_us: int


@dataclass(slots=True)
class Pattern:
    """One violation in progress."""

    pattern_id: str
    kind: str
    events: int
    acts: Iterator[Act]
    done: int = field(default=0)

    def next(self, occurred_us: int) -> tuple[Act, Answer]:
        """Its next event and what it is."""
        act = next(self.acts)
        self.done += 1
        return act, Answer(
            transaction_id=act.payment.transaction_id,
            kind=self.kind,
            severity=_SEVERITIES[self.kind],
            pattern_id=self.pattern_id,
            event=self.done,
            events=self.events,
            occurred_us=occurred_us,
        )


class Planner:
    """Plans block after block."""

    def __init__(self, config: ComplianceConfig, violator: Violator, rng: random.Random) -> None:
        self._violator = violator
        self._rng = rng
        self._planned = config.planned()
        self._made = 0
        self._places: dict[int, Pattern] = {}

    def change(self, config: ComplianceConfig, violator: Violator) -> None:
        """From the next block on; what has begun goes on."""
        self._planned, self._violator = config.planned(), violator

    def block(self, *, per_second: float) -> dict[int, Pattern]:
        """Plan one: the pattern that each of its events belongs to, ordinary ones left out."""
        rng = self._rng
        self._places = {}
        for planned in self._planned:
            expected = BLOCK * planned.share / planned.transactions
            for _ in range(int(expected) + (rng.random() < expected % 1)):
                self._place(planned, per_second)
        return self._places

    def _place(self, planned: Planned, per_second: float) -> None:
        self._made += 1
        pattern = Pattern(
            pattern_id=f"{planned.kind}-{self._made}",
            kind=planned.kind,
            events=planned.transactions,
            acts=self._violator.acts(planned),
        )
        length = BLOCK
        if planned.transactions > 1:
            length = min(BLOCK, max(planned.transactions, int(planned.window_s * per_second)))
        first = int(self._rng.random() * (BLOCK - length + 1))
        for _ in range(planned.transactions):
            self._places[self._free(first, length)] = pattern

    def _free(self, first: int, length: int) -> int:
        rng = self._rng
        for _ in range(_TRIES):
            place = first + int(rng.random() * length)
            if place not in self._places:
                return place
        while (place := int(rng.random() * BLOCK)) in self._places:
            pass
        return place


def check_rate(config: ComplianceConfig, rate: float) -> None:
    """Raises ConfigurationError when a pattern cannot happen in its window at this rate."""
    for planned in config.planned():
        if planned.transactions == 1 or planned.window_s * rate >= planned.transactions:
            continue
        scenario = next(name for name in CATALOGUE if planned.kind.startswith(f"{name}_"))
        name = planned.kind.removeprefix(f"{scenario}_")
        message = (
            f"{planned.transactions} events in {planned.window_s:g} s need "
            f"{planned.transactions / planned.window_s:.3g} events a second or more, "
            f"and the rate is {rate:g}."
        )
        pointer = f"/simulator/compliance/scenarios/{scenario}/patterns/{name}"
        raise ConfigurationError(Problem(pointer=pointer, message=message))
