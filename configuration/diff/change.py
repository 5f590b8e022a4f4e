"""One difference between two documents, and a list of them as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby


class Action(StrEnum):
    """What became of the subject."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    RENAMED = "renamed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference, as a person would say it."""

    #: heading it stands under: "Event fields", "Columns", "Metric rules", ...
    area: str
    #: the field ("money.value"), column or rule; "" for the document as a whole
    subject: str
    #: what about it: "pattern", "new field", "removed rule", "renamed"
    what: str
    action: Action
    #: lines as they were and as they are; empty where there was or is nothing
    old: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    #: JSON pointer into the newer document, of what was removed into the older one
    pointer: str = ""
    #: what follows from it, in a sentence; "" when it goes without saying
    note: str = ""


def as_text(changes: Sequence[Change]) -> str:
    """The changes for a terminal, under their areas."""
    return "\n".join(
        line
        for area, members in groupby(changes, key=lambda change: change.area)
        for line in (area, *(line for change in members for line in _lines(change)))
    )


def _lines(change: Change) -> Iterator[str]:
    head = f"  {change.subject}: {change.what}" if change.subject else f"  {change.what}"
    if len(change.old) == 1 and len(change.new) == 1 and len(change.old[0] + change.new[0]) <= 100:
        yield f"{head} {change.old[0]} -> {change.new[0]}"
    else:
        yield head
        yield from (f"    - {line}" for line in change.old)
        yield from (f"    + {line}" for line in change.new)
    if change.note:
        yield f"    {change.note}"
