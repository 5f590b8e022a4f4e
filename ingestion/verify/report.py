"""What verify found: every difference counted, the first ones listed, and what was compared."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

from payflow.lib.version import ENGINE_VERSION

#: differences that are kept with their details; all of them are counted
LISTED: Final = 100


class Kind(StrEnum):
    """What differs."""

    #: batches of a partition that do not follow on each other
    CHAIN = "chain"
    #: a partition that does not stand behind its last batch
    CHECKPOINT = "checkpoint"
    #: a move of a checkpoint by a person that the batches do not bear out
    SEEK = "seek"
    #: a number of the batch's own row
    MANIFEST = "manifest"
    #: an archive object that is missing, changed, or described otherwise
    FILE = "file"
    #: a verdict or value in the archive object
    ARCHIVE = "archive"
    #: a bundle that is missing, changed, or does not compile
    BUNDLE = "bundle"
    TRANSACTION = "transaction"
    METRIC = "metric"
    #: a part that the commit decided: duplicate, conflict, refused
    OUTCOME = "outcome"
    FAILED_ITEM = "failed_item"
    #: a finding of a compliance rule
    VIOLATION = "violation"
    #: an event stored more than once
    KEY = "key"
    #: rows that no batch wrote
    STRAY = "stray"
    GROUP = "group"
    CELL = "cell"
    #: a source's sums over five minutes of arrival
    ARRIVAL = "arrival"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is stored otherwise than the archive says. Never holds payload text."""

    kind: Kind
    #: source/name
    partition: str = ""
    #: first id of the batch
    batch: int | None = None
    #: where the broker holds the message
    position: str = ""
    #: what else tells the row: a cell's key, a group, a path
    row: str = ""
    column: str = ""
    stored: str = ""
    recomputed: str = ""

    def __str__(self) -> str:
        place = [
            self.partition,
            f"batch {self.batch}" if self.batch is not None else "",
            f"position {self.position}" if self.position else "",
            self.row,
            self.column,
        ]
        where = ", ".join(part for part in place if part)
        return f"{self.kind}: {where}: stored {self.stored}, recomputed {self.recomputed}"


@dataclass(slots=True)
class Report:
    """The result of one run."""

    #: the first LISTED differences
    listed: list[Difference] = field(default_factory=list)
    by_kind: Counter[str] = field(default_factory=Counter)
    #: how much of what was compared
    compared: Counter[str] = field(default_factory=Counter)
    #: why some things were not compared
    notes: list[str] = field(default_factory=list)
    #: events that came again beyond the horizon and were stored again, by design
    repeats: int = 0
    #: what differs in batches that another engine version evaluated, by that version
    other_engines: dict[int, Report] = field(default_factory=dict)
    #: seconds that the snapshot was held
    snapshot_s: float = 0.0
    seconds: float = 0.0

    @property
    def differences(self) -> int:
        return sum(self.by_kind.values())

    @property
    def is_clean(self) -> bool:
        return not self.by_kind

    @property
    def parts_per_s(self) -> int:
        return round(self.compared["parts"] / self.seconds) if self.seconds else 0

    def add(self, difference: Difference, *, count: int = 1) -> None:
        """Count a difference, `count` times where one line stands for several rows."""
        self.by_kind[difference.kind] += count
        if len(self.listed) < LISTED:
            self.listed.append(difference)

    def of_engine(self, version: int) -> Report:
        """Takes the differences of batches that another engine evaluated: no failure of data."""
        return self.other_engines.setdefault(version, Report())

    def explanations(self) -> list[str]:
        """What was not compared and why, and what differs by design."""
        engines = [
            f"{report.differences:,} values of batches that engine {version} evaluated differ "
            f"under engine {ENGINE_VERSION}: not a failure of data"
            for version, report in sorted(self.other_engines.items())
        ]
        repeats = [f"{self.repeats:,} events came again beyond the horizon and are stored again"]
        return [*self.notes, *engines, *(repeats if self.repeats else [])]

    def as_dict(self) -> dict[str, Any]:
        return {
            "clean": self.is_clean,
            "differences": self.differences,
            "by_kind": dict(sorted(self.by_kind.items())),
            "compared": dict(self.compared),
            "listed": [asdict(difference) for difference in self.listed],
            "notes": self.explanations(),
            "snapshot_s": round(self.snapshot_s, 3),
            "seconds": round(self.seconds, 3),
            "parts_per_s": self.parts_per_s,
        }
