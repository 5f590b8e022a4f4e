"""Parts that the commit itself decided: is there really an event that was there first?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
import psycopg

from ingestion.bundles import CompiledBundle
from ingestion.duplicates import schema_versions
from ingestion.verify.compare import Unequal
from ingestion.verify.findings import Findings
from ingestion.verify.report import Kind
from ingestion.verify.unit import Unit

_OTHERS: Final = """
SELECT id, encode(uuid_send(event_key), 'hex'), payload_hash, batch
FROM normalized_transactions WHERE id = ANY(%(ids)s)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Other:
    key: str
    payload_hash: int
    batch: int
    #: of the schemas that its batch was evaluated under, by scope; None when its batch is gone
    versions: Mapping[str, str] | None


def check_outcomes(
    cursor: psycopg.Cursor[Any],
    unit: Unit,
    accepted: pl.DataFrame,
    outcomes: pl.DataFrame,
    findings: Findings,
) -> None:
    """Every outcome is of an accepted part, and the event that it names has the same key.

    The payload tells a duplicate from a conflict, if both were read under one schema version.
    """
    if outcomes.is_empty():
        return
    parts = outcomes.select("id").join(
        accepted.select(
            *("id", "batch", "ordinal", "part", "route", "transaction_id", "payload_hash"),
            key=pl.col("event_key").bin.encode("hex"),
        ),
        on="id",
    )
    by_id = {part["id"]: part for part in parts.iter_rows(named=True)}
    others = _read_others(cursor, outcomes["other_id"].drop_nulls().unique().to_list())
    routes = dict(accepted.select("id", "route").iter_rows())
    found = [
        Unequal((row["id"],), column, stored, expected)
        for row in outcomes.iter_rows(named=True)
        for column, stored, expected in _unequal_values(
            row,
            by_id.get(row["id"]),
            others.get(row["other_id"]),
            bundle=unit.bundle,
            routes=routes,
        )
    ]
    findings.add_rows(Kind.OUTCOME, found, unit)


def _unequal_values(
    row: Mapping[str, Any],
    part: Mapping[str, Any] | None,
    other: _Other | None,
    *,
    bundle: CompiledBundle,
    routes: Mapping[int, int],
) -> Iterator[tuple[str, Any, Any]]:
    if part is None:
        yield "outcome", row["outcome"], "no accepted part"
        return
    for column in ("batch", "ordinal", "part", "transaction_id"):
        if row[column] != part[column]:
            yield column, row[column], part[column]
    if row["outcome"] == "refused":
        return
    if other is None:
        yield "other_id", row["other_id"], "a stored transaction"
    elif other.key != part["key"]:
        yield "other_id", other.key, part["key"]
    elif other.versions is not None:
        ours = bundle.version_of(part["route"])
        if other.batch == part["batch"]:
            # within a batch the commit knew the route of both
            theirs = bundle.version_of(routes.get(row["other_id"], part["route"]))
        else:
            theirs = other.versions.get(bundle.routes[part["route"]].schema.identity.scope, "")
        same = other.payload_hash == part["payload_hash"] or theirs != ours
        expected = "duplicate" if same else "conflict"
        if row["outcome"] != expected:
            yield "outcome", row["outcome"], expected


def _read_others(cursor: psycopg.Cursor[Any], ids: list[int]) -> dict[int, _Other]:
    rows = cursor.execute(_OTHERS, {"ids": ids}).fetchall()
    versions = schema_versions(cursor, sorted({batch for *_, batch in rows}))
    return {
        id_: _Other(key=key, payload_hash=payload_hash, batch=batch, versions=versions.get(batch))
        for id_, key, payload_hash, batch in rows
    }
