"""What differs between two versions, said of fields and rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Action(StrEnum):
    """What became of the subject."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    RENAMED = "renamed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference, as a person would say it."""

    #: heading it stands under: "Event fields", "Columns", "Attributes", "Rules", ...
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


def diff_documents(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """The differences of two documents of a kind (schema, metrics, compliance), by area.

    Never raises: drafts may be wrong, then their parts are compared as they stand.
    """
    return []
