"""What scrubbing costs per message, and how many random ids it takes for card data.

    POLARS_MAX_THREADS=1 python bench/scrub.py --json
    python bench/scrub.py --ids 1000000 --json

Prints one JSON object as its last line. The time of a clean batch is compared with
msgspec.json.decode of the same bytes in the same run; each figure is the best of `--repeat`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import string
import sys
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import msgspec

from ingestion.scrub import ScrubRules, scrub

_RULES = ScrubRules(spared=("transaction_id",))
_KEY = b"bench"
_BASE62 = string.digits + string.ascii_letters
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MONDAY_MS = 1_768_780_800_000


def _clean_event(rng: random.Random) -> bytes:
    """A payment event of about 550 bytes with the ids and flags that come close to card data."""
    return json.dumps(
        {
            "event_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            "transaction_id": f"txn_{rng.getrandbits(64):016x}",
            "transaction_timestamp": f"2026-01-19T10:07:{rng.randrange(10, 60)}Z",
            "ingested_ms": _MONDAY_MS + rng.randrange(86_400_000),
            "amount": rng.randrange(1, 500_000) / 100,
            "currency": "EUR",
            "payment_method": "credit_card",
            "payment_status": "completed",
            "merchant_id": f"MERCH-{rng.randrange(10**8):08d}",
            "customer_id": f"CUST-{rng.randrange(10**8):08d}",
            "customer_email": f"user{rng.randrange(10**6)}@example.com",
            "channel": "web",
            "metadata": {
                "ip_address": f"192.168.{rng.randrange(256)}.{rng.randrange(256)}",
                "card_last4": f"{rng.randrange(10**4):04d}",
                "card_brand": "Visa",
                "cvv_provided": True,
                "risk_score": rng.random(),
            },
        }
    ).encode()


def _card_number(rng: random.Random) -> str:
    """Sixteen digits of a Visa that pass Luhn."""
    body = f"4{rng.randrange(10**14):014d}"
    total = sum(int(d) if i % 2 else sum(divmod(2 * int(d), 10)) for i, d in enumerate(body))
    return body + str(-total % 10)


def _digits(rng: random.Random, *, size: int) -> str:
    return str(rng.randrange(10 ** (size - 1), 10**size))


_IDS: dict[str, Callable[[random.Random], str]] = {
    "uuid4": lambda rng: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
    "uuid4_hex": lambda rng: uuid.UUID(int=rng.getrandbits(128), version=4).hex,
    "ulid": lambda rng: "01KF" + "".join(rng.choices(_CROCKFORD, k=22)),
    "mongo_hex24": lambda rng: f"{_MONDAY_MS // 1000:08x}{rng.getrandbits(64):016x}",
    "sha256_hex64": lambda rng: f"{rng.getrandbits(256):064x}",
    "base62_22": lambda rng: "".join(rng.choices(_BASE62, k=22)),
    "cust_8": lambda rng: f"CUST-{rng.randrange(10**8):08d}",
    "snowflake_now": lambda rng: str((_MONDAY_MS - 1288834974657 << 22) + rng.getrandbits(50)),
    "snowflake_any": lambda rng: str(rng.randrange(10**17, 19 * 10**17)),
    "epoch_ms": lambda rng: str(rng.randrange(10**12, 2 * 10**12)),
    "epoch_us": lambda rng: str(rng.randrange(10**15, 2 * 10**15)),
    "iso_time": lambda rng: (
        f"2026-01-{rng.randrange(1, 32):02d} {rng.randrange(24):02d}:00:00.123456"
    ),
    "phone_de": lambda rng: f"+491{rng.randrange(5 * 10**9, 8 * 10**9)}",
    "phone_de_bare": lambda rng: f"491{rng.randrange(5 * 10**9, 8 * 10**9)}",
    "iban_de_spaced": lambda rng: _in_fours(f"DE{rng.randrange(10**20):020d}"),
    "ratio": lambda rng: str(rng.random()),
    **{f"digits_{size}": partial(_digits, size=size) for size in range(12, 21)},
}


def _in_fours(text: str) -> str:
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def _best_us(work: Callable[[], object], *, messages: int, repeat: int) -> float:
    """Microseconds per message of the fastest run."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return round(min(times) / messages * 1e6, 3)


def measure_speed(*, messages: int, repeat: int) -> dict[str, float]:
    """Clean, telephone-like and dirty batches; times in microseconds per message."""
    rng = random.Random(7)
    clean = [_clean_event(rng) for _ in range(messages)]
    dirty = [
        body.replace(b'"Visa"', b'"%s"' % _card_number(rng).encode())
        for body in clean[: messages // 10]
    ]
    numeric_ids = [
        body.replace(b'"CUST-', b'"4%d' % rng.randrange(10**7, 10**8))
        for body in clean[: messages // 10]
    ]

    def run(bodies: list[bytes]) -> Callable[[], object]:
        return lambda: scrub(bodies, None, None, rules=_RULES, key=_KEY)

    decode = msgspec.json.decode
    return {
        "bytes_per_message": round(sum(map(len, clean)) / messages, 1),
        "clean_us": _best_us(run(clean), messages=messages, repeat=repeat),
        "msgspec_decode_us": _best_us(
            lambda: [decode(body) for body in clean], messages=messages, repeat=repeat
        ),
        "dirty_us": _best_us(run(dirty), messages=len(dirty), repeat=repeat),
        "numeric_ids_us": _best_us(run(numeric_ids), messages=len(numeric_ids), repeat=repeat),
    }


def measure_false_masks(*, ids: int) -> dict[str, float]:
    """Share of random ids, each alone in a JSON string, that scrubbing changes; in percent."""
    shares = {}
    for name, make in _IDS.items():
        rng = random.Random(name)
        hits = 0
        for begin in range(0, ids, 10_000):
            bodies = [
                f'{{"reference":"{make(rng)}"}}'.encode() for _ in range(min(10_000, ids - begin))
            ]
            hits += len(scrub(bodies, None, None, rules=_RULES, key=_KEY).hits)
        shares[name] = round(100 * hits / ids, 4)
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--ids", type=int, default=0, help="random ids of each kind to try")
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    options = parser.parse_args()
    result: dict[str, object] = dict(
        measure_speed(messages=options.messages, repeat=options.repeat)
    )
    if options.ids:
        result["false_masks_percent"] = measure_false_masks(ids=options.ids)
    if not options.json:
        for name, value in result.items():
            print(f"{name:20} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
