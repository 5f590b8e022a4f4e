"""Schemas compiled once, applied to whole batches: the entrance of this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from ingestion.parsing.columns import Finisher, dtype_of, mapped_schema
from ingestion.parsing.document import Document, Identity, Value
from ingestion.parsing.fast import FastPath, Taken
from ingestion.parsing.mapping import read_document
from ingestion.parsing.reasons import ValidationError
from ingestion.parsing.slow import Names, SlowPath, Verdict

#: messages; below, the fast path's expressions cost more to set up than the messages to judge
SMALL_BATCH = 48


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
        self.explode: tuple[str, ...] = ()
        self._slow = SlowPath(document)
        self._fast = FastPath.build(document, has_repeated_names=self._slow.has_repeated_names)
        self._finisher = Finisher(document)
        self._schema = mapped_schema(document)

    def parse(
        self,
        bodies: Sequence[bytes],
        headers: Sequence[bytes | None] | None = None,  # noqa: ARG002
    ) -> Parsed:
        """Columns, failures and ignored parts of a batch; pure.

        `headers` are those of each message, JSON objects as the producer wrote them.
        """
        small = len(bodies) < SMALL_BATCH
        return self.parse_slowly(bodies) if small else self.parse_by_columns(bodies)

    def parse_by_columns(self, bodies: Sequence[bytes]) -> Parsed:
        """Parse by the fast path, where the schema has one."""
        if self._fast is None or not bodies:
            return self.parse_slowly(bodies)
        taken = self._fast.take(bodies)
        if not taken.rest:
            columns = self._finisher.finish(taken.mapped)
            return Parsed(columns=columns, failures={}, ignored=[(at, 0) for at in taken.ignored])
        return self._judge(bodies, taken)

    def parse_slowly(self, bodies: Sequence[bytes]) -> Parsed:
        """Parse by the slow path alone: what the fast path is held to."""
        nothing = pl.DataFrame(schema=self._schema)
        everything = Taken(mapped=nothing, ignored=[], rest=list(range(len(bodies))))
        return self._judge(bodies, everything)

    def judge(self, body: bytes, *, fail_fast: bool = False) -> Verdict:
        """The slow path's verdict on one message."""
        return self._slow.judge(body, fail_fast=fail_fast)

    def columns_of(self, verdict: Verdict) -> pl.DataFrame:
        """The one row of an accepted verdict."""
        return self._finisher.finish(self._table([{"row": 0, "part": 0, **(verdict.values or {})}]))

    def _judge(self, bodies: Sequence[bytes], taken: Taken) -> Parsed:
        """The slow path's verdicts on the rest, put in order with what was taken."""
        rows: list[dict[str, Value | None]] = []
        failures = {}
        names = {}
        ignored = [(at, 0) for at in taken.ignored]
        for index in taken.rest:
            verdict = self._slow.judge(bodies[index])
            if verdict.values is not None:
                rows.append({"row": index, "part": 0, **verdict.values})
            elif verdict.ignored:
                ignored.append((index, 0))
            else:
                failures[index, 0] = verdict.errors
                if verdict.names is not None:
                    names[index, 0] = verdict.names
        mapped = taken.mapped
        if rows:
            mapped = pl.concat([mapped, self._table(rows)]).sort("row")
        columns = self._finisher.finish(mapped)
        return Parsed(columns=columns, failures=failures, ignored=sorted(ignored), names=names)

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
