"""Says where in a batch a difference is, in the words of the report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ingestion.verify.compare import Unequal, described
from ingestion.verify.report import Difference, Kind, Report

#: what payflow itself made: shown as it is; everything else comes from payloads
_OWN_COLUMNS = frozenset(
    {
        "", "id", "batch", "ordinal", "part", "event_key", "payload_hash", "received_at",
        "other_id", "outcome", "verdict", "reasons", "stage", "reason", "source_id", "bundle_id",
        "position", "partition_name", "schema_name", "archive_file", "archive_row",
        "failed_at", "group_id",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Adds the differences of one batch to a report."""

    report: Report
    partition: str
    batch: int
    #: broker's name of each message; empty while the archive object is not read
    offsets: Sequence[str] = ()

    def add(
        self,
        kind: Kind,
        column: str,
        stored: object,
        recomputed: object,
        *,
        ordinal: int | None = None,
        row: str = "",
    ) -> None:
        """Only for what payflow itself made: both values are shown."""
        self.report.add(
            Difference(
                kind=kind,
                partition=self.partition,
                batch=self.batch,
                position=self._position(ordinal),
                row=row,
                column=column,
                stored=str(stored),
                recomputed=str(recomputed),
            )
        )

    def add_rows(self, kind: Kind, found: Iterable[tuple[int, Unequal]]) -> None:
        """Differences of rows, each with its ordinal; values from payloads are not shown."""
        for ordinal, it in found:
            stored, recomputed = (
                (str(it.stored), str(it.recomputed))
                if it.column in _OWN_COLUMNS
                else described(it.stored, it.recomputed)
            )
            self.add(kind, it.column, stored, recomputed, ordinal=ordinal)

    def compare(self, kind: Kind, values: Iterable[tuple[str, object, object]]) -> None:
        """Named values that should be equal."""
        for column, stored, recomputed in values:
            if stored != recomputed:
                self.add(kind, column, stored, recomputed)

    def _position(self, ordinal: int | None) -> str:
        if ordinal is None:
            return ""
        if 0 <= ordinal < len(self.offsets):
            return self.offsets[ordinal]
        return f"row {ordinal}"
