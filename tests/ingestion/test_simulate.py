"""manage.py simulate: to a source, to a file, to a pipe, and stopped by signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from configuration.models import Source

MANAGE = Path(__file__).parents[2] / "manage.py"
START = "2026-03-01T12:00:00Z"


def _source(**fields: Any) -> Source:
    row = {
        "name": "demo",
        "broker_type": "redis_streams",
        "settings": {"stream": "demo", "partitions": 2},
        "schema_name": "simulator",
        **fields,
    }
    return Source.objects.create(**row)


def _simulate(*arguments: str) -> str:
    said = StringIO()
    call_command("simulate", *arguments, stderr=said)
    return said.getvalue()


def _bodies(streams: redis.Redis) -> list[dict[str, Any]]:
    entries: list[Any] = []
    for key in ("demo.0", "demo.1"):
        entries += streams.xrange(key) or []
    return [json.loads(fields[b"body"]) for _, fields in entries if _is_json(fields[b"body"])]


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


@pytest.mark.django_db
def test_events_reach_the_streams_of_the_source(streams: redis.Redis):
    """In the shape of the source's schema, at the time they are sent."""
    _source()

    said = _simulate("--source", "demo", "--count", "200", "--rate", "2000", "--seed", "7")

    assert streams.xlen("demo.0") + streams.xlen("demo.1") == 200
    stamp = next(b["transaction_timestamp"] for b in _bodies(streams) if "user_agent" in str(b))
    assert abs((datetime.fromisoformat(stamp) - datetime.now(UTC)).total_seconds()) < 60
    assert "200 events sent, " in said


@pytest.mark.django_db
def test_the_shape_follows_the_schema_unless_it_is_said(streams: redis.Redis):
    """Any other schema gets the transaction shape."""
    _source(schema_name="acme")

    _simulate("--source", "demo", "--count", "20", "--rate", "1000", "--seed", "7")
    assert any("status" in body for body in _bodies(streams))
    streams.flushdb()
    _simulate(
        "--source", "demo", "--count", "20", "--rate", "1000", "--seed", "7", "--shape", "simulator"
    )

    assert any("payment_status" in body for body in _bodies(streams))


def test_a_file_is_the_same_to_the_byte(tmp_path: Path):
    """Same seed, start and rate; rate times duration events, without waiting for them."""
    started = time.monotonic()
    for name in ("a", "b"):
        _simulate(
            "--out",
            str(tmp_path / name),
            "--rate",
            "500",
            "--duration",
            "20",
            "--seed",
            "7",
            "--start",
            START,
        )

    assert time.monotonic() - started < 8
    content = (tmp_path / "a").read_bytes()
    assert content == (tmp_path / "b").read_bytes()
    assert content.count(b"\n") == 10_000


def test_a_scenario_writes_its_answers_beside_its_events(tmp_path: Path):
    """Both files the same to the byte; each answer names an event of the file."""
    contents = []
    for name in ("a", "b"):
        out, answers = tmp_path / name, tmp_path / f"{name}.jsonl"
        said = _simulate(
            "--scenario", "compliance-mix", "--out", str(out), "--answers", str(answers),
            "--count", "4000", "--seed", "7", "--start", START,
        )  # fmt: skip
        contents.append((out.read_bytes(), answers.read_bytes()))

    assert contents[0] == contents[1]
    events, lines = (content.splitlines() for content in contents[0])
    assert 400 < len(lines) < 650
    assert f"; {len(lines)} belong to violations." in said
    known = {match for event in events if (match := event[19:55])}
    assert {json.loads(line)["transaction_id"].encode() for line in lines} <= known


