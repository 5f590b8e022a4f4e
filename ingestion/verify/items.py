"""Failed items: each refused part, with its bytes, reasons and group, and no other."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import polars as pl

from deadletter.store import FailedRow, Origin, fingerprint
from ingestion.evaluate import FailedPart
from ingestion.numbering import Numbering
from ingestion.parsing import Reason
from ingestion.parsing.reasons import problem
from ingestion.store import failed_rows
from ingestion.verify.compare import ABSENT, PRESENT, Unequal
from ingestion.verify.snapshot import Manifest
from ingestion.verify.unit import Unit

#: what PostgreSQL said of a refused row is known to nobody else
_REFUSED_UNKNOWN: Final = frozenset({"errors", "field", "group_id"})
#: ids are put in from `places` afterwards
_UNNUMBERED: Final = Numbering(first_tick=0, slot=0)
_STORE_REASONS: Final = {
    "conflict": Reason.DUPLICATE_CONFLICT,
    "refused": Reason.REFUSED_BY_DATABASE,
}


def unequal_items(
    stored: list[dict[str, Any]], expected: Mapping[int, dict[str, Any]]
) -> Iterator[Unequal]:
    """Items that only one side has, and columns in which both differ."""
    by_id = {item["id"]: item for item in stored}
    for id_ in by_id.keys() - expected.keys():
        yield Unequal((id_,), "", PRESENT, ABSENT)
    for id_, item in expected.items():
        found = by_id.get(id_)
        if found is None:
            yield Unequal((id_,), "", ABSENT, PRESENT)
            continue
        for column, value in item.items():
            ours = _plain(column, found[column])
            if ours != value:
                yield Unequal((id_,), column, ours, value)


def expected_items(
    unit: Unit, accepted: pl.DataFrame, outcomes: pl.DataFrame
) -> dict[int, dict[str, Any]]:
    """The items by id: what evaluate() refused, and what the commits themselves refused."""
    decided = outcomes.filter(pl.col("outcome") != "duplicate")
    others = {
        unit.rows[id_]: other
        for id_, other in decided.select("id", "other_id").drop_nulls().iter_rows()
        if id_ in unit.rows
    }
    parts = [*unit.outcome.failed, *_refused_by_commit(unit, accepted, decided)]
    rows = failed_rows(
        unit.messages,
        parts,
        outcome=unit.outcome,
        bundle=unit.bundle,
        numbering=_UNNUMBERED,
        others=others,
    )
    origins = {manifest.id: _origin(manifest, unit) for manifest in unit.manifests}
    items = {}
    for row in rows:
        id_, batch, ordinal, _ = unit.places.row(row.ordinal)
        placed = dataclasses.replace(row, id=id_, batch=batch, ordinal=ordinal)
        items[id_] = _columns(placed, origin=origins[batch])
    return items


def _refused_by_commit(
    unit: Unit, accepted: pl.DataFrame, decided: pl.DataFrame
) -> list[FailedPart]:
    """Parts that evaluate() accepted and the commit did not: conflicts, rows that were refused."""
    joined = decided.select("id", "outcome").join(
        accepted.select("id", "row", "part", "route", "transaction_id", "correlation_id"), on="id"
    )
    return [
        FailedPart(
            ordinal=unit.rows[row["id"]],
            row=row["row"],
            part=row["part"],
            route=row["route"],
            stage="store",
            errors=(problem("", _STORE_REASONS[row["outcome"]], "", ""),),
            transaction_id=row["transaction_id"],
            correlation_id=row["correlation_id"],
        )
        for row in joined.iter_rows(named=True)
    ]


def _origin(manifest: Manifest, unit: Unit) -> Origin:
    return Origin(
        source_id=unit.partition.source_id,
        partition_name=unit.partition.name,
        bundle_id=manifest.bundle_id,
        archive_file=manifest.file,
        failed_at=manifest.received_at,
    )


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
        "schema_name": row.schema_name,
        "stage": row.stage,
        "reason": str(row.reason),
        "field": row.field,
        "errors": [msgspec.to_builtins(error) for error in row.errors],
        "payload": row.payload,
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
