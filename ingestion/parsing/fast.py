"""The fast path: a whole batch by columns. It is at most stricter than the slow path.

1. Messages with anything unusual in their bytes are set aside: not UTF-8, too large, deep or
   escaped in a way that could hide a name, names that occur twice.
2. The decoder compiled from the schema makes wire columns of the others.
3. Expressions check the JSON Schema's remaining keywords and map the columns.

What fails any check, for whatever reason, is left to the slow path. Where a message holds several
events, what surrounds them is looked at per message, and the rest per event (fast_parts.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from ingestion.parsing.cells import Cell, cell_text, checks, is_clear, routed
from ingestion.parsing.columns import mapped_schema
from ingestion.parsing.decoding import Decoder
from ingestion.parsing.document import COLUMNS, Document, Kind
from ingestion.parsing.expressions import plan_column
from ingestion.parsing.headers import HeaderWires
from ingestion.parsing.paths import Path
from ingestion.parsing.picking import Picker
from ingestion.parsing.reading import MAX_DEPTH, MAX_MESSAGE
from ingestion.parsing.repeats import Aside, Repeats, presence
from ingestion.parsing.tree import Node, Tree, Wire

#: each is a level
BRACKETS = r"[\[{]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What the fast path made of a batch."""

    #: accepted events in the columns of `mapped_schema`
    mapped: pl.DataFrame
    #: (row, part) of what the route leaves to others
    ignored: list[tuple[int, int]]
    #: message index -> parts that the slow path must judge; None: all of them
    rest: dict[int, list[int] | None]
    #: of each message, where it is known; None: one each
    parts: list[int] | None = None


class FastPath:
    """Takes the ordinary messages of one schema."""

    def __init__(
        self, document: Document, tree: Tree, *, has_repeated_names: Callable[[bytes], bool]
    ) -> None:
        self._tree = tree
        self._decoder = Decoder(tree.root)
        self._wires = dict(self._decoder.wires)
        self._ignores_others = bool(document.route and document.route.ignores_others)
        self._repeats = Repeats([*tree.around, *tree.within], has_repeated_names=has_repeated_names)
        self._present = presence(tree.root, self._wires)
        self._headers = self._header_wires()
        self._pickers = self._make_pickers(tree.around)
        self._add_wires()
        self._set_up_expressions(document)

    def take(self, bodies: Sequence[bytes], headers: Sequence[bytes | None] | None = None) -> Taken:
        """Judge a batch."""
        texts, bodies = as_texts(bodies)
        usual = look_usual(texts, self._repeats.suspicious, levels=MAX_DEPTH)
        bodies = blanked(bodies, usual)
        decoded = self._decoder.decode(bodies)
        if decoded.refused:
            usual = usual.scatter(decoded.refused, False)
        present = decoded.wires.with_columns(self._present)["_present"]
        wires, usual = self._with_headers(decoded.wires, usual, headers)
        wires, usual, aside = pick_all(self._pickers, wires, usual)
        usual = self._repeats.without(texts, usual, present, bodies, aside)
        judged = (
            wires.lazy()
            .with_columns(self._cells)
            .with_columns(self._currency)
            .with_columns(self._values)
            .with_columns(self._good, self._routed, self._clear, usual)
            .with_row_index("row")
            .collect()
        )
        return self._sort_out(judged)

    def _sort_out(self, judged: pl.DataFrame) -> Taken:
        routed, good = pl.col("_routed"), pl.col("_good")
        usual = pl.col("_usual") & pl.col("_clear")
        ignored = usual & ~routed & self._ignores_others
        accepted = usual & routed & good
        return Taken(
            mapped=judged.filter(accepted).select(self._names),
            ignored=[(at, 0) for at in judged.filter(ignored)["row"]],
            rest=dict.fromkeys(judged.filter(~accepted & ~ignored)["row"]),
        )

    def _with_headers(
        self, wires: pl.DataFrame, usual: pl.Series, headers: Sequence[bytes | None] | None
    ) -> tuple[pl.DataFrame, pl.Series]:
        if self._headers is None:
            return wires, usual
        columns, sound = self._headers.read(headers, len(usual))
        return wires.with_columns(columns), (usual & sound).alias(usual.name)

    def _header_wires(self) -> HeaderWires | None:
        found = self._tree.headers.values()
        for at, node in enumerate(found):
            self._wires[node.path] = f"header_{at}"
        names = [str(getattr(node.path[0], "name", "")) for node in found]
        return HeaderWires(names, [self._wires[node.path] for node in found]) if names else None

    def _make_pickers(self, nodes: Sequence[Node]) -> list[Picker]:
        pickers = []
        for node in nodes:
            if not node.picked:
                continue
            for path in node.picked:
                self._wires[path] = f"picked_{len(self._wires)}"
            names = [self._wires[path] for path in node.picked]
            pickers.append(Picker(node, self._wires[node.path], names))
        return pickers

    def _add_wires(self) -> None:
        """Where parts are decoded too: their wires."""

    def _set_up_expressions(self, document: Document) -> None:
        wires = self._wires
        cells = {
            node.path: Cell(node=node, wire=wires[node.path], text=f"text_{at}")
            for at, node in enumerate(self._sources())
            if node.columns and node.wire is not Wire.OBJECT
        }
        self._cells = [cell_text(cell, sorted(document.nulls)) for cell in cells.values()]
        plans = {}
        for column in document.every_column:
            if column.expression is None:
                # Below an opaque field there are no cells: where it is, the message is not good.
                found = [cells[path] for path in column.paths if path in cells]
                plans[column.name] = plan_column(column, found)
        schema = mapped_schema(document)
        self._names = list(schema)
        absent = {name: _absent(name, dtype) for name, dtype in schema.items()}
        self._currency = plans["currency"].value if "currency" in plans else absent["currency"]
        self._values = [
            plans[name].value if name in plans else value
            for name, value in absent.items()
            if name not in {"row", "part"}
        ]
        if not document.explode:
            self._values.append(pl.lit(0, pl.Int32).alias("part"))
        self._conditions = [c for plan in plans.values() for c in plan.conditions]
        self._good = self._all_checks(self._tree.around, self._conditions).alias("_good")
        self._routed = _routed(document, self._sources(), wires)
        self._clear = self._all_clear(self._tree.around).alias("_clear")

    def _sources(self) -> list[Node]:
        """Everything that columns or the route can read."""
        nodes = [*self._tree.around, *self._tree.within]
        picked = [value for node in nodes for value in node.picked.values()]
        return [*nodes, *picked, *self._tree.headers.values()]

    def _all_checks(self, nodes: Sequence[Node], conditions: Sequence[pl.Expr] = ()) -> pl.Expr:
        """Whether the JSON Schema surely takes these fields, and the conditions hold."""
        found = list(conditions)
        for node in nodes:
            if not node.picked:
                found += checks(self._wires[node.path], node)
        return pl.all_horizontal(pl.lit(True), *found).fill_null(False)

    def _all_clear(self, nodes: Sequence[Node]) -> pl.Expr:
        """Whether nothing is there that only the slow path can look into."""
        clear = [
            is_clear(self._wires[node.path], node) for node in nodes if node.opaque or node.scalar
        ]
        return pl.all_horizontal(pl.lit(True), *clear)


