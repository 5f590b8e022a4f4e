"""Failed items: each refused part, with its bytes, reasons and group, and no other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import polars as pl

from deadletter.store import MAX_PAYLOAD, FailedRow, Origin, fingerprint
from ingestion.bundles import CompiledBundle
from ingestion.evaluate import FailedPart
from ingestion.parsing import Reason
from ingestion.parsing.reasons import problem
from ingestion.store import failed_rows
from ingestion.verify.compare import ABSENT, PRESENT, Unequal
from ingestion.verify.recompute import Recomputed
from ingestion.verify.snapshot import Manifest, PartitionInfo

#: what a refused row said is known to PostgreSQL alone
_REFUSED_UNKNOWN: Final = frozenset({"errors", "field", "group_id"})


def unequal_items(
    stored: list[dict[str, Any]],
    expected: Mapping[int, dict[str, Any]],
) -> Iterator[tuple[int, Unequal]]:
    """Differences of failed items, each with the ordinal of its part."""
    by_id = {item["id"]: item for item in stored}
    for id_, item in by_id.items():
        if id_ not in expected:
            yield item["ordinal"], Unequal((id_,), "", PRESENT, ABSENT)
    for id_, item in expected.items():
        found = by_id.get(id_)
        if found is None:
            yield item["ordinal"], Unequal((id_,), "", ABSENT, PRESENT)
            continue
        for column, value in item.items():
            ours = _plain(column, found[column])
            if ours != value:
                yield item["ordinal"], Unequal((id_,), column, ours, value)


def expected_items(
    recomputed: Recomputed,
    outcomes: pl.DataFrame,
    *,
    manifest: Manifest,
    partition: PartitionInfo,
    bundle: CompiledBundle,
) -> dict[int, dict[str, Any]]:
    """The items of a batch by id: what evaluate() refused, and what the commit itself refused."""
    origin = Origin(
        source_id=partition.source_id,
        partition_name=partition.name,
        bundle_id=manifest.bundle_id,
        schema_name=bundle.schema.name,
        archive_file=manifest.file,
        failed_at=manifest.received_at,
    )
    decided = outcomes.filter(pl.col("outcome") != "duplicate")
    others = dict(decided.select("ordinal", "other_id").drop_nulls().iter_rows())
    parts = [*recomputed.outcome.failed, *_refused_by_commit(recomputed, decided)]
    rows = failed_rows(recomputed.batch, parts, numbering=recomputed.numbering, others=others)
    return {row.id: _columns(row, origin=origin) for row in rows}


def _refused_by_commit(recomputed: Recomputed, decided: pl.DataFrame) -> list[FailedPart]:
    """Parts that evaluate() accepted and the commit did not: conflicts, rows that were refused."""
    reasons = {"conflict": Reason.DUPLICATE_CONFLICT, "refused": Reason.REFUSED_BY_DATABASE}
    accepted = recomputed.outcome.accepted.select(
        "ordinal", "part", "transaction_id", "correlation_id"
    )
    joined = decided.select("ordinal", "outcome").join(
        accepted.with_columns(pl.col("ordinal").cast(pl.Int32)), on="ordinal"
    )
    return [
        FailedPart(
            ordinal=row["ordinal"],
            part=row["part"],
            stage="store",
            errors=(problem("", reasons[row["outcome"]], "", ""),),
            transaction_id=row["transaction_id"],
            correlation_id=row["correlation_id"],
        )
        for row in joined.iter_rows(named=True)
    ]


def _columns(row: FailedRow, *, origin: Origin) -> dict[str, Any]:
    columns = {
        "id": row.id,
        "batch": row.batch,
        "ordinal": row.ordinal,
        "part": row.part,
        "source_id": origin.source_id,
        "partition_name": origin.partition_name,
        "position": row.position,
        "bundle_id": origin.bundle_id,
        "schema_name": origin.schema_name,
        "stage": row.stage,
        "reason": str(row.reason),
        "field": row.field,
        "errors": [msgspec.to_builtins(error) for error in row.errors],
        "payload": row.payload if len(row.payload) <= MAX_PAYLOAD else None,
        "archive_file": origin.archive_file,
        "archive_row": row.ordinal,
        "other_id": row.other_id,
        "transaction_id": row.transaction_id,
        "correlation_id": row.correlation_id,
        "failed_at": origin.failed_at,
        "group_id": str(fingerprint(row, origin=origin)),
    }
    if row.reason == Reason.REFUSED_BY_DATABASE:
        return {name: value for name, value in columns.items() if name not in _REFUSED_UNKNOWN}
    if row.reason == Reason.DUPLICATE_CONFLICT:
        del columns["errors"]
    return columns


def _plain(column: str, value: Any) -> Any:
    match column:
        case "payload":
            return None if value is None else bytes(value)
        case "errors":
            return json.loads(value) if isinstance(value, str) else value
        case "group_id":
            return str(value)
        case _:
            return value
