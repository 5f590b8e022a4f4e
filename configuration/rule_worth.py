"""What a rule is worth now: its value, its day, and whether it can be computed.

Configuration lies below the numbers; whoever keeps them registers here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from django.utils.safestring import SafeString


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """One rule over the last day."""

    #: of its newest hour that has one, in words; an en dash without any
    value: str
    #: its 24 hours as a line
    spark: SafeString
    #: events that it had a value for; findings of a compliance rule
    events: int
    #: events that it could not be computed for
    errors: int
    #: page with its numbers
    url: str


#: kind of a version, names of its rules -> what is known of them
Reader = Callable[[str, Collection[str]], Mapping[str, Worth]]

_reader: list[Reader] = []


def register(reader: Reader) -> None:
    """Called once, by the app that keeps the numbers."""
    _reader[:] = [reader]


def worth_of(kind: str, rules: Collection[str]) -> Mapping[str, Worth]:
    """What the rules of a rule set are worth; rules that never had a value may be left out."""
    return _reader[0](kind, rules)
