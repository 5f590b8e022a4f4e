"""Events over HTTP: as many as a few senders can push, through gunicorn, to a durable stream.

    python bench/push.py [--events 100000] [--batch 500] [--senders 4] [--workers 2] [--gzip]
        [--json]

Real servers with fsync, gunicorn as the Procfile starts it (with more workers, if asked for),
simulated payments as NDJSON, a token, and a new Idempotency-Key a request. The senders are a
process of this machine, too. `events_per_s` counts what the streams hold in the end, between the
first request and the last answer. Nobody drains: that is bench/pipeline.py.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import multiprocessing
import shutil
import socket
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.kill.traffic import make  # noqa: E402
from tests.kill.world import World  # noqa: E402

_PATH = "/api/v1/sources/demo/events"
_OPEN = """
from django.contrib.auth.models import User
from knox.models import AuthToken
from configuration.models import Source
from ingestion.push.models import PushAccess
sender = User.objects.create_user("bench")
PushAccess.objects.create(source=Source.objects.get(name="demo")).senders.add(sender)
print(AuthToken.objects.create(sender)[1])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=500, help="events of a request")
    parser.add_argument("--senders", type=int, default=4, help="requests at a time")
    parser.add_argument("--workers", type=int, default=2, help="processes of gunicorn")
    parser.add_argument("--gzip", action="store_true", help="pack the requests")
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    options = vars(parser.parse_args())
    quiet = options.pop("json")
    result = run(**options)
    if not quiet:
        for name, value in result.items():
            print(f"{name:<20}{value}")
    print(json.dumps(result))


def run(*, events: int, batch: int, senders: int, workers: int, gzip: bool) -> dict[str, Any]:
    """One run in a directory of its own, which is removed before the next."""
    directory = ROOT / "var" / "bench" / "push"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    bodies = _bodies(events, batch=batch, packed=gzip)
    world = World(directory, durable=True)
    try:
        token = world.manage("shell", "-v0", "-c", _OPEN).stdout.split()[-1]
        port = _start_web(world, workers=workers)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            warm_up, timed = bodies[:senders], bodies[senders:]
            pool.apply(send, (port, token, warm_up, senders, gzip))
            before = _held(world)
            seconds, took_ms, statuses = pool.apply(send, (port, token, timed, senders, gzip))
        held = _held(world) - before
    finally:
        world.stop()
    took_ms.sort()
    return {
        "events": held,
        "events_per_s": round(held / seconds),
        "requests_per_s": round(len(timed) / seconds, 1),
        "batch": batch,
        "senders": senders,
        "workers": workers,
        "gzip": gzip,
        "mb_per_s": round(sum(map(len, timed)) / seconds / 1e6, 1),
        **{f"p{p}_ms": round(took_ms[len(took_ms) * p // 100], 1) for p in (50, 95, 99)},
        "statuses": statuses,
    }


def send(
    port: int, token: str, bodies: list[bytes], senders: int, packed: bool
) -> tuple[float, list[float], dict[str, int]]:
    """Push all bodies: seconds, milliseconds of each request, how often each status came."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
    if packed:
        headers["Content-Encoding"] = "gzip"

    def push_share(number: int) -> tuple[list[float], list[int]]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        took_ms, statuses = [], []
        for body in bodies[number::senders]:
            started = time.perf_counter()
            key = {"Idempotency-Key": uuid.uuid4().hex}
            connection.request("POST", _PATH, body, headers | key)
            answer = connection.getresponse()
            answer.read()
            took_ms.append((time.perf_counter() - started) * 1000)
            statuses.append(answer.status)
        connection.close()
        return took_ms, statuses

    started = time.perf_counter()
    with ThreadPoolExecutor(senders) as threads:
        shares = list(threads.map(push_share, range(senders)))
    seconds = time.perf_counter() - started
    told = [str(status) for _, statuses in shares for status in statuses]
    counts = {status: told.count(status) for status in sorted(set(told))}
    return seconds, [ms for took_ms, _ in shares for ms in took_ms], counts


def _bodies(events: int, *, batch: int, packed: bool) -> list[bytes]:
    messages, _ = make(events, seed=5)
    chunks = [b"\n".join(messages[start : start + batch]) for start in range(0, events, batch)]
    return [gzip.compress(chunk, compresslevel=1) for chunk in chunks] if packed else chunks


def _start_web(world: World, *, workers: int) -> int:
    """gunicorn as in the Procfile; the port, once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    # fmt: off
    world.start(
        "-m", "gunicorn", "payflow.wsgi", "--worker-class", "gthread", "--workers", str(workers),
        "--threads", "8", "--bind", f"127.0.0.1:{port}", "--no-control-socket",
        PAYFLOW_ROLE="web",
    )
    # fmt: on
    deadline = time.monotonic() + 30
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/livez")
            if connection.getresponse().status == HTTPStatus.OK:
                return port
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        finally:
            connection.close()


def _held(world: World) -> int:
    with world.streams() as client:
        return sum(int(client.xlen(f"payflow.demo.{n}")) for n in range(world.partitions))


if __name__ == "__main__":
    main()
