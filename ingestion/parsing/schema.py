"""Schemas compiled once, applied to whole batches: the entrance of this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from ingestion.parsing.columns import Finisher, dtype_of, mapped_schema
from ingestion.parsing.computing import Computation
from ingestion.parsing.document import Document, Identity, Value
from ingestion.parsing.fast import FastPath, Taken
from ingestion.parsing.fast_parts import PartsPath
from ingestion.parsing.mapping import read_document
from ingestion.parsing.paths import Path
from ingestion.parsing.reading import Rejected
from ingestion.parsing.reasons import ValidationError
from ingestion.parsing.slow import Names, SlowPath, Verdict
from ingestion.parsing.tree import build_tree

#: messages; below, the fast path's expressions cost more to set up than the messages to judge
SMALL_BATCH = 48
#: bytes of a message; where messages hold several events, their size says how much there is to do
ORDINARY_SIZE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A batch after parsing; every part of every message is in exactly one of the three.

    A part is named by the index of its message and its number within it, from 0.
    """

    #: accepted events, one row each, sorted by `row` (message index) and `part`
    columns: pl.DataFrame
    #: by (row, part)
    failures: dict[tuple[int, int], tuple[ValidationError, ...]]
    #: (row, part) of what the route leaves to others, sorted
    ignored: list[tuple[int, int]]
    #: by (row, part): what failed events are called, where that could be read
    names: dict[tuple[int, int], Names] = field(default_factory=dict)
    #: parts of each message; a message that fails or is ignored whole has one. None: one each
    parts: Sequence[int] | None = None


def compile_schema(document: Mapping[str, Any], *, name: str) -> CompiledSchema:
    """A schema ready to parse; raises ConfigurationError listing every problem."""
    return CompiledSchema(read_document(document, name=name))


