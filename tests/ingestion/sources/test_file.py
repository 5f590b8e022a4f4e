"""The file source: the contract on both formats, and what is special about files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from ingestion.sources import file_records
from ingestion.sources.base import Checkpoint, MessageConsumer
from ingestion.sources.factory import ConsumerFactory
from payflow.lib.errors import ConfigurationError, Permanent, PositionLost, SourceUnavailable
from tests.ingestion.sources.contract import (
    Harness,
    SourceContract,
    all_bodies,
    beginning,
    drain,
    numbered,
)

MARCH = datetime(2026, 3, 1)  # noqa: DTZ001 - Parquet has times without a zone


class FileHarness(Harness):
    """One file at a time, NDJSON unless a test writes another."""

    broker_type = "file"
    partitions = 1

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.at(directory / "events.ndjson")

    def at(self, path: Path) -> FileHarness:
        """The file to read."""
        self.path = path
        self.settings = {"path": str(path)}
        return self

    def read_at(self, path: Path) -> MessageConsumer:
        """A consumer at the beginning of what is there."""
        consumer = self.at(path).connect()
        consumer.checkpoint(beginning(consumer, consumer.partitions()[0]))
        return consumer

    def load(self, *bodies: Sequence[bytes]) -> None:
        (lines,) = bodies
        self.path.write_bytes(b"".join(line + b"\n" for line in lines))


@pytest.fixture
def source(tmp_path: Path) -> Iterator[FileHarness]:
    """A harness in a directory of its own."""
    harness = FileHarness(tmp_path)
    yield harness
    harness.close()


class TestFileContract(SourceContract):
    """The contract on NDJSON."""


def test_the_partition_is_the_content(source: FileHarness, tmp_path: Path):
    """A copy under another name is the same partition, one more byte another one."""
    content = b'{"a":1}\n'
    names = []
    for name, data in (("a.ndjson", content), ("b.jsonl", content), ("c.ndjson", content + b" ")):
        (tmp_path / name).write_bytes(data)
        names += source.read_at(tmp_path / name).partitions()

    assert names[0] == names[1] == hashlib.sha256(content).hexdigest()
    assert names[2] != names[0]


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b'{"a":1}\n{"a":2}', [b'{"a":1}', b'{"a":2}']),  # no line end at the end
        (b'{"a":1}\r\n{"a":2}\r\n', [b'{"a":1}', b'{"a":2}']),  # CRLF is no part of a record
        (b'\n\n{"a":1}\n \t\r\n{"a":2}\n\n', [b'{"a":1}', b'{"a":2}']),  # white space is no record
        (b'\xef\xbb\xbf{"a":1}\n', [b'{"a":1}']),  # nor is a byte order mark
        (b'  {"a":1}  \n', [b'  {"a":1}  ']),  # blanks around a record are its own bytes
        (b"\x00\n\xff\xfe\n", [b"\x00", b"\xff\xfe"]),  # whatever is there is a record
        (b"", []),
    ],
)
def test_a_line_is_a_record(
    source: FileHarness, tmp_path: Path, content: bytes, records: list[bytes]
):
    """Own bytes without the line end; lines of white space are skipped and have no number."""
    path = tmp_path / "x.ndjson"
    path.write_bytes(content)

    batches = drain(source.read_at(path))

    assert all_bodies(batches) == records
    assert [o for batch in batches for o in batch.offsets] == [str(n) for n in range(len(records))]


def test_a_file_without_lines_is_refused(
    source: FileHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Memory must not pay for a file that is no NDJSON, however often it is tried."""
    monkeypatch.setattr(file_records, "MAX_LINE", 1000)
    path = tmp_path / "x.ndjson"
    path.write_bytes(b"short\n" + b"x" * 5000)
    consumer = source.read_at(path)

    batch = consumer.consume_batch(wait_s=0)
    assert batch is not None
    assert batch.bodies == [b"short"]
    for _ in range(2):
        with pytest.raises(Permanent, match="longer than"):
            consumer.consume_batch(wait_s=0)


@pytest.mark.parametrize("change", ["append", "replace"])
def test_a_file_that_changes_while_it_is_read_stops(
    source: FileHarness, tmp_path: Path, change: str
):
    """Its name was made from other bytes: going on would put records under a wrong name."""
    consumer = source.read(numbered(10_001))
    assert consumer.consume_batch(wait_s=0)

    if change == "append":
        with source.path.open("ab") as file:
            file.write(b"{}\n")
    else:
        other = tmp_path / "other"
        other.write_bytes(source.path.read_bytes())
        other.replace(source.path)

    with pytest.raises(PositionLost, match="changed"):
        consumer.consume_batch(wait_s=0)


def test_another_content_is_another_partition(source: FileHarness, tmp_path: Path):
    """A checkpoint of a file that was overwritten does not point into the new one."""
    partition = source.read(numbered(10)).partitions()[0]
    source.load(numbered(11))
    consumer = source.connect()

    with pytest.raises(PositionLost, match="changed"):
        consumer.checkpoint(Checkpoint(partition=partition, position="5", sequence_number=5))


