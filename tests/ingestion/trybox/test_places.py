"""Where the fields of an event stand in its text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.parsing import Reason, ValidationError
from ingestion.parsing.reasons import problem
from ingestion.trybox.places import MOST_MARKS, marks, spans

_NAMES = st.text(st.characters(exclude_characters=".[]", exclude_categories=["Cs"]), min_size=1)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=12,
)


def error(field: str, constraint: Reason = Reason.WRONG_TYPE) -> tuple[str, ValidationError]:
    return field, problem(field, constraint, "a", "b")


def marked(text: str, *fields: str) -> list[str]:
    """The pieces of the text that are marked for errors at these fields."""
    units = text.encode("utf-16-le")
    return [
        units[mark.start * 2 : mark.end * 2].decode("utf-16-le")
        for mark in marks(text, [error(field) for field in fields])
    ]


@pytest.mark.parametrize(
    ("text", "field", "piece"),
    [
        ('{"amount": 12.5}', "amount", "12.5"),
        ('{"a": {"b": [1, {"c": "x"}]}}', "a.b[1].c", '"x"'),
        ('{"a": {"b": [1, {"c": "x"}]}}', "a.b[1]", '{"c": "x"}'),
        ('{"a": {"b": []}, "c": {}}', "a.b", "[]"),
        ('{"text": "a \\" quote, {not} [a] list: 1", "n": null}', "n", "null"),
        ('{"\\u0061": true}', "a", "true"),
        # text before a break keeps its places
        ('{"a": 1, "b": }', "a", "1"),
        ('{"a": [1, 2', "a[1]", "2"),
        # beyond the basic plane a browser counts two
        ('{"a": "💳💳", "b": 7}', "b", "7"),
        ("7", "", ""),
    ],
)
def test_the_value_of_a_field_is_marked(text, field, piece):
    """By the path that errors use, in units that browsers count in."""
    assert marked(text, field) == ([piece] if piece else [])


@given(st.dictionaries(_NAMES, _VALUES, min_size=1, max_size=4))
def test_every_value_has_its_place(event):
    """Each span holds the JSON of just the value that its path leads to."""
    text = json.dumps(event, ensure_ascii=False)

    places = {path: text[start:end] for path, start, end in spans(text)}

    for name, value in event.items():
        assert json.loads(places[name]) == value


@given(st.text())
def test_no_text_breaks_the_search(text):
    """Whatever is typed: marks lie within it."""
    found = marks(text, [error("a"), error("", Reason.INVALID_JSON)])

    length = len(text.encode("utf-16-le", "surrogatepass")) // 2
    assert all(0 <= mark.start < mark.end <= max(length, 1) for mark in found)


@pytest.mark.parametrize(
    ("text", "piece"),
    [('{"a": 1,, "b": 2}', ","), ('{"a": 1', "1"), ("{'a': 1}", "'a'"), ('{"a": tru}', "tru")],
)
def test_text_that_is_no_json_is_marked_where_it_breaks(text, piece):
    """One mark, at the token at which it stops being JSON."""
    (mark,) = marks(text, [error("", Reason.INVALID_JSON)])

    assert text[mark.start : mark.end] == piece


def test_a_field_that_is_not_there_has_no_mark():
    """A missing field is said in words only."""
    assert marks('{"a": 1}', [error("b", Reason.REQUIRED)]) == []


def test_a_text_full_of_errors_is_marked_in_bounds():
    """The first of them are enough."""
    text = json.dumps({f"f{number}": number for number in range(500)})

    assert len(marks(text, [error(f"f{number}") for number in range(500)])) == MOST_MARKS


def test_long_names_around_many_values_do_not_take_a_minute():
    """The paths of all values together would have 50,000,000,000 characters."""
    names = [f"{number}{'n' * 1_900}" for number in range(250)]
    around = "".join(f'{{"{name}":' for name in names)
    text = f"{around}[{'1,' * 100_000}1]{'}' * len(names)}"

    assert sum(len(path) for path, _, _ in spans(text)) < 500_000_000
    assert marked(text, names[0]) == [text[len(names[0]) + 4 : -1]]
