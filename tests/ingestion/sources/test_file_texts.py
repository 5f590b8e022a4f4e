"""Files as JSON arrays and CSV, and gzip around all of them."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.sources import file_json, file_records
from ingestion.sources.base import Checkpoint
from ingestion.sources.factory import ConsumerFactory
from ingestion.sources.file_csv import CsvRecords
from ingestion.sources.file_json import JsonArrayRecords
from payflow.lib.errors import ConfigurationError, Permanent
from tests.ingestion.sources.contract import SourceContract, all_bodies, drain
from tests.ingestion.sources.test_file import FileHarness


class ArrayHarness(FileHarness):
    """One JSON array, packed."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.at(directory / "events.json.gz")

    def load(self, *bodies: Sequence[bytes]) -> None:
        (records,) = bodies
        self.path.write_bytes(gzip.compress(b"[" + b" ,\n".join(records) + b"]\n"))


class TestJsonArrayContract(SourceContract):
    """The contract on a packed JSON array."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> Iterator[FileHarness]:
        harness = ArrayHarness(tmp_path)
        yield harness
        harness.close()


@pytest.fixture
def source(tmp_path: Path) -> Iterator[FileHarness]:
    harness = FileHarness(tmp_path)
    yield harness
    harness.close()


def read(source: FileHarness, path: Path, content: bytes) -> list[bytes]:
    path.write_bytes(content)
    return all_bodies(drain(source.read_at(path)))


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b'[{"a":1},{"a":2}]', [b'{"a":1}', b'{"a":2}']),
        (b' [\r\n {"a" : 1} ,\n\t{"a":[2,{}]}\n] \n', [b'{"a" : 1}', b'{"a":[2,{}]}']),
        (b'\xef\xbb\xbf[{"a":"]},{\\"\\\\"}]', [b'{"a":"]},{\\"\\\\"}']),
        (b'[1,"x,]", null ,[[]],-1.5e3]', [b"1", b'"x,]"', b"null", b"[[]]", b"-1.5e3"]),
        (b'[{"a":NaN},{a:1,},{"b":"\xff"}]', [b'{"a":NaN}', b"{a:1,}", b'{"b":"\xff"}']),
        (b'[{"a":1},]', [b'{"a":1}']),
        (b'{"a":[1]}\n', [b'{"a":[1]}']),
        (b"[]", []),
        (b" \n", []),
        (b"", []),
    ],
)
def test_an_element_is_a_record(
    source: FileHarness, tmp_path: Path, content: bytes, records: list[bytes]
):
    """Each element comes with its own bytes, whatever is wrong within it."""
    assert read(source, tmp_path / "x.json", content) == records


@pytest.mark.parametrize(
    ("content", "records", "words"),
    [
        (b'[{"a":1},{"a":2}', 2, "breaks off behind its first 2 records"),
        (b'[{"a":1},{"a":2},{"a', 2, "breaks off behind its first 2 records"),
        (b'[{"a":1},{"a":2},', 2, "breaks off behind its first 2 records"),
        (b'[{"a":1},12', 1, "breaks off behind its first 1 records"),
        (b'[{"a":1} {"a":2}]', 0, "has no comma behind its first 1 records"),
        (b'[{"a":1},,{"a":2}]', 1, "a comma or bracket too many behind its first 1 records"),
        (b'[{"a":1}] [{"a":2}]', 1, "goes on behind"),
        (b'{"a":1}\n{"a":2}\n', 0, "one line each is NDJSON"),
        (b"a,b\n1,2\n", 0, "must begin with"),
    ],
)
def test_what_is_no_whole_array_stops_behind_what_is_whole(
    source: FileHarness, tmp_path: Path, content: bytes, records: int, words: str
):
    """Whole elements come first; then the trouble is told, again and again."""
    path = tmp_path / "x.json"
    path.write_bytes(content)
    consumer = source.read_at(path)

    if records:
        batch = consumer.consume_batch(wait_s=0)
        assert batch is not None
        assert len(batch) == records
    for _ in range(2):
        with pytest.raises(Permanent, match=words):
            consumer.consume_batch(wait_s=0)


VALUES = st.recursive(
    st.one_of(
        st.none(), st.integers(), st.text(max_size=8), st.sampled_from(['"', "\\", "]", "},"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(VALUES, max_size=12), st.integers(1, 40), st.sampled_from([None, 1]))
@settings(max_examples=50)
def test_blocks_may_end_anywhere(values, block, indent):
    """Wherever the file is cut into blocks, the elements are those that json reads."""
    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        path = Path(directory) / "x.json"
        path.write_text(json.dumps(values, indent=indent))
        patch.setattr(file_json, "_BLOCK", block)
        records = JsonArrayRecords(path)
        found = records.read(messages=100, size=10_000)
        records.close()

    assert [json.loads(record) for record in found] == values


def test_a_record_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Memory must not pay for a file that is one endless element."""
    monkeypatch.setattr(file_records, "MAX_LINE", 1000)
    monkeypatch.setattr(file_json, "_BLOCK", 100)
    path = tmp_path / "x.json"
    path.write_bytes(b'[{"a":"' + b"x" * 5000 + b'"}]')

    with closing(JsonArrayRecords(path)) as records, pytest.raises(Permanent, match="64 MiB"):
        records.read(messages=1, size=1)


def test_a_long_text_is_read_in_linear_time(tmp_path: Path):
    """A text of 30 MB within an element is not read again with every block."""
    path = tmp_path / "x.json"
    path.write_bytes(b'[{"a":"' + b"x" * 30_000_000 + b'"},{"a":1}]')

    with closing(JsonArrayRecords(path)) as records:
        found = records.read(messages=10, size=10**9)

    assert list(map(len, found)) == [30_000_008, 7]


