"""One thing that needs a person, as the overview shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """One thing: kind bad (act) or warn (look soon), a sentence, its facts, and where to go."""

    kind: str
    icon: str
    title: str
    text: str
    url: str
    label: str
    #: the page that asks whether to roll back, for those who may; "" where that would not help
    undo: str = ""
