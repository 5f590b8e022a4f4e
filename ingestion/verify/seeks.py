"""Breaks in the chain of batches that a person made, by moving a partition's checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

_SEEKS: Final = """
SELECT s.partition_id, s.sequence_number, s.id, s.from_position, s.to_position
FROM seeks s WHERE %(partition)s::bigint IS NULL OR s.partition_id = %(partition)s
ORDER BY s.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfounded:
    """A seek that the chain does not bear out."""

    partition: int
    seek: int
    column: str
    stored: str
    expected: str


@dataclass(slots=True)
class Seeks:
    """Those of each partition by the number of messages that were committed, in order."""

    #: (seek, from, to) by (partition, number)
    steps: dict[tuple[int, int], list[tuple[int, str, str]]]
    #: of which the chain has been asked
    met: set[tuple[int, int]] = field(default_factory=set)
    _broken: list[Unfounded] = field(default_factory=list)

    def lead(self, partition: int, number: int, before: str | None) -> str | None:
        """Where reading goes on after `number` messages that ended at `before` (None: at the start
        of the partition, wherever that was); None when that is not known either."""
        self.met.add((partition, number))
        here = before
        for seek, start, end in self.steps.get((partition, number), ()):
            if here is not None and start != here:
                self._broken.append(
                    Unfounded(
                        partition=partition,
                        seek=seek,
                        column="from_position",
                        stored=start,
                        expected=here,
                    )
                )
                return before
            here = end
        return here

    @property
    def unfounded(self) -> list[Unfounded]:
        """Those that begin elsewhere than reading stood, or where no batch ended."""
        adrift = [
            Unfounded(
                partition=partition,
                seek=seek,
                column="sequence_number",
                stored=str(number),
                expected="the end of a batch",
            )
            for (partition, number), steps in self.steps.items()
            if (partition, number) not in self.met
            for seek, _, _ in steps
        ]
        return [*self._broken, *adrift]


def read_seeks(cursor: psycopg.Cursor[Any], parameters: Mapping[str, Any]) -> Seeks:
    """All of the partitions that are looked at: few rows."""
    steps: dict[tuple[int, int], list[tuple[int, str, str]]] = {}
    for partition, number, seek, start, end in cursor.execute(_SEEKS, parameters):
        steps.setdefault((partition, number), []).append((seek, start, end))
    return Seeks(steps)
