"""Rule sets: rules by their names, and what a change means for what they have counted so far."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from configuration.diff.change import Change
from configuration.diff.named import Note, diff_named, remaining
from configuration.diff.values import Facet

_FORMULAS: Final = frozenset({"where", "value", "numerator", "denominator"})
#: a text in quotes, a name, a number, or any other sign
_TOKEN: Final = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[\w.]+|\S")

_GOES_ON: Final = "Only what is said of it: its series goes on."
_SAME_FORMULA: Final = "The same formula, spaced otherwise: its series goes on."
_NEW_SERIES: Final = "Starts a new series; what the old one counted is kept."
_SAME_RULE: Final = "Only what is said of it: findings stay."
_SAME_TEST: Final = "The same test, spaced otherwise: findings stay."
_NEW_RULE: Final = "Counts as a new version of the rule; its earlier findings are kept."


def diff_rules(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """The differences of two metric or two compliance rule sets."""
    return [*_rules(kind, old, new), *remaining(old, new, done=frozenset({"metrics", "rules"}))]


def _rules(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    if kind == "metrics":
        yield from diff_named(
            "Metric rules",
            "rule",
            old,
            new,
            key="metrics",
            note=_note(_GOES_ON, _SAME_FORMULA, _NEW_SERIES),
            renamed_note=_NEW_SERIES,
        )
    else:
        yield from diff_named(
            "Compliance rules",
            "rule",
            old,
            new,
            key="rules",
            note=_note(_SAME_RULE, _SAME_TEST, _NEW_RULE),
            renamed_note=_NEW_RULE,
        )


def _note(remark: str, spelling: str, consequence: str) -> Note:
    def note(old: Any, new: Any, facet: Facet) -> str:
        key = facet.what
        if key == "description":
            return remark
        if key in _FORMULAS and _tokens(old.get(key)) == _tokens(new.get(key)):
            return spelling
        return consequence

    return note


def _tokens(formula: Any) -> list[str] | None:
    """A formula without its spacing; None where there is none."""
    return None if formula is None else _TOKEN.findall(str(formula))
