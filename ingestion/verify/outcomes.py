"""Parts that the commit itself decided: is there really an event that was there first?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
import psycopg

from ingestion.bundles import CompiledBundle
from ingestion.store import schema_versions
from ingestion.verify.findings import Findings
from ingestion.verify.recompute import Recomputed
from ingestion.verify.report import Kind

_OTHERS: Final = """
SELECT id, encode(uuid_send(event_key), 'hex'), payload_hash, batch
FROM normalized_transactions WHERE id = ANY(%(ids)s)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Other:
    key: str
    payload_hash: int
    #: of the schema that it was evaluated under; None when its batch is gone
    version: int | None


def check_outcomes(
    cursor: psycopg.Cursor[Any],
    recomputed: Recomputed,
    outcomes: pl.DataFrame,
    *,
    bundle: CompiledBundle,
    findings: Findings,
) -> None:
    """Every outcome is of an accepted part, and the event that it names has the same key.

    The payload tells a duplicate from a conflict, if both were read under one schema version.
    """
    if outcomes.is_empty():
        return
    parts = {
        row["ordinal"]: row
        for row in recomputed.outcome.accepted.filter(
            pl.col("ordinal").is_in(outcomes["ordinal"].cast(pl.UInt32).implode())
        )
        .select("ordinal", "part", "transaction_id", "payload_hash", key=_hex("event_key"))
        .iter_rows(named=True)
    }
    others = _read_others(cursor, outcomes["other_id"].drop_nulls().unique().to_list())
    for row in outcomes.iter_rows(named=True):
        _check_outcome(
            row,
            parts.get(row["ordinal"]),
            others.get(row["other_id"]),
            recomputed=recomputed,
            version=bundle.schema_version,
            findings=findings,
        )


def _check_outcome(
    row: Mapping[str, Any],
    part: Mapping[str, Any] | None,
    other: _Other | None,
    *,
    recomputed: Recomputed,
    version: int,
    findings: Findings,
) -> None:
    ordinal, outcome = row["ordinal"], row["outcome"]

    def differ(column: str, stored: object, expected: object) -> None:
        findings.add(Kind.OUTCOME, column, stored, expected, ordinal=ordinal)

    if part is None:
        differ("outcome", outcome, "no accepted part")
        return
    numbering = recomputed.numbering
    if row["id"] != numbering.id_of(ordinal):
        differ("id", row["id"], numbering.id_of(ordinal))
    if row["batch"] != numbering.id_of(0):
        differ("batch", row["batch"], numbering.id_of(0))
    if row["part"] != part["part"]:
        differ("part", row["part"], part["part"])
    if row["transaction_id"] != part["transaction_id"]:
        differ("transaction_id", "a text", "another text")
    if outcome == "refused":
        return
    if other is None:
        differ("other_id", row["other_id"], "a stored transaction")
    elif other.key != part["key"]:
        differ("other_id", other.key, part["key"])
    elif other.version is not None:
        same = other.payload_hash == part["payload_hash"] or other.version != version
        expected = "duplicate" if same else "conflict"
        if outcome != expected:
            differ("outcome", outcome, expected)


def _read_others(cursor: psycopg.Cursor[Any], ids: list[int]) -> dict[int, _Other]:
    rows = cursor.execute(_OTHERS, {"ids": ids}).fetchall()
    versions = schema_versions(cursor, sorted({batch for *_, batch in rows}))
    return {
        id_: _Other(key=key, payload_hash=payload_hash, version=versions.get(batch))
        for id_, key, payload_hash, batch in rows
    }


def _hex(column: str) -> pl.Expr:
    return pl.col(column).bin.encode("hex")
