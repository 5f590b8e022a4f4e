"""The generator: repeatable, with the stated mixes, and with payments that have a life."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingestion.parsing.schema import CompiledSchema, compile_schema
from simulator.config import Shape, SimulatorConfig
from simulator.generator import Generator, Kind, SimulatedEvent
from simulator.mistakes import MISTAKES
from simulator.payments import World
from simulator.shapes import Happening, writer

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONFIG = SimulatorConfig()
MIXES = CONFIG.transaction.variability
DELIVERY = CONFIG.transaction.delivery
#: what seed 7 gives first
PINNED = ("8dd65c81-5f32-4c34-87c5-8725612b21bd", 33.15)


def generate(
    count: int, *, shape: Shape = Shape.SIMULATOR, seed: int = 7, start: datetime = START
) -> list[SimulatedEvent]:
    """The first events of a run of 100 a second."""
    generator = Generator(CONFIG, shape=shape, seed=seed, start=start, rate=100)
    return list(itertools.islice(generator, count))


@cache
def sample(shape: Shape) -> list[SimulatedEvent]:
    """20,000 events, made once."""
    return generate(20_000, shape=shape)


def documents(shape: Shape, kind: Kind = Kind.VALID) -> list[dict[str, Any]]:
    """The bodies of one kind as objects."""
    return [json.loads(event.body) for event in sample(shape) if event.kind is kind]


@cache
def schema(shape: Shape) -> CompiledSchema:
    """The shipped schema of a shape."""
    path = Path(__file__).parents[2] / "ingestion" / "schemas" / f"{shape}.yaml"
    return compile_schema(yaml.safe_load(path.read_text()), name=shape)


@pytest.mark.parametrize("shape", Shape)
def test_valid_events_pass_the_shipped_schema_and_the_others_do_not(shape: Shape):
    """A simulator whose events its own parser refuses is of no use."""
    events = sample(shape)

    parsed = schema(shape).parse([event.body for event in events])

    invalid = {n for n, event in enumerate(events) if event.kind is Kind.INVALID}
    assert {row for row, _ in parsed.failures} == invalid
    assert parsed.ignored == []
    assert len(parsed.columns) == len(events) - len(invalid)


@pytest.mark.parametrize("shape", Shape)
def test_redelivered_events_share_their_key_and_no_others_do(shape: Shape):
    """A redelivery is the same event; everything else is one of its own."""
    events = [event for event in sample(shape) if event.kind is not Kind.INVALID]

    keys = schema(shape).parse([event.body for event in events]).columns["event_key"].to_list()

    seen: dict[bytes, bytes] = {}
    for event, key in zip(events, keys, strict=True):
        assert (key in seen) == (event.kind is Kind.DUPLICATE)
        assert seen.setdefault(key, event.body) == event.body


@pytest.mark.parametrize("shape", Shape)
def test_every_mistake_is_one(shape: Shape):
    """Each kind of mistake, many times, never gives an acceptable event."""
    rng = random.Random(1)
    good = documents(shape)[:200]

    bodies = [
        mistake(json.loads(json.dumps(event)), shape, rng) for mistake in MISTAKES for event in good
    ]

    assert len(schema(shape).parse(bodies).failures) == len(bodies)


def test_the_same_seed_and_start_give_the_same_bytes():
    """To the byte; another seed or another start does not."""
    assert generate(2_000) == generate(2_000)
    assert generate(10) != generate(10, seed=8)
    later = {
        json.loads(e.body)["transaction_id"]
        for e in generate(50, start=START + timedelta(1))
        if e.kind is Kind.VALID
    }
    now = {json.loads(e.body)["transaction_id"] for e in generate(50) if e.kind is Kind.VALID}
    assert not later & now


def test_the_bytes_of_a_seed_are_pinned():
    """A change of the generator shows here: whoever recorded a seed gets other events from then."""
    first = json.loads(generate(1)[0].body)

    assert first["transaction_timestamp"] == "2026-03-01T12:00:00.000000Z"
    assert (first["transaction_id"], first["amount"]) == PINNED


def test_event_times_run_from_the_start_at_the_rate():
    """The n-th event happens n/rate seconds after the start."""
    for number, event in enumerate(generate(500)):
        if event.kind is Kind.VALID:
            stated = datetime.fromisoformat(json.loads(event.body)["transaction_timestamp"])
            assert stated == START + timedelta(milliseconds=10 * number)


def _assert_share(seen: int, total: int, expected: float) -> None:
    """Within five standard deviations of a binomial draw."""
    assert abs(seen / total - expected) < 5 * sqrt(expected * (1 - expected) / total) + 1e-9


@pytest.mark.parametrize("shape", Shape)
def test_shares_of_mistakes_and_redeliveries_hold(shape: Shape):
    """Within sampling error of what the configuration says."""
    kinds = Counter(event.kind for event in sample(shape))

    _assert_share(kinds[Kind.INVALID], 20_000, DELIVERY.invalid_share)
    _assert_share(kinds[Kind.DUPLICATE], 20_000, DELIVERY.duplicate_share)


@pytest.mark.parametrize(
    ("field", "mix"),
    [
        ("payment_method", MIXES.payment_methods),
        ("channel", MIXES.channels),
        ("payment_status", {**MIXES.payment_status, "refunded": None}),
    ],
)
def test_mixes_hold(field: str, mix: dict[str, float | None]):
    """Over all valid events, follow-ups included; refunds come late, so a short run has fewer."""
    seen = Counter(event[field] for event in documents(Shape.SIMULATOR))

    assert set(seen) == set(mix)
    for value, expected in mix.items():
        if expected is not None:
            _assert_share(seen[value], seen.total(), expected)


def test_failures_of_the_transaction_shape_hold():
    """declined, timeout and error in their shares, and a timeout takes long."""
    events = documents(Shape.TRANSACTION)
    failed = [event for event in events if event["status"] != "success"]

    seen = Counter(event["status"] for event in failed)

    for word, expected in MIXES.failures.items():
        _assert_share(seen[word], len(failed), expected)
    assert {e["metadata"]["processing_time_ms"] for e in failed if e["status"] == "timeout"} == {
        30_000.0
    }


def test_payments_have_a_life():
    """Pending is settled once, a refund follows its completion and is not larger, and all is said
    of the same customer, merchant and currency."""
    lives: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in documents(Shape.SIMULATOR):
        lives[event["transaction_id"]].append(event)

    stories = Counter(tuple(event["payment_status"] for event in life) for life in lives.values())

    assert stories[("pending", "completed")] > 100
    assert stories[("completed", "refunded")] > 50
    for life in lives.values():
        times = [event["transaction_timestamp"] for event in life]
        assert times == sorted(times)
        assert len({(e["customer_id"], e["merchant_id"], e["currency"]) for e in life}) == 1
        for event in life:
            refund = event["payment_status"] == "refunded"
            assert event["transaction_type"] == ("refund" if refund else "payment")
            assert event["amount"] <= max(e["amount"] for e in life)


def test_failed_payments_are_tried_again():
    """The same customer, merchant and amount, as another transaction."""
    events = documents(Shape.SIMULATOR)
    attempts = Counter(
        (e["customer_id"], e["merchant_id"], e["amount"])
        for e in events
        if e["transaction_type"] == "payment" and e["payment_status"] != "pending"
    )

    assert sum(count > 1 for count in attempts.values()) > 200


@pytest.mark.parametrize("shape", Shape)
@pytest.mark.parametrize("cents", [1, 10, 100, 105, 123_456_789_012_345])
def test_amounts_are_written_exactly(shape: Shape, cents: int):
    """A cent is a cent, whatever floats think of it."""
    payment = World(CONFIG.transaction, random.Random(1)).payment()
    happening = Happening(payment, "completed", "", cents, 0, 1)

    body = writer(shape, CONFIG.metadata)(happening)

    assert json.loads(body, parse_float=Decimal)["amount"] == Decimal(cents) / 100


def test_yen_have_no_cents():
    """A currency without a minor unit gets whole amounts."""
    amounts = [e["amount"] for e in documents(Shape.SIMULATOR) if e["currency"] == "JPY"]

    assert amounts
    assert all(isinstance(amount, int) and amount > 0 for amount in amounts)
