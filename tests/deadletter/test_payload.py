"""Bytes of a refused message may be anything; a person has to be able to read them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadletter.payload import SHOWN_HEX, SHOWN_TEXT, indent, render
from deadletter.reasons import meaning_of
from ingestion.parsing import Reason

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(_JSON)
def test_indented_json_is_the_same_json(value):
    """Only blanks between tokens change."""
    text = json.dumps(value, ensure_ascii=False)

    assert json.loads(indent(text)) == value


@given(st.text())
def test_indenting_never_fails_and_loses_nothing_but_blanks(text):
    """Whatever the text, every other character is still there, in order."""
    assert "".join(indent(text).split()) == "".join(text.split())


def test_digits_and_doubled_keys_are_shown_as_they_came():
    """Reading JSON into objects would round the one and drop the other."""
    html = render(b'{"a": 1.10000000000000000001, "a": 1E400}').html

    assert "1.10000000000000000001" in html
    assert html.count("&quot;a&quot;") == 2
    assert "1E400" in html


def test_json_is_indented_and_text_is_not():
    """What cannot be parsed is shown as it is, so that the fault can be seen."""
    assert render(b'{"a":1}').kind == "JSON"
    assert render(b'{"a":1').kind == "text"
    assert "{&quot;a&quot;:1" in render(b'{"a":1').html


def test_bytes_that_are_no_text_are_a_dump():
    """Offset, hex, and what is printable."""
    rendered = render(b"\xff\xfeAB")

    assert rendered.kind == "not UTF-8"
    assert "ff fe 41 42" in rendered.html
    assert "..AB" in rendered.html


def test_markup_in_a_message_is_shown_and_does_nothing():
    """A message must not be able to change the page that shows it."""
    html = render(b'{"a": "<script>alert(1)</script>"}').html

    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_characters_that_cannot_be_seen_are_made_visible():
    """NUL has a picture; what turns the direction of text is named."""
    html = render("a\x00b\u202ec".encode()).html

    assert "a\u2400b&lt;U+202E&gt;c" in html


@pytest.mark.parametrize(
    ("body", "limit", "said"),
    [
        (b'"' + b"a" * 100_000 + b'"', SHOWN_TEXT, "the first 64.0 KB of 97.7 KB"),
        (b"\xff" * 10_000, SHOWN_HEX * 8, "the first 4.0 KB of 9.8 KB"),
    ],
)
def test_a_long_message_is_cut_and_says_so(body, limit, said):
    """The page stays light; the rest is in the archive."""
    rendered = render(body)

    assert len(rendered.html) < limit + 2000
    assert rendered.note == said


def test_nesting_without_end_is_shown_as_text():
    """Its indentation would be longer than the message, and recursion deeper than Python."""
    rendered = render(b"[" * 100_000 + b"]" * 100_000)

    assert rendered.kind == "text"
    assert len(rendered.html) < 2 * SHOWN_TEXT


def test_an_empty_message_says_that_it_is_empty():
    """No bytes are an answer, too."""
    assert render(b"").note == "empty"


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_explained(reason):
    """What happened and what helps, for every code there is."""
    what, helps = meaning_of(reason.value)

    assert what.endswith(".")
    assert helps.endswith(".")
