"""Schemas compiled once, applied to whole batches: the entrance of this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from ingestion.parsing.columns import Finisher, dtype_of, mapped_schema
from ingestion.parsing.document import Document, Identity
from ingestion.parsing.mapping import read_document
from ingestion.parsing.reasons import ValidationError
from ingestion.parsing.slow import SlowPath, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A batch after parsing; every message is in exactly one of the three."""

    #: accepted events in message order, one row each
    columns: pl.DataFrame
    #: by message index
    failures: dict[int, tuple[ValidationError, ...]]
    #: message indexes that the route leaves to others
    ignored: list[int]


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
        self._slow = SlowPath(document)
        self._finisher = Finisher(document)
        self._mapped_schema = mapped_schema(document)

    def parse(self, bodies: Sequence[bytes]) -> Parsed:
        """Columns, failures and ignored messages of a batch; pure."""
        return self._assemble(None, enumerate(bodies))

    def judge(self, body: bytes, *, fail_fast: bool = False) -> Verdict:
        """The slow path's verdict on one message."""
        return self._slow.judge(body, fail_fast=fail_fast)

    def _assemble(self, fast, rest) -> Parsed:
        failures = {}
        ignored = []
        rows = []
        for index, body in rest:
            verdict = self._slow.judge(body)
            if verdict.ignored:
                ignored.append(index)
            elif verdict.errors:
                failures[index] = verdict.errors
            else:
                rows.append({"row": index, **(verdict.values or {})})
        raw = {
            n: pl.String()
            if t == pl.Decimal(19, 4)
            else pl.Int64()
            if t == pl.Datetime("us", "UTC")
            else t
            for n, t in self._mapped_schema.items()
        }
        mapped = pl.DataFrame(rows, schema=raw, orient="row").cast(self._mapped_schema)
        return Parsed(columns=self._finisher.finish(mapped), failures=failures, ignored=ignored)
