"""Says where a difference is, in the words of the report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ingestion.verify.compare import Unequal, described
from ingestion.verify.report import Difference, Kind, Report
from ingestion.verify.unit import Unit

#: what payflow itself made: shown as it is; everything else comes from payloads
_OWN_COLUMNS = frozenset(
    {
        "", "id", "batch", "ordinal", "part", "event_key", "payload_hash", "received_at",
        "other_id", "outcome", "verdict", "reasons", "stage", "reason", "source_id", "bundle_id",
        "position", "partition_name", "schema_name", "archive_file", "archive_row", "failed_at",
        "group_id",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Adds the differences of one partition's batches to a report."""

    report: Report
    partition: str

    def add(
        self,
        kind: Kind,
        column: str,
        stored: object,
        recomputed: object,
        *,
        batch: int | None = None,
        position: str = "",
        row: str = "",
    ) -> None:
        """Only for what payflow itself made: both values are shown."""
        self.report.add(
            Difference(
                kind=kind,
                partition=self.partition,
                batch=batch,
                position=position,
                row=row,
                column=column,
                stored=str(stored),
                recomputed=str(recomputed),
            )
        )

    def add_rows(self, kind: Kind, found: Iterable[Unequal], unit: Unit) -> None:
        """Differences of rows whose key begins with an id; values from payloads are not shown."""
        for it in found:
            stored, recomputed = (
                (str(it.stored), str(it.recomputed))
                if it.column in _OWN_COLUMNS
                else described(it.stored, it.recomputed)
            )
            id_ = it.key[0]
            place = unit.rows.get(id_)
            self.add(
                kind,
                it.column,
                stored,
                recomputed,
                batch=None if place is None else unit.places["batch"][place],
                position="" if place is None else unit.archived["offset"][place],
                row=f"id {id_}" if place is None else "",
            )

    def compare(
        self, kind: Kind, values: Iterable[tuple[str, object, object]], *, batch: int
    ) -> None:
        """Named values that should be equal."""
        for column, stored, recomputed in values:
            if stored != recomputed:
                self.add(kind, column, stored, recomputed, batch=batch)