class CompiledSchema:
    """One schema version: JSON Schema and mapping, on a fast and a slow path that agree."""

    def __init__(self, document: Document) -> None:
        self.name: str = document.name
        #: SHA-256 (hex) of the document's canonical JSON
        self.checksum: str = document.checksum
        self.identity: Identity = document.identity
        #: the columns after `metadata`, in order
        self.attributes: dict[str, pl.DataType] = {
            column.name: dtype_of(column) for column in document.attributes
        }
        #: where the array stands whose elements are events of their own; (): a message is one event
        self.explode: Path = document.explode or ()
        #: what opens a message that carries its event as a text
        self.wrapping = document.wrapping
        self._slow = SlowPath(document)
        self._fast = _fast_path(document, self._slow)
        self._computation = Computation(document)
        self._finisher = Finisher(document)
        self._schema = mapped_schema(document)

    def parse(
        self, bodies: Sequence[bytes], headers: Sequence[bytes | None] | None = None
    ) -> Parsed:
        """Columns, failures and ignored parts of a batch; pure.

        `headers` are those of each message, JSON objects as the producer wrote them.
        """
        if self.wrapping is None:
            return self._parse(bodies, headers)
        opened = self.wrapping.open_all(bodies)
        parsed = self._parse(opened.bodies, headers)
        refused = {(index, 0): (error,) for index, error in opened.refused.items()}
        return replace(parsed, failures=parsed.failures | refused)

    def _parse(self, bodies: Sequence[bytes], headers: Sequence[bytes | None] | None) -> Parsed:
        """Parse messages that are their events."""
        small = len(bodies) < SMALL_BATCH
        if small and self.explode:
            small = sum(map(len, bodies)) < SMALL_BATCH * ORDINARY_SIZE
        return (
            self.parse_slowly(bodies, headers) if small else self.parse_by_columns(bodies, headers)
        )

    def parse_by_columns(
        self, bodies: Sequence[bytes], headers: Sequence[bytes | None] | None = None
    ) -> Parsed:
        """Parse by the fast path, where the schema has one."""
        if self._fast is None or not bodies:
            return self.parse_slowly(bodies, headers)
        return self._complete(bodies, headers, self._fast.take(bodies, headers))

    def parse_slowly(
        self, bodies: Sequence[bytes], headers: Sequence[bytes | None] | None = None
    ) -> Parsed:
        """Parse by the slow path alone: what the fast path is held to."""
        nothing = pl.DataFrame(schema=self._schema)
        everything = Taken(mapped=nothing, ignored=[], rest=dict.fromkeys(range(len(bodies))))
        return self._complete(bodies, headers, everything)

    def judge(
        self, body: bytes, headers: bytes | None = None, *, fail_fast: bool = False
    ) -> Verdict:
        """The verdict on a message that is one event.

        Raises ValueError when the schema makes several events of one.
        """
        if self.explode:
            raise ValueError(f"{self.name} makes several events of a message")
        if self.wrapping is not None:
            try:
                body = self.wrapping.open(body)
            except Rejected as exc:
                return Verdict(errors=(exc.error,))
        verdict = self._slow.judge(body, headers, fail_fast=fail_fast)
        if verdict.values is None:
            return verdict
        computed = self._computation.apply(self._table([{"row": 0, "part": 0, **verdict.values}]))
        if not computed.failures:
            return verdict
        errors = computed.failures[0, 0]
        return Verdict(errors=errors[:1] if fail_fast else errors, names=computed.names[0, 0])

    def columns_of(self, verdict: Verdict) -> pl.DataFrame:
        """The one row of an accepted verdict of `judge`."""
        row = {"row": 0, "part": 0, **(verdict.values or {})}
        return self._finisher.finish(self._computation.apply(self._table([row])).mapped)

    def _complete(
        self, bodies: Sequence[bytes], headers: Sequence[bytes | None] | None, taken: Taken
    ) -> Parsed:
        """The slow path's verdicts on the rest, put in order with what was taken, and computed."""
        mapped = taken.mapped
        rest = self._judge_rest(bodies, headers, taken)
        if rest.rows:
            mapped = pl.concat([mapped, self._table(rest.rows)]).sort("row", "part")
        computed = self._computation.apply(mapped)
        return Parsed(
            columns=self._finisher.finish(computed.mapped),
            failures=rest.failures | computed.failures,
            ignored=sorted(rest.ignored) if rest.ignored else taken.ignored,
            names=rest.names | computed.names,
            parts=rest.parts if self.explode else None,
        )

    def _judge_rest(
        self, bodies: Sequence[bytes], headers: Sequence[bytes | None] | None, taken: Taken
    ) -> _Rest:
        parts = taken.parts or [1] * len(bodies) if self.explode else []
        rest = _Rest(ignored=list(taken.ignored) if taken.rest else [], parts=parts)
        for index, only in taken.rest.items():
            judged = self._slow.judge_parts(
                bodies[index], headers[index] if headers else None, only=only
            )
            if parts:
                parts[index] = judged.parts
            for part, verdict in judged.verdicts.items():
                rest.add((index, part), verdict)
        return rest

    def _table(self, rows: list[dict[str, Value | None]]) -> pl.DataFrame:
        """Verdicts' values as columns: amounts come as text, times as microseconds."""
        series = []
        for name, dtype in self._schema.items():
            values = [row[name] for row in rows]
            if isinstance(dtype, pl.Decimal | pl.Datetime):
                given = pl.String() if isinstance(dtype, pl.Decimal) else pl.Int64()
                series.append(pl.Series(name, values, dtype=given).cast(dtype))
            else:
                series.append(pl.Series(name, values, dtype=dtype))
        return pl.DataFrame(series)


def _fast_path(document: Document, slow: SlowPath) -> FastPath | None:
    """The fast path of a document; None when its JSON Schema leaves nothing to it."""
    tree = build_tree(document)
    if tree is None:
        return None
    if tree.element is None:
        return FastPath(document, tree, has_repeated_names=slow.has_repeated_names)
    return PartsPath(document, tree, tree.element, has_repeated_names=slow.has_repeated_names)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    """What the slow path says of the parts that were left to it, beside what was taken."""

    rows: list[dict[str, Value | None]] = field(default_factory=list)
    failures: dict[tuple[int, int], tuple[ValidationError, ...]] = field(default_factory=dict)
    names: dict[tuple[int, int], Names] = field(default_factory=dict)
    ignored: list[tuple[int, int]]
    #: of each message; empty where a message is one event
    parts: list[int]

    def add(self, place: tuple[int, int], verdict: Verdict) -> None:
        """Put one verdict where it belongs."""
        if verdict.values is not None:
            self.rows.append({"row": place[0], "part": place[1], **verdict.values})
        elif verdict.ignored:
            self.ignored.append(place)
        else:
            self.failures[place] = verdict.errors
            if verdict.names is not None:
                self.names[place] = verdict.names
