"""Names that occur twice in an object: found by counting, without decoding twice.

Each name that is there has a colon. As many colons behind quotes as names that were found: no name
is there twice. Else the names themselves are counted, and where that leaves a doubt (a name within
an object that does not matter, a text that is a name) the message is read again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from ingestion.parsing.decoding import ABSENT
from ingestion.parsing.paths import Path
from ingestion.parsing.tree import Node, Wire

# Escapes of ASCII characters could spell a name or NUL, those of surrogates half a character.
_SUSPICIOUS = r"\\u(?:00[0-7]|[dD][89a-fA-F])"
_SPACED_COLON = r"[ \t\r\n]:"
_COLON = '":'
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.@$ -]+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """Pieces of messages whose names are looked at by other means."""

    #: message index of each piece
    rows: pl.Series
    texts: pl.Series


class Repeats:
    """Finds the messages in which a name that matters occurs twice."""

    def __init__(
        self, nodes: Sequence[Node], *, has_repeated_names: Callable[[bytes], bool]
    ) -> None:
        self._has_repeated_names = has_repeated_names
        names = {str(node.path[-1]) for node in nodes}
        # Only ASCII names without escapes have one spelling that a pattern can count.
        plain = all(_PLAIN_NAME.match(name) for name in names)
        #: escapes that the count cannot see through
        self.suspicious = _SUSPICIOUS if plain else r"\\"
        words = "|".join(re.escape(name) for name in sorted(names))
        self._pattern = f'"(?:{words})"' if plain else ""

    def without(
        self,
        texts: pl.Series,
        usual: pl.Series,
        present: pl.Series,
        bodies: Sequence[bytes],
        aside: Sequence[Aside] = (),
    ) -> pl.Series:
        """`usual` without those messages; `present` is how many names were found in each."""
        found = _less(texts.str.count_matches(_COLON, literal=True), aside, _COLON, literal=True)
        doubtful = usual & ((found != present) | texts.str.contains(_SPACED_COLON))
        if self._pattern and doubtful.any():
            counted = _less(texts.str.count_matches(self._pattern), aside, self._pattern)
            doubtful &= counted != present
        repeated = [at for at in doubtful.arg_true() if self._has_repeated_names(bodies[at])]
        return usual.scatter(repeated, False) if repeated else usual


def presence(root: Node, wires: Mapping[Path, str]) -> pl.Expr:
    """How many names of the tree each decoded object has."""
    always, conditions = 0, []
    for node, is_certain in _certainty(root):
        wire = pl.col(wires[node.path])
        if is_certain:
            always += 1
        elif node.wire in {Wire.OBJECT, Wire.ANY}:
            conditions.append(wire)
        else:
            conditions.append(wire.ne_missing("" if node.wire is Wire.RAW else ABSENT))
    return pl.sum_horizontal(pl.lit(always, pl.UInt32), *conditions).alias("_present")


def sum_by_row(rows: pl.Series, counts: pl.Series, height: int) -> pl.Series:
    """Counts of pieces added up by message."""
    pieces = pl.DataFrame({"row": rows, "count": counts.cast(pl.Int64)})
    sums = pieces.group_by("row").agg(pl.col("count").sum())
    return pl.zeros(height, pl.Int64, eager=True).scatter(sums["row"], sums["count"])


def _less(
    counts: pl.Series, aside: Sequence[Aside], pattern: str, *, literal: bool = False
) -> pl.Series:
    for pieces in aside:
        counted = pieces.texts.str.count_matches(pattern, literal=literal)
        counts = counts.cast(pl.Int64) - sum_by_row(pieces.rows, counted, len(counts))
    return counts


def _certainty(root: Node) -> Iterator[tuple[Node, bool]]:
    """Every node below the root, and whether every decoded message has it."""
    for child in root.children.values():
        yield child, child.required
        for node, is_certain in _certainty(child):
            yield node, is_certain and child.required and not child.nullable
