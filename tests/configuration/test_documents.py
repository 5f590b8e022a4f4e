"""Texts become documents, and every part of one knows its line."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from configuration.documents import placed, read_file, read_text
from payflow.lib.errors import ConfigurationError, Problem

TEXT = """\
name: cards
# a remark
columns:
  amount: {path: money.value,
           unit: minor}
  channel:
    first:
      - channel
      - a/b
json_schema: {required: [id]}
"""


def test_each_part_has_its_line():
    """Keys and entries of lists, by JSON pointer, from 1; comments count as lines."""
    _, lines = read_text(TEXT)

    assert lines["/columns"] == 3
    assert lines["/columns/amount/path"] == 4
    assert lines["/columns/amount/unit"] == 5
    assert lines["/columns/channel/first/1"] == 9
    assert lines["/json_schema/required/0"] == 10


def test_problems_get_the_line_of_the_nearest_place():
    """What is missing is shown where it should be; the whole document has no line."""
    _, lines = read_text(TEXT)
    pointers = ["/columns/amount/round", "/columns/channel/first/7", "", "/nothing"]

    found = placed([Problem(pointer=pointer, message="m") for pointer in pointers], lines)

    assert [problem.line for problem in found] == [4, 7, 0, 0]
    assert str(found[0]) == "line 4, /columns/amount/round: m"
    assert str(found[2]) == "/: m"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        # YAML 1.1 has more booleans and numbers than a payment file can bear
        ("NO", "NO"),
        ("yes", "yes"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("0123", "0123"),
        ("1_000", "1_000"),
        ("0x1f", "0x1f"),
        ("2026-01-31", "2026-01-31"),
        ("True", True),
        ("-7", -7),
        ("1.5e+3", 1500.0),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_plain_words_of_yaml(written, said):
    """Country codes, times of day and account numbers stay the text they are."""
    document, _ = read_text(f"value: {written}")

    assert document["value"] == said
    assert type(document["value"]) is type(said)


@given(
    text=st.text(max_size=8)
    | st.text("0123456789.eE+-:_xo~ ", max_size=8)
    | st.sampled_from(["yes", "No", "true", "null", "~", ".inf", "<<", "=", "2026-01-31"])
)
def test_what_is_exported_is_read_back(text):
    """Texts that look like numbers, dates or booleans stay texts on the way out and in."""
    assume(all(char.isprintable() or char == "\n" for char in text))
    document = {"value": text, "number": 1e22, "small": -0.5, "list": [1, True, None]}

    again, _ = read_text(yaml.safe_dump(document, allow_unicode=True))

    assert again == document


def test_json_is_read_as_json():
    """With tabs, and numbers like 1e5 that YAML takes for text; lines are known too."""
    document, lines = read_text('{\n\t"columns": {},\n\t"maximum": 1e5\n}')

    assert document == {"columns": {}, "maximum": 100_000.0}
    assert lines["/maximum"] == 3


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: [", 2, "expected the node content"),
        ("a: 1\na: 2", 2, "the key 'a' stands here twice"),
        ('{"a": 1,\n"a": 2}', 2, "the key 'a' stands here twice"),
        ("map:\n  true: completed", 2, "keys are text: write it in quotes ('true')"),
        ("map:\n  5: completed", 2, "keys are text: write it in quotes ('5')"),
        ("? [a]\n: 1", 1, "keys are text"),
        ("a: &x 1\nb: *x", 2, "aliases are not supported: write it out"),
        ("a: 1\n---\nb: 2", 2, "found another document"),
        ("a: 1\nb: \x01", 2, "the character #x0001 cannot stand here"),
        (f"a: {'9' * 5_000}", 1, "a number has at most 4,000 digits"),
        ("a: " + "[" * 3_000, 0, "nested too deeply"),
        ("a:\n  b: .nan", 2, "not finite"),
        ('{"a": 1e999}', 1, "not finite"),
        ('a: 1\nb: "x\\0"', 2, "holds a NUL character"),
        ('a: 1\n"x\\0": 1', 0, "a key holds a NUL character"),
        ('a: 1\nb: "\\ud800"', 2, "holds half a character"),
        ("a: !!set {x}", 1, "a set cannot be kept"),
        ("a: " + "[" * 60 + "]" * 60, 1, "more than 50 levels deep"),
        ("- a", 0, "holds no mapping"),
        ("x" * 2**20 + "x", 0, "is larger than 1,048,576 bytes"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_line(text, line, message):
    """Never a traceback; the line is the one to look at."""
    with pytest.raises(ConfigurationError) as caught:
        read_text(text)

    (problem,) = caught.value.problems
    assert message in problem.message
    assert problem.line == line


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path):
    """As editors on Windows write it; the text keeps its comments."""
    path = tmp_path / "cards.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())

    written = read_file(path)

    assert (written.kind, written.name) == ("schema", "cards")
    assert written.text == TEXT


@pytest.mark.parametrize(
    "value",
    ["!!int abc", "!!bool abc", "!!float abc", "!!timestamp abc", "!!timestamp 2001-99-99"],
)
def test_a_value_that_is_not_what_its_tag_says_is_refused(value):
    """Tags are the author's word for a value; a wrong one is a mistake like any other."""
    with pytest.raises(ConfigurationError) as refused:
        read_text(f"name: a\nb: {value}\n")

    (problem,) = refused.value.problems
    assert problem.line == 2
    assert "which its tag says" in problem.message


def test_a_text_that_is_no_map_though_its_tag_says_so_is_refused():
    with pytest.raises(ConfigurationError, match="this is no map"):
        read_text("!!map 1")


def test_long_keys_around_many_parts_do_not_outgrow_memory():
    """Each part has a pointer with all the keys around it: together they would take gigabytes."""
    key, parts = "k" * 20_000, 5_000
    tracemalloc.start()
    try:
        with pytest.raises(ConfigurationError, match="a key is longer than 256 characters"):
            read_text(f"name: a\n? {key}\n: [{'1,' * parts}1]\n")
        assert tracemalloc.get_traced_memory()[1] < len(key) * parts / 2
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", ["name: a\nb: [{}1]", '{{"name": "a", "b": [{}1]}}'])
def test_more_parts_than_a_document_has_are_not_read(text):
    """A megabyte of small ones would take half a minute, in YAML and in JSON."""
    read_text(text.format("1, " * 40_000))

    with pytest.raises(ConfigurationError, match="more than 50,000 keys and values"):
        read_text(text.format("1, " * 60_000))
