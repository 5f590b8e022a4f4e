"""One series as the database is asked for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString

from psycopg import sql

from metrics import explore_sql
from metrics.explore_metrics import Kind, Metric

#: windows that one series may read
MAX_ROWS: Final = 1_000_000
_HOUR_S: Final = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked: a range of whole steps, the groups and the filters."""

    metric: Metric
    since: datetime
    until: datetime
    step_s: int
    group_by: tuple[str, ...]
    filters: Mapping[str, str]
    #: groups that are told apart
    keep: int

    @property
    def rest_by(self) -> tuple[str, ...]:
        """What tells the groups beyond `keep` apart: sums of amounts stay in their currency."""
        split = self.metric.is_per_currency and "currency" in self.group_by
        return ("currency",) if split else ()

    @property
    def table(self) -> str:
        """Where the windows are; of payment_metrics the hours, where every step is whole hours."""
        if not self.metric.rule:
            return "payment_metrics_5m" if self.step_s % _HOUR_S else "payment_metrics_1h"
        is_histogram = self.metric.kind is Kind.HISTOGRAM
        return "aggregate_histograms" if is_histogram else "metric_windows"

    def versions(self, cursor: Any) -> list[tuple[Any, ...]]:
        """rule_version, window_s, first, last and rows, up to MAX_ROWS + 1 rows in all."""
        if self.metric.rule:
            cursor.execute(_composed(explore_sql.VERSIONS, table=self._table()), self._values())
            return list(cursor.fetchall())
        cursor.execute(_composed(explore_sql.ROWS, table=self._table()), self._values())
        return [(None, None, None, None, row[0]) for row in cursor.fetchall()]

    def cells(self, cursor: Any) -> Iterator[tuple[Any, ...]]:
        """step, key, is_rest, members and numbers; see explore_sql."""
        cursor.execute(self.query(), self._values())
        yield from cursor

    def query(self) -> sql.Composed:
        parts: dict[str, sql.Composable] = {
            "key": self._array(self.group_by),
            "rest": self._array(self.rest_by),
            "filters": self._conditions(),
        }
        if self.metric.kind is Kind.HISTOGRAM:
            return _composed(explore_sql.HISTOGRAMS, **parts)
        is_last = self.metric.kind is Kind.GAUGE and bool(self.metric.rule)
        cells = _composed(
            explore_sql.CELLS,
            weight=sql.SQL("total" if self._is_sized_by_value() else "transactions"),
            last=sql.SQL(explore_sql.LAST if is_last else explore_sql.NO_LAST),
        )
        if self.metric.rule:
            newest = sql.SQL(explore_sql.NEWEST if is_last else explore_sql.NO_NEWEST)
            return _composed(explore_sql.WINDOWS, newest=newest, **parts) + cells
        names = ("transactions", "total", "denominator", "low", "high")
        columns = map(sql.SQL, explore_sql.MEASURE_COLUMNS[self.metric.name])
        parts |= dict(zip(names, columns, strict=True))
        return _composed(explore_sql.PAYMENTS, table=self._table(), **parts) + cells

    def _is_sized_by_value(self) -> bool:
        """Amounts of two currencies have no order: groups of them are sized by their events."""
        return self.metric.kind is Kind.COUNTER and not self.metric.is_per_currency

    def _table(self) -> sql.Identifier:
        return sql.Identifier(self.table)

    def _array(self, names: tuple[str, ...]) -> sql.Composable:
        values = sql.SQL(", ").join(self._dimension(name) for name in names)
        return sql.SQL("ARRAY[{}]::text[]").format(values)

    def _conditions(self) -> sql.Composable:
        parts = [
            sql.SQL("{} = {}").format(self._dimension(name), sql.Placeholder(f"filter_{number}"))
            for number, name in enumerate(self.filters)
        ]
        return sql.SQL(" AND ").join([sql.SQL("TRUE"), *parts])

    def _dimension(self, name: str) -> sql.Composable:
        """A column of payment_metrics, or a member of a group's JSON text; absent is ''."""
        if not self.metric.rule:
            return sql.Identifier(name)
        return sql.SQL("coalesce(g ->> {}, '')").format(sql.Literal(name))

    def _values(self) -> dict[str, Any]:
        return {
            "rule": self.metric.rule,
            "since": self.since,
            "until": self.until,
            "step": timedelta(seconds=self.step_s),
            "keep": self.keep,
            "limit": MAX_ROWS + 1,
            **{f"filter_{number}": value for number, value in enumerate(self.filters.values())},
        }


def _composed(text: LiteralString, **parts: sql.Composable) -> sql.Composed:
    return sql.SQL(text).format(**parts)
