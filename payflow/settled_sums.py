"""Sums over windows of arrival that only ever grow at their young end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg

Cursor = psycopg.Cursor[tuple[Any, ...]]
Sums = Mapping[tuple[Any, ...], tuple[int, ...]]

#: windows that began before this get nothing more: no batch is on its way for so long
_SETTLED: Final = timedelta(minutes=30)
#: settled windows are read in pieces, so that a slow first look gets further with every try
_PIECE: Final = timedelta(days=1)
_FOREVER: Final = "infinity"


class SettledSums:
    """Sums since a start over windows of arrival; what is settled is read once and kept."""

    def __init__(self, statement: str, *, key_columns: int) -> None:
        """`statement` gives a row a key, the key's columns first, between `low` and `high`."""
        self._statement = statement
        self._key_columns = key_columns
        self._start: datetime | None = None
        self._until: datetime | None = None
        self._sums: dict[tuple[Any, ...], tuple[int, ...]] = {}

    def read(self, cursor: Cursor, *, start: datetime, now: datetime) -> Sums:
        """The sums by key over every window from `start` on."""
        if self._start != start or self._until is None:
            self._start, self._until, self._sums = start, start, {}
        while self._until < now - _SETTLED:
            high = min(self._until + _PIECE, now - _SETTLED)
            self._sums = self._with(self._rows(cursor, low=self._until, high=high))
            self._until = high
        return self._with(self._rows(cursor, low=self._until, high=_FOREVER))

    def _rows(self, cursor: Cursor, *, low: datetime, high: datetime | str) -> Iterable[Any]:
        return cursor.execute(self._statement, {"low": low, "high": high}).fetchall()

    def _with(self, rows: Iterable[tuple[Any, ...]]) -> dict[tuple[Any, ...], tuple[int, ...]]:
        sums = dict(self._sums)
        for row in rows:
            key, numbers = row[: self._key_columns], row[self._key_columns :]
            before = sums.get(key, (0,) * len(numbers))
            sums[key] = tuple(a + b for a, b in zip(before, numbers, strict=True))
        return sums
