"""The fast path where messages hold several events.

Messages and the elements of their arrays are decoded apart, so that an element that is not as
expected leaves the others of its message on the fast path. What surrounds the elements is checked
once per message; its columns are then repeated for the parts and mapped with theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import msgspec
import polars as pl

from ingestion.parsing.decoding import Decoder
from ingestion.parsing.document import Document
from ingestion.parsing.fast import (
    BRACKETS,
    FastPath,
    Taken,
    as_texts,
    blanked,
    look_usual,
    pick_all,
)
from ingestion.parsing.reading import MAX_DEPTH
from ingestion.parsing.repeats import Aside, presence, sum_by_row
from ingestion.parsing.tree import Node, Tree, Wire

#: bytes of a value that all parts of a message repeat; with longer ones many parts would cost
#: their product. No column takes a longer text.
_MAX_SHARED = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Elements:
    """The elements of all messages in one list."""

    #: message index of each
    rows: pl.Series
    #: number within its message
    parts: pl.Series
    raws: list[msgspec.Raw]
    #: elements of each message
    counts: list[int]


class PartsPath(FastPath):
    """Takes the ordinary parts of messages."""

    def __init__(
        self,
        document: Document,
        tree: Tree,
        element: Node,
        *,
        has_repeated_names: Callable[[bytes], bool],
    ) -> None:
        self._element_decoder = Decoder(element, prefix="part")
        super().__init__(document, tree, has_repeated_names=has_repeated_names)
        self._element_present = presence(element, self._wires)
        self._levels_around = len(element.path) + 1
        shared = {
            node.path: node
            for node in self._sources()
            if (node.columns or node.is_routed) and node.wire is not Wire.OBJECT
        }
        within = {node.path for node in tree.within}
        within |= {path for node in tree.within for path in node.picked}
        #: wires that parts take over from their message
        self._shared = [self._wires[path] for path, node in shared.items() if path not in within]
        short = [pl.col(wire).str.len_bytes() <= _MAX_SHARED for wire in self._shared]
        # a frame needs a column to know its rows
        self._shared = self._shared or ["_usual"]
        around = [self._all_checks(tree.around), self._all_clear(tree.around), *short]
        self._around = pl.all_horizontal(pl.lit(True), *around).fill_null(False)
        self._good = self._all_checks(tree.within, self._conditions).alias("_good")
        self._clear = self._all_clear(tree.within).alias("_clear")

    def take(self, bodies: Sequence[bytes], headers: Sequence[bytes | None] | None = None) -> Taken:
        """Judge a batch."""
        texts, bodies = as_texts(bodies)
        usual = look_usual(texts, self._repeats.suspicious, levels=None)
        bodies = blanked(bodies, usual)
        decoded = self._decoder.decode(bodies)
        if decoded.refused:
            usual = usual.scatter(decoded.refused, False)
        present = decoded.wires.with_columns(self._present)["_present"].cast(pl.Int64)
        wires, usual = self._with_headers(decoded.wires, usual, headers)
        wires, usual, aside = pick_all(self._pickers, wires, usual)
        wires = wires.with_columns(_usual=self._around)
        usual &= wires["_usual"]
        elements = _flat(decoded.arrays, usual)
        usual = self._not_too_deep(texts, usual, elements)
        parts, sound, present, more = self._decode_parts(elements, present)
        usual = self._repeats.without(texts, usual, present, bodies, [*aside, *more])
        frame = parts.with_columns(wires.select(self._shared)[elements.rows])
        judged = (
            frame.lazy()
            .with_columns(elements.rows, elements.parts, sound)
            .filter(usual.gather(elements.rows).rename("_usual_message"))
            .with_columns(self._cells)
            .with_columns(self._currency)
            .with_columns(self._values)
            .with_columns(self._good, self._routed, self._clear)
            .collect()
        )
        return self._sort_out_parts(judged, usual, elements.counts)

    def _decode_parts(
        self, elements: _Elements, present: pl.Series
    ) -> tuple[pl.DataFrame, pl.Series, pl.Series, list[Aside]]:
        """Wires of the elements, which are sound, names present by message, what is set aside."""
        decoded = self._element_decoder.decode(elements.raws)
        sound = pl.repeat(True, len(elements.raws), dtype=pl.Boolean, eager=True).alias("_sound")
        found = decoded.wires.with_columns(self._element_present)["_present"]
        refused = pl.Series(decoded.refused, dtype=pl.UInt32)
        if decoded.refused:
            sound = sound.scatter(decoded.refused, False)
            found = found.scatter(refused, 0)
        wires, sound, picked = pick_all(self._element_pickers, decoded.wires, sound)
        aside = [Aside(rows=elements.rows[piece.rows], texts=piece.texts) for piece in picked]
        if decoded.refused:
            texts = _texts([elements.raws[at] for at in decoded.refused])
            aside.append(Aside(rows=elements.rows[refused], texts=texts))
        present = present + sum_by_row(elements.rows, found, len(present))
        return wires, sound.alias("_sound"), present, aside

    def _not_too_deep(self, texts: pl.Series, usual: pl.Series, elements: _Elements) -> pl.Series:
        """`usual` without messages that may be too deep: a level takes a bracket."""
        brackets = texts.str.count_matches(BRACKETS).cast(pl.Int64)
        many = (brackets > MAX_DEPTH).fill_null(False)
        if not many.any():
            return usual
        within = _texts(elements.raws).str.count_matches(BRACKETS)
        deepest = within + self._levels_around <= MAX_DEPTH
        around = brackets - sum_by_row(elements.rows, within, len(usual)) <= MAX_DEPTH
        too_deep = elements.rows.filter(~deepest).unique()
        return (usual & around.fill_null(False)).scatter(too_deep, False).alias(usual.name)

    def _sort_out_parts(self, judged: pl.DataFrame, usual: pl.Series, counts: list[int]) -> Taken:
        routed, good = pl.col("_routed"), pl.col("_good")
        sound = pl.col("_sound") & pl.col("_clear")
        ignored = sound & ~routed & self._ignores_others
        accepted = sound & routed & good
        rest_of: dict[int, list[int]] = {}
        for row, part in judged.filter(~accepted & ~ignored).select("row", "part").iter_rows():
            rest_of.setdefault(row, []).append(part)
        empty = [(at, 0) for at in usual.arg_true() if not counts[at]]
        elsewhere = judged.filter(ignored).select("row", "part").rows()
        return Taken(
            mapped=judged.filter(accepted).select(self._names),
            ignored=sorted([*empty, *elsewhere]),
            rest={**dict.fromkeys((~usual).arg_true()), **rest_of},
            parts=[count or 1 for count in counts],
        )

    def _add_wires(self) -> None:
        self._wires |= self._element_decoder.wires
        self._element_pickers = self._make_pickers(self._tree.within)


def _flat(arrays: list[list[msgspec.Raw]], usual: pl.Series) -> _Elements:
    kept = [array if keep else [] for array, keep in zip(arrays, usual, strict=True)]
    counts = list(map(len, kept))
    rows = [row for row, count in enumerate(counts) for _ in range(count)]
    parts = list(chain.from_iterable(map(range, counts)))
    return _Elements(
        rows=pl.Series("row", rows, dtype=pl.UInt32),
        parts=pl.Series("part", parts, dtype=pl.Int32),
        raws=list(chain.from_iterable(kept)),
        counts=counts,
    )


def _texts(raws: Sequence[msgspec.Raw]) -> pl.Series:
    return pl.Series(list(map(bytes, raws)), dtype=pl.Binary).cast(pl.String)