def pick_all(
    pickers: Sequence[Picker], wires: pl.DataFrame, sound: pl.Series
) -> tuple[pl.DataFrame, pl.Series, list[Aside]]:
    """The wires with what is picked out of arrays, what is still sound, and those arrays."""
    aside = []
    for picker in pickers:
        arrays = wires[picker.wire]
        columns, good = picker.pick(arrays)
        wires = wires.with_columns(columns)
        sound = (sound & good).alias(sound.name)
        aside.append(Aside(rows=pl.int_range(len(arrays), eager=True), texts=arrays))
    return wires, sound, aside


def as_texts(bodies: Sequence[bytes]) -> tuple[pl.Series, Sequence[bytes]]:
    """The messages as text, those that are not UTF-8 as nothing."""
    try:
        return pl.Series(bodies, dtype=pl.Binary).cast(pl.String), bodies
    except pl.exceptions.ComputeError:  # at least one is not; polars does not say which
        bodies = [body if _is_utf8(body) else b"" for body in bodies]
        return pl.Series(bodies, dtype=pl.Binary).cast(pl.String), bodies


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def look_usual(texts: pl.Series, suspicious: str, *, levels: int | None) -> pl.Series:
    """Whether each message is UTF-8, not too large, not too deep, without odd escapes."""
    column = pl.col("text")
    conditions = [column.str.len_bytes() <= MAX_MESSAGE, ~column.str.contains(suspicious)]
    if levels is not None:
        # A level takes a bracket, so few brackets are few levels.
        conditions.append(column.str.count_matches(BRACKETS) <= levels)
    usual = pl.all_horizontal(conditions)
    return pl.DataFrame({"text": texts}).select(_usual=usual.fill_null(False)).to_series()


def blanked(bodies: Sequence[bytes], usual: pl.Series) -> Sequence[bytes]:
    """The messages, nothing in the place of those that are not usual."""
    if usual.all():
        return bodies
    return [body if keep else b"" for body, keep in zip(bodies, usual, strict=True)]


def _absent(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column that the schema does not map."""
    return pl.lit("" if COLUMNS.get(name) is Kind.TEXT else None, dtype=dtype).alias(name)


def _routed(document: Document, nodes: list[Node], wires: dict[Path, str]) -> pl.Expr:
    if document.route is None:
        return pl.lit(True).alias("_routed")
    by_path = {node.path: node for node in nodes}
    conditions = [
        routed(wires[path], by_path[path], words) if path in by_path else pl.lit(False)
        for path, words in document.route.fields.items()
    ]
    return pl.all_horizontal(conditions).alias("_routed")