def test_a_configuration_file_is_taken_up_while_it_runs(tmp_path: Path):
    """A wrong change is reported and changes nothing; the next right one counts."""
    path, out = tmp_path / "sim.yaml", tmp_path / "out.ndjson"
    text = (
        "simulator: {{output: {{destination: file, file_path: {out}, rate_limit: 200}}, "
        "transaction: {{variability: {{currencies: {mix}}}, "
        "volume: {{duration: 0, total: 100000}}}}}}"
    )
    path.write_text(text.format(out=out, mix="{EUR: 1}"))
    with _started("--config", str(path)) as child:
        assert child.stderr is not None
        said = iter(child.stderr.readline, "")
        while not out.exists() or out.stat().st_size == 0:
            time.sleep(0.05)

        path.write_text(text.format(out=out, mix="{CHF: 0.3}"))
        assert "currencies: the shares sum to 0.3, not to 1" in next(said)
        path.write_text(text.format(out=out, mix="{CHF: 1}"))
        assert next(said).endswith("has changed and counts now.\n")
        time.sleep(1)
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=10) == 0

    assert b'"EUR"' in out.read_bytes()[:20_000]
    assert b'"CHF"' in out.read_bytes()[-20_000:]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--source NAME or --out FILE"),
        (["--source", "none"], "There is no source none; there are: demo"),
        (["--source", "demo", "--rate", "0"], "--rate must be at least 1"),
        (["--source", "demo", "--duration", "-1"], "--duration must not be negative"),
        (["--source", "demo", "--count", "0"], "--count must be at least 1"),
        (["--out", "x", "--scenario", "none"], "There is no scenario none; there are: normal-day"),
        (["--out", "/nowhere/x"], "No such file or directory"),
        (["--out", "x", "--duration", "0"], "say --duration or --count"),
    ],
)
def test_what_cannot_be_is_said(arguments: list[str], words: str):
    """One sentence, no traceback."""
    _source()

    with pytest.raises(CommandError, match=words):
        _simulate(*arguments)


@pytest.mark.django_db
def test_a_source_with_bad_settings_is_refused_with_the_field():
    """As the consumer would refuse it."""
    _source(settings={"stream": "demo", "partitions": 0})

    with pytest.raises(CommandError, match="/settings/partitions: partitions is 0"):
        _simulate("--source", "demo")


def test_signal_handlers_are_put_back():
    """Whoever calls the command keeps its own."""
    before = signal.getsignal(signal.SIGTERM)

    _simulate("--out", os.devnull, "--count", "1")

    assert signal.getsignal(signal.SIGTERM) is before


@contextmanager
def _started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command as a process, on this test's database; killed if it is still there at the end."""
    url = os.environ["DATABASE_URL"].rpartition("/")[0]
    child = subprocess.Popen(
        [sys.executable, str(MANAGE), "simulate", *arguments],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "payflow.settings",
            "DATABASE_URL": f"{url}/{connection.settings_dict['NAME']}",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        try:
            yield child
        finally:
            child.kill()


def _said(child: subprocess.Popen[str]) -> str:
    assert child.stderr is not None
    return child.stderr.read()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once(streams: redis.Redis, number: signal.Signals):
    """Cleanly: a summary, exit code 0, no traceback; also while the stream is full."""
    _source(settings={"stream": "demo", "partitions": 1, "max_length": 1000})
    with _started("--source", "demo", "--duration", "0", "--rate", "5000") as child:
        assert child.stderr is not None
        said = iter(child.stderr.readline, "")
        assert any("that nobody has read. Waiting." in line for line in said)

        stopped = time.monotonic()
        child.send_signal(number)
        code = child.wait(timeout=10)
        ended = time.monotonic()

        summary = _said(child)
    assert code == 0
    assert ended - stopped < 5
    length = streams.xlen("demo.0")
    assert 750 < length <= 1000
    assert summary.startswith(f"{length:,} events sent, ")
    assert summary.count("\n") == 1


def test_a_reader_that_leaves_ends_it_quietly():
    """`simulate --out - | head`."""
    with _started("--out", "-", "--duration", "0") as child:
        assert child.stdout is not None

        json.loads(child.stdout.readline())
        child.stdout.close()

        assert child.wait(timeout=20) == 0
        assert "Traceback" not in _said(child)
