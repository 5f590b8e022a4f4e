"""The fast path: a whole batch by columns. It is at most stricter than the slow path.

1. Messages with anything unusual in their bytes are set aside: not UTF-8, too large, deep or
   escaped in a way that could hide a name, names that occur twice.
2. The decoder compiled from the schema makes wire columns of the others.
3. Expressions check the JSON Schema's remaining keywords and map the columns.

What fails any check, for whatever reason, is left to the slow path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from ingestion.parsing.cells import Cell, cell_text, checks, is_clear, routed
from ingestion.parsing.columns import mapped_schema
from ingestion.parsing.decoding import ABSENT, Decoder
from ingestion.parsing.document import COLUMNS, Document, Kind, Path
from ingestion.parsing.expressions import plan_column
from ingestion.parsing.reading import MAX_DEPTH, MAX_MESSAGE
from ingestion.parsing.tree import Node, Wire, build_tree

# Escapes of ASCII characters could spell a name or NUL, those of surrogates half a character.
_SUSPICIOUS = r"\\u(?:00[0-7]|[dD][89a-fA-F])"
_SPACED_COLON = r"[ \t\r\n]:"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.@$ -]+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What the fast path made of a batch."""

    #: accepted events in the columns of `mapped_schema`
    mapped: pl.DataFrame
    #: message indexes that the route leaves to others
    ignored: list[int]
    #: message indexes that the slow path must judge
    rest: list[int]


class FastPath:
    """Takes the ordinary messages of one schema."""

    def __init__(
        self, document: Document, root: Node, *, has_repeated_names: Callable[[bytes], bool]
    ) -> None:
        self._decoder = Decoder(root)
        self._has_repeated_names = has_repeated_names
        self._nodes = [node for node in root.walk() if node is not root]
        self._ignores_others = bool(document.route and document.route.ignores_others)
        self._set_up_names(root)
        self._set_up_expressions(document)

    @classmethod
    def build(
        cls, document: Document, *, has_repeated_names: Callable[[bytes], bool]
    ) -> FastPath | None:
        """The fast path of a document; None when its JSON Schema leaves nothing to it."""
        root = build_tree(document)
        if root.wire is not Wire.OBJECT:
            return None
        return cls(document, root, has_repeated_names=has_repeated_names)

    def take(self, bodies: Sequence[bytes]) -> Taken:
        """Judge a batch."""
        texts, bodies = _as_texts(bodies)
        usual = _look_usual(texts, self._suspicious)
        if not usual.all():
            bodies = [body if keep else b"" for body, keep in zip(bodies, usual, strict=True)]
        wires, refused = self._decoder.decode(bodies)
        if refused:
            usual = usual.scatter(refused, False)
        usual = self._without_repeated(texts, usual, wires, bodies)
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
            ignored=judged.filter(ignored)["row"].to_list(),
            rest=judged.filter(~accepted & ~ignored)["row"].to_list(),
        )

    def _without_repeated(
        self, texts: pl.Series, usual: pl.Series, wires: pl.DataFrame, bodies: Sequence[bytes]
    ) -> pl.Series:
        """`usual` without the messages in which a name that matters occurs twice.

        Each name that is there has a colon. As many colons behind quotes as names that were
        found: no name is there twice. Else the names themselves are counted, and where that
        leaves a doubt (a name within an object that does not matter, a text that is a name) the
        message is read again.
        """
        present = wires.with_columns(self._present)["_present"]
        found = texts.str.count_matches('":', literal=True)
        doubtful = usual & ((found != present) | texts.str.contains(_SPACED_COLON))
        if self._names_pattern and doubtful.any():
            counted = texts.filter(doubtful).str.count_matches(self._names_pattern)
            at = doubtful.arg_true()
            doubtful = doubtful.scatter(at, counted != present.filter(doubtful))
        repeated = [at for at in doubtful.arg_true() if self._has_repeated_names(bodies[at])]
        return usual.scatter(repeated, False) if repeated else usual

    def _set_up_names(self, root: Node) -> None:
        names = {node.path[-1] for node in self._nodes}
        # Only ASCII names without escapes have one spelling that a pattern can count.
        plain = all(_PLAIN_NAME.match(name) for name in names)
        self._suspicious = _SUSPICIOUS if plain else r"\\"
        words = "|".join(re.escape(name) for name in sorted(names))
        self._names_pattern = f'"(?:{words})"' if plain else ""
        always, conditions = 0, []
        for node, is_certain in _certainty(root):
            wire = pl.col(self._decoder.wires[node.path])
            if is_certain:
                always += 1
            elif node.wire in {Wire.OBJECT, Wire.ANY}:
                conditions.append(wire)
            else:
                conditions.append(wire.ne_missing("" if node.wire is Wire.RAW else ABSENT))
        self._present = pl.sum_horizontal(pl.lit(always, pl.UInt32), *conditions).alias("_present")

    def _set_up_expressions(self, document: Document) -> None:
        wires = self._decoder.wires
        cells = {
            node.path: Cell(node=node, wire=wires[node.path], text=f"text_{at}")
            for at, node in enumerate(self._nodes)
            if node.columns and node.wire is not Wire.OBJECT
        }
        self._cells = [cell_text(cell, sorted(document.nulls)) for cell in cells.values()]
        plans = {}
        for column in (*document.columns, *document.attributes):
            # Below an opaque field there are no cells: where it is, the message is not good.
            found = [cells[path] for path in column.paths if path in cells]
            plans[column.name] = plan_column(column, found)
        schema = mapped_schema(document)
        self._names = list(schema)
        self._currency = plans["currency"].value
        self._values = [
            plans[name].value if name in plans else _absent(name, dtype)
            for name, dtype in schema.items()
            if name not in {"row", "part"}
        ]
        self._values.append(pl.lit(0, pl.Int32).alias("part"))
        conditions = [c for plan in plans.values() for c in plan.conditions]
        for node in self._nodes:
            conditions += checks(wires[node.path], node)
        self._good = pl.all_horizontal(pl.lit(True), *conditions).fill_null(False).alias("_good")
        self._routed = _routed(document, self._nodes, wires)
        clear = [
            is_clear(wires[node.path], node) for node in self._nodes if node.opaque or node.scalar
        ]
        self._clear = pl.all_horizontal(pl.lit(True), *clear).alias("_clear")


def _as_texts(bodies: Sequence[bytes]) -> tuple[pl.Series, Sequence[bytes]]:
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


def _look_usual(texts: pl.Series, suspicious: str) -> pl.Series:
    """Whether each message is UTF-8, not too large, not too deep, without odd escapes."""
    column = pl.col("text")
    usual = pl.all_horizontal(
        column.str.len_bytes() <= MAX_MESSAGE,
        # A level takes a bracket, so few brackets are few levels.
        column.str.count_matches(r"[\[{]") <= MAX_DEPTH,
        ~column.str.contains(suspicious),
    )
    return pl.DataFrame({"text": texts}).select(_usual=usual.fill_null(False)).to_series()


def _certainty(root: Node) -> Iterator[tuple[Node, bool]]:
    """Every node below the root, and whether every decoded message has it."""
    for child in root.children.values():
        yield child, child.required
        for node, is_certain in _certainty(child):
            yield node, is_certain and child.required and not child.nullable


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
