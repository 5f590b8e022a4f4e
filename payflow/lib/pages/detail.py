"""A page about one row: what it is, in cards of facts, tables and code. Rendered by detail.html."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

#: a value as the template prints it: safe HTML from display.py, or text that gets escaped
Shown = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a person should know or do first: kind is ok, info, warn or bad."""

    kind: str
    title: str
    text: Shown = ""
    icon: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """A link to a page or a confirmation; kind "p" is primary, "d" is grave, "s" small.

    With `posts` it does what it says at once: it is a form of its own.
    """

    label: str
    url: str
    icon: str = ""
    kind: str = ""
    posts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """A question before something is done; `label` is the verb on the button."""

    title: str
    text: str
    label: str
    back: str
    facts: Sequence[tuple[str, Shown]] = ()
    asks_reason: bool = False
    reason_label: str = "Reason, shown on the overview"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A column of a table."""

    label: str
    is_number: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One card: facts, or a table, or any HTML; `empty` is said when it holds nothing.

    A table shows its first `fold` rows until a person asks for all (0: all at once). `flush` is
    HTML that reaches to the edges and brings its own padding, `corner` stands at the right of the
    title, `foot` under everything. `tone` (ok, info, warn, bad, mark) colours the card's edge.
    """

    title: str
    sub: str = ""
    facts: Sequence[tuple[str, Shown]] = ()
    heads: Sequence[Head] = ()
    rows: Sequence[Sequence[Shown]] = ()
    html: Shown = ""
    flush: Shown = ""
    empty: str = ""
    more: Button | None = None
    corner: Shown = ""
    foot: Shown = ""
    tone: str = ""
    fold: int = 0

    @property
    def cells(self) -> list[list[tuple[Head, Shown]]]:
        """The rows with the column of each cell: narrow screens label cells by it."""
        return [list(zip(self.heads, row, strict=True)) for row in self.rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """The whole page. `main` is wide, `side` narrow."""

    title: Shown
    state: Shown = ""
    meta: Sequence[Shown] = ()
    notices: Sequence[Notice] = ()
    buttons: Sequence[Button] = ()
    main: Sequence[Card] = field(default_factory=tuple)
    side: Sequence[Card] = field(default_factory=tuple)