# --- CSV -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b"a,b\n1,x\n007,\n", [b'{"a":"1","b":"x"}', b'{"a":"007","b":""}']),
        (b"\xef\xbb\xbfa,b\r\n1,2\r\n\r\n3,4", [b'{"a":"1","b":"2"}', b'{"a":"3","b":"4"}']),
        (b'a,"b ""q"""\n"x,\n y","z"\n', [b'{"a":"x,\\n y","b \\"q\\"":"z"}']),
        (b"a,b\n1\n1,2,3\n4,5\n", [b'["1"]', b'["1","2","3"]', b'{"a":"4","b":"5"}']),
        (b'a,b\n"x"y,1\n2,3\n', [b'"x"y,1', b'{"a":"2","b":"3"}']),
        (b'a,b\n1,"2\n3,4\n', [b'1,"2\n3,4']),
        (b"a,b\n\xff,\xc3\xa9\n", [b'{"a":"\xff","b":"\xc3\xa9"}']),
        (b"a\n\x00\n", [b'{"a":"\\u0000"}']),
        (b"a,b\n", []),
        (b"", []),
    ],
)
def test_a_row_is_one_object_of_texts(
    source: FileHarness, tmp_path: Path, content: bytes, records: list[bytes]
):
    """Texts as they are written; what is no row of the names keeps what it says, and fails."""
    assert read(source, tmp_path / "x.csv", content) == records


def test_the_delimiter_is_a_setting(source: FileHarness, tmp_path: Path):
    """Semicolons, as many offices write them."""
    path = tmp_path / "x.csv"
    path.write_bytes(b"a;b\n1,5;2\n")
    source.at(path)
    source.settings = {**source.settings, "delimiter": ";"}
    consumer = source.connect()
    partition = consumer.partitions()[0]
    consumer.checkpoint(Checkpoint(partition=partition, position="0", sequence_number=0))

    assert all_bodies(drain(consumer)) == [b'{"a":"1,5","b":"2"}']


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"a,a\n1,2\n", "names a column twice"), (b'"a\n', "quotes"), (b"\xff,b\n1,2\n", "UTF-8")],
)
def test_names_that_are_none_are_refused(
    source: FileHarness, tmp_path: Path, content: bytes, words: str
):
    """Without names there are no objects: that is for a person."""
    with pytest.raises(Permanent, match=words):
        read(source, tmp_path / "x.csv", content)


def test_a_quote_that_never_ends_takes_a_part_of_the_file(tmp_path: Path):
    """One lost quote costs at most 128 KiB of rows, which stay readable as one failed record."""
    path = tmp_path / "x.csv"
    path.write_bytes(b'a,b\n1,"2\n' + b"3,4\n" * 100_000)

    with closing(CsvRecords(path)) as records:
        found = records.read(messages=200_000, size=10**9)

    assert found[0].startswith(b'1,"2\n3,4')
    assert 128 * 1024 <= len(found[0]) < 129 * 1024
    assert found[1] == b'{"a":"3","b":"4"}'
    assert len(found) > 60_000


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.json", "x.json.gz", "x.ndjson.gz"])
def test_reading_goes_on_anywhere(source: FileHarness, tmp_path: Path, name: str):
    """From any record on, forwards and backwards, the same records come with the same numbers."""
    rows = [{"n": str(n), "text": "x" * random.Random(n).randint(0, 40)} for n in range(12_000)]
    lines = [json.dumps(row, separators=(",", ":")).encode() for row in rows]
    if ".csv" in name:
        content = b"n,text\n" + b"".join(f"{r['n']},{r['text']}\n".encode() for r in rows)
    elif ".ndjson" in name:
        content = b"\n".join(lines)
    else:
        content = b"[" + b",".join(lines) + b"]"
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    consumer = source.read_at(path)
    partition = consumer.partitions()[0]

    whole = drain(consumer)
    events = consumer.lag()[partition].events
    consumer.checkpoint(Checkpoint(partition=partition, position="7", sequence_number=7))
    behind = consumer.lag()[partition].events
    rest = drain(consumer)

    assert all_bodies(whole) == lines
    assert all_bodies(rest) == lines[7:]
    assert rest[0].offsets[0] == "7"
    assert events == 0
    assert 6_000 < behind < 24_000


@pytest.mark.parametrize("damage", [-6, 40])
def test_a_damaged_gzip_file_is_refused_whole(source: FileHarness, tmp_path: Path, damage: int):
    """Nothing is taken of a file that was cut or changed: the same call would fail again."""
    packed = bytearray(gzip.compress(bytes(random.Random(1).randbytes(5_000)).hex().encode()))
    path = tmp_path / "x.ndjson.gz"
    path.write_bytes(packed[:damage] if damage < 0 else packed[:damage] + b"\0" + packed[41:])

    with pytest.raises(Permanent, match="not a whole gzip file"):
        source.read_at(path)


@pytest.mark.parametrize(
    "given", [{"delimiter": ""}, {"delimiter": '"'}, {"delimiter": ";;"}, {"delimiter": "é"}]
)
def test_bad_delimiters_are_refused(given: dict[str, str]):
    """One ASCII character that is no quote."""
    with pytest.raises(ConfigurationError, match="delimiter"):
        ConsumerFactory.validate("file", {"path": "x.csv", **given})
    with pytest.raises(ConfigurationError, match="only CSV"):
        ConsumerFactory.validate("file", {"path": "x.json", "delimiter": ";"})
