"""Patterns are compared as sets of texts; what is decided is what the engine does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.parsing.languages import Texts, counterexample
from ingestion.parsing.patterns import search, to_rust


def takes(texts: Texts, text: str) -> bool:
    """What the slow path says of a text."""
    longest = len(text) if texts.longest is None else texts.longest
    return texts.shortest <= len(text) <= longest and search(to_rust(texts.pattern), text)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (Texts(pattern=r"^\d{3,4}$"), Texts(pattern=r"^\d{4}$|^\d{3}$")),
        (Texts(pattern=r"^\d{4}$|^\d{3}$"), Texts(pattern=r"^\d{3,4}$")),
        (Texts(pattern="^[A-Z]{2}$"), Texts(shortest=2, longest=2)),
        (Texts(pattern="^(?:ab)+$"), Texts(pattern="^a.*b$", shortest=2)),
        (Texts(pattern="a|b"), Texts(pattern="[ab]")),
        (Texts(pattern=r"^\w+$"), Texts(pattern=r"^\S+$")),
        (Texts(pattern="^T-[0-9]{5}$"), Texts(pattern="^[^\0]*$", longest=256)),
        (Texts(shortest=3, longest=5), Texts(shortest=2, longest=6)),
        (Texts(pattern="(a*)*b"), Texts(pattern="b")),
    ],
)
def test_texts_that_all_fit(given, wanted):
    """Another spelling, a wider class, a length that follows from the pattern."""
    assert counterexample(given, wanted).is_none


@pytest.mark.parametrize(
    ("given", "wanted", "text"),
    [
        (Texts(pattern=r"^\d{3,4}$"), Texts(pattern=r"^\d{4}$"), "000"),
        (Texts(), Texts(shortest=1), ""),
        (Texts(), Texts(pattern="^.*$"), "\n"),
        (Texts(pattern="a"), Texts(pattern="^a"), "0a"),
        (Texts(longest=3), Texts(longest=2), "000"),
        (Texts(pattern=r"^\d$"), Texts(pattern="^[0-8]$"), "9"),
    ],
)
def test_texts_that_do_not(given, wanted, text):
    """The shortest text that tells the two apart is named."""
    assert counterexample(given, wanted).text == text


@pytest.mark.parametrize(
    "pattern",
    [
        r"\bword",
        r"\p{L}",
        "(?i)a",
        "a{2000}",
        "(?:a{40}){40}",
        "[]a]",
        "[a--b]",
        "a**",
        "[ab]*a[ab]{14}$",  # 16,000 places
    ],
)
def test_what_is_not_decided_is_not_guessed(pattern):
    """Other expressions than automata, and automata beyond all measure."""
    other = Texts(pattern="[ab]*a[ab]{13}$")

    found = counterexample(Texts(pattern=pattern), other)

    assert not found.is_none
    assert found.text is None


ATOMS = st.sampled_from(["a", "b", "[ab]", "[^a]", r"\d", r"\w", ".", "1", "[a-c1]", r"\.", r"\S"])
PATTERNS = st.recursive(
    ATOMS | st.sampled_from(["^", "$", ""]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,1}?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)
TEXTS = st.builds(
    Texts,
    pattern=PATTERNS,
    shortest=st.integers(0, 2),
    longest=st.none() | st.integers(0, 3),
)


@settings(max_examples=250)
@given(given_texts=TEXTS, wanted=TEXTS, texts=st.lists(st.text("abc1.\n é", max_size=4)))
def test_the_engine_agrees(given_texts, wanted, texts):
    """No text gets through where none should, and every counterexample is one."""
    found = counterexample(given_texts, wanted)

    if found.is_none:
        assert not [t for t in texts if takes(given_texts, t) and not takes(wanted, t)]
    elif found.text is not None:
        assert takes(given_texts, found.text)
        assert not takes(wanted, found.text)
