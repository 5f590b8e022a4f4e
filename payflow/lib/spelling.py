"""A hint for a word that is not known but looks like one that is."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """`; did you mean 'amount'?`, or "" where nothing comes near."""
    by_lower = {name.lower(): name for name in known}
    near = get_close_matches(str(word).lower()[:100], by_lower, n=1, cutoff=0.7)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""