def test_a_missing_file_is_a_bad_world(source: FileHarness, tmp_path: Path):
    """It may be mounted later; the message names the path."""
    with pytest.raises(SourceUnavailable, match=r"none\.ndjson: No such file"):
        source.at(tmp_path / "none.ndjson").connect()


@pytest.mark.parametrize(
    ("settings", "pointer", "words"),
    [
        ({}, "/settings/path", "path is missing"),
        ({"path": 5}, "/settings/path", "path is 5; it must be a text"),
        (
            {"path": "x.xml"},
            "/settings/format",
            "format is missing; it must be one of ndjson, js",
        ),
        ({"path": "x.ndjson", "format": "xml"}, "/settings/format", "format is 'xml'"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], pointer: str, words: str):
    """Field, value and rule are named."""
    with pytest.raises(ConfigurationError) as caught:
        ConsumerFactory.validate("file", settings)

    assert any(p.pointer == pointer and words in p.message for p in caught.value.problems)


# --- Parquet -------------------------------------------------------------------------------------


def test_a_parquet_row_is_one_canonical_object(source: FileHarness, tmp_path: Path):
    """Keys in column order, nulls kept, money to its last digit, times in UTC."""
    path = tmp_path / "x.parquet"
    pl.DataFrame(
        {
            "z": [Decimal("12345678901234567.8900"), None],
            "a": [MARCH + timedelta(milliseconds=120), None],
            "tz": [MARCH.replace(tzinfo=UTC), None],
            "d": [date(2024, 2, 29), None],
            "f32": [0.1, None],
            "f": [float("nan"), 1e300],
            "list": [[MARCH, None], None],
            "struct": [{"x": MARCH, "y": [Decimal("1.10")]}, None],
            "b": [b"\xff\x00", None],
            "c": ["x", "y"],
            "u": [2**64 - 1, None],
            'quote"': ["é\n", ""],
        },
        schema_overrides={
            "z": pl.Decimal(38, 4),
            "tz": pl.Datetime("ns", "Asia/Tokyo"),
            "f32": pl.Float32,
            "c": pl.Categorical,
            "u": pl.UInt64,
        },
    ).write_parquet(path)

    bodies = all_bodies(drain(source.read_at(path)))

    first, second = (body.decode() for body in bodies)
    assert first == (
        '{"z":12345678901234567.8900,"a":"2026-03-01T00:00:00.120Z","tz":"2026-03-01T00:00:00Z",'
        '"d":"2024-02-29","f32":0.1,"f":null,"list":["2026-03-01T00:00:00Z",null],'
        '"struct":{"x":"2026-03-01T00:00:00Z","y":[1.10]},"b":"/wA=","c":"x",'
        '"u":18446744073709551615,"quote\\"":"é\\n"}'
    )
    assert second == (
        '{"z":null,"a":null,"tz":null,"d":null,"f32":null,"f":1e300,"list":null,"struct":null,'
        '"b":null,"c":"y","u":null,"quote\\"":""}'
    )


def test_parquet_rows_resume_anywhere(source: FileHarness, tmp_path: Path):
    """Rows come once and in order, in batches, from any row, over several row groups."""
    path = tmp_path / "x.parquet"
    pl.DataFrame({"n": range(25_000)}).write_parquet(path, row_group_size=3_000)
    consumer = source.read_at(path)
    partition = consumer.partitions()[0]

    batches = drain(consumer)
    consumer.checkpoint(Checkpoint(partition=partition, position="24000", sequence_number=24_000))
    tail = drain(consumer)

    assert [json.loads(body)["n"] for body in all_bodies(batches)] == list(range(25_000))
    assert [len(batch) for batch in batches] == [10_000, 10_000, 5_000]
    assert all_bodies(tail) == all_bodies(batches)[24_000:]
    assert tail[0].offsets[0] == "24000"
    assert consumer.lag()[partition].events == 0
    with pytest.raises(PositionLost, match="ends before"):
        consumer.checkpoint(
            Checkpoint(partition=partition, position="25001", sequence_number=25_001)
        )


def test_wide_parquet_rows_close_batches_by_bytes(source: FileHarness, tmp_path: Path):
    """Rows of 1 MB come by the handful and are decoded by the handful."""
    path = tmp_path / "x.parquet"
    pl.DataFrame({"x": ["y" * 2**20] * 20}).write_parquet(path)

    batches = drain(source.read_at(path))

    assert sum(map(len, batches)) == 20
    assert max(sum(map(len, batch.bodies)) for batch in batches) <= 8 * 2**20


def test_what_is_no_parquet_file_is_refused(source: FileHarness, tmp_path: Path):
    """The same call would fail again: that is for a person."""
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 nothing of the kind")

    with pytest.raises(Permanent, match="not a readable Parquet file"):
        source.read_at(path)
