"""What parsing and validating cost per message, against decoders that only decode.

    POLARS_MAX_THREADS=1 python bench/parse.py --json

Prints one JSON object as its last line. `clean` are the simulator's valid events only, `mixed` is
what it sends by default (duplicates and broken events among them); `parts` are the valid events in
messages of 100, per event; `slow` is the slow path alone.
Each figure is CPU time per message in microseconds, the best of `--repeat` interleaved rounds.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import msgspec
import orjson
import yaml

from ingestion.parsing import CompiledSchema, compile_schema
from simulator.config import Shape, SimulatorConfig
from simulator.generator import Generator, Kind

#: events of one message, and where they are in it
_PARTS = 100
_PLACE = "batch.events."
_SCHEMAS = Path(__file__).resolve().parent.parent / "ingestion/schemas"


def main() -> None:
    """Measure both shapes and print them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    options = parser.parse_args()
    result = {
        shape.value: _measure(shape, messages=options.messages, repeat=options.repeat)
        for shape in Shape
    }
    if not options.json:
        for shape, figures in result.items():
            for name, value in figures.items():
                print(f"{shape:12} {name:28} {value:10.3f}")
    print(json.dumps(result))


def _measure(shape: Shape, *, messages: int, repeat: int) -> dict[str, float]:
    document = yaml.safe_load((_SCHEMAS / f"{shape}.yaml").read_text())
    schema = compile_schema(document, name=shape.value)
    clean = _events(shape, messages, only=frozenset({Kind.VALID}))
    mixed = _events(shape, messages, only=frozenset(Kind))
    accepted = len(schema.parse(clean).columns)
    if accepted != messages:
        raise SystemExit(f"{shape}: {messages - accepted} valid events were not accepted")
    exploded = compile_schema(_within_array(document), name=shape.value)
    reports = [
        b'{"batch":{"events":[' + b",".join(clean[at : at + _PARTS]) + b"]}}"
        for at in range(0, messages, _PARTS)
    ]
    if len(exploded.parse(reports).columns) != messages:
        raise SystemExit(f"{shape}: not every part was accepted")
    calls: dict[str, Callable[[], object]] = {
        "orjson_us": partial(_each, orjson.loads, clean),
        "msgspec_us": partial(_each, msgspec.json.Decoder().decode, clean),
        "json_us": partial(_each, json.loads, clean),
        "clean_us": partial(schema.parse, clean),
        "mixed_us": partial(schema.parse, mixed),
        "parts_us": partial(exploded.parse, reports),
        "slow_us": partial(_slowly, schema, clean[: messages // 10]),
    }
    times = _best(calls, repeat=repeat)
    figures = {name: seconds / messages * 1e6 for name, seconds in times.items()}
    figures["slow_us"] *= messages / (messages // 10)
    failed = len(schema.parse(mixed).failures)
    return {
        "bytes": sum(map(len, clean)) / messages,
        **figures,
        "clean_to_orjson": figures["clean_us"] / figures["orjson_us"],
        "clean_to_msgspec": figures["clean_us"] / figures["msgspec_us"],
        "mixed_failed_share": failed / messages,
    }


def _within_array(document: dict[str, Any]) -> dict[str, Any]:
    """The schema for the same events as elements of an array."""
    moved = copy.deepcopy(document)
    for column in (*moved["columns"].values(), *moved.get("attributes", {}).values()):
        for key in column.keys() & {"path", "first"}:
            paths = column[key]
            column[key] = _PLACE + paths if key == "path" else [_PLACE + path for path in paths]
    route = moved.pop("route", {})
    if route:
        moved["route"] = {k if k == "otherwise" else _PLACE + k: v for k, v in route.items()}
    element = moved.pop("json_schema", {})
    element.pop("$schema", None)
    around = {"type": "object", "properties": {"events": element}}
    return {**moved, "explode": "batch.events[]", "json_schema": {"properties": {"batch": around}}}


def _events(shape: Shape, count: int, *, only: frozenset[Kind]) -> list[bytes]:
    start = datetime(2026, 1, 19, tzinfo=UTC)
    events = Generator(SimulatorConfig(), shape=shape, seed=7, start=start, rate=500)
    return list(islice((event.body for event in events if event.kind in only), count))


def _each(decode: Callable[[bytes], object], bodies: Sequence[bytes]) -> list[object]:
    """Decode a batch and keep it, as whoever works on a batch must."""
    return list(map(decode, bodies))


def _slowly(schema: CompiledSchema, bodies: Sequence[bytes]) -> None:
    schema.parse_slowly(bodies)


def _best(calls: dict[str, Callable[[], object]], *, repeat: int) -> dict[str, float]:
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(repeat):
        for name, call in calls.items():
            began = time.process_time()
            call()
            best[name] = min(best[name], time.process_time() - began)
    return best


if __name__ == "__main__":
    main()
