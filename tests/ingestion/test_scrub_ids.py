"""Random ids outside spared paths: how many scrubbing takes for card numbers."""

from __future__ import annotations

import os
import random
import string
import uuid
from collections.abc import Callable

import pytest

from ingestion.scrub import ScrubRules, scrub

FEW, MANY = 50_000, 1_000_000
MOST = 0.001  # share of ids that may be masked
TWITTER_EPOCH_MS = 1288834974657
NOW_MS = 1768780800000

IDS: dict[str, Callable[[random.Random], str]] = {
    "uuid4": lambda rng: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
    "uuid4_hex": lambda rng: uuid.UUID(int=rng.getrandbits(128), version=4).hex,
    "ulid": lambda rng: "01KF" + "".join(rng.choices("0123456789ABCDEFGHJKMNPQRSTVWXYZ", k=22)),
    "mongo": lambda rng: f"{NOW_MS // 1000:08x}{rng.getrandbits(64):016x}",
    "base62": lambda rng: "".join(rng.choices(string.digits + string.ascii_letters, k=22)),
    "customer": lambda rng: f"CUST-{rng.randrange(10**8):08d}",
    "snowflake": lambda rng: str((NOW_MS - TWITTER_EPOCH_MS << 22) - rng.getrandbits(59)),
    "epoch_ms": lambda rng: str(rng.randrange(10**12, 2 * 10**12)),
    "epoch_us": lambda rng: str(rng.randrange(10**15, 2 * 10**15)),
}


def share_masked(kind: str, *, ids: int, quote: str) -> float:
    """The share of `ids` messages, one id each, that scrubbing changes."""
    rng = random.Random(os.environ.get("PAYFLOW_SEED", kind))
    masked = 0
    for begin in range(0, ids, 10_000):
        batch = [f'{{"reference":{quote}{IDS[kind](rng)}{quote}}}'.encode() for _ in range(10_000)]
        masked += len(scrub(batch, None, None, rules=ScrubRules(), key=b"k").hits)
        assert begin + len(batch) <= ids
    return masked / ids


@pytest.mark.parametrize("kind", IDS)
def test_at_most_one_id_in_a_thousand_is_masked(kind: str) -> None:
    """UUIDs, ULIDs, hex, base62, customer ids, snowflakes and times keep their digits."""
    assert share_masked(kind, ids=FEW, quote='"') <= MOST


@pytest.mark.parametrize("kind", ["snowflake", "epoch_ms", "epoch_us"])
def test_numbers_are_no_exception(kind: str) -> None:
    """The same ids as JSON numbers are kept as well."""
    assert share_masked(kind, ids=FEW, quote="") <= MOST


@pytest.mark.slow
@pytest.mark.parametrize("kind", IDS)
def test_the_figure_holds_for_a_million(kind: str) -> None:
    """The acceptance figure: at most 0.1 % of a million ids of each kind."""
    assert share_masked(kind, ids=MANY, quote='"') <= MOST
