"""How the numbers of cells look: by the kind of the metric and its unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from metrics.explore_metrics import Kind, Metric
from metrics.series import Cell, Group, value_of
from payflow.lib.iso import MINOR_DIGITS
from payflow.lib.pages.display import DASH, MINUS, count, money


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number that cells of a kind have: its name, how it is read, and whether it is a share."""

    label: str
    read: Callable[[Cell], Decimal | int | None]
    #: "" (the metric's unit), "%" or "n" (a number of things)
    form: str = ""
    #: the one that is compared
    is_main: bool = False


_EVENTS: Final = Number(label="Events", read=lambda cell: cell.transactions, form="n")
#: kind -> the numbers of a row
NUMBERS: Final[Mapping[Kind, tuple[Number, ...]]] = {
    Kind.COUNTER: (Number(label="Value", read=lambda cell: cell.total, is_main=True), _EVENTS),
    Kind.RATE: (
        Number(label="Share", read=lambda cell: value_of(cell, Kind.RATE), form="%", is_main=True),
        Number(label="Numerator", read=lambda cell: cell.total, form="n"),
        Number(label="Denominator", read=lambda cell: cell.denominator, form="n"),
    ),
    Kind.AVERAGE: (
        Number(label="Average", read=lambda cell: value_of(cell, Kind.AVERAGE), is_main=True),
        _EVENTS,
    ),
    Kind.GAUGE: (
        Number(label="Min", read=lambda cell: cell.low),
        Number(label="Max", read=lambda cell: cell.high),
        Number(label="Last", read=lambda cell: cell.last, is_main=True),
        _EVENTS,
    ),
    # in 95 of 100 cases the exact number is between the two
    Kind.DISTINCT: (
        Number(label="At least", read=lambda cell: cell.low, form="n"),
        Number(label="Estimate", read=lambda cell: cell.total, form="n", is_main=True),
        Number(label="At most", read=lambda cell: cell.high, form="n"),
    ),
    Kind.HISTOGRAM: (
        Number(label="p50", read=lambda cell: cell.p50),
        Number(label="p95", read=lambda cell: cell.p95, is_main=True),
        Number(label="p99", read=lambda cell: cell.p99),
        _EVENTS,
    ),
}


def numbers_of(metric: Metric) -> tuple[Number, ...]:
    """The numbers of a row; the roll-ups of payments know no last value, of latency no least."""
    numbers = NUMBERS[metric.kind]
    if metric.kind is not Kind.GAUGE or metric.rule:
        return numbers
    low, high, _, events = numbers
    high = replace(high, is_main=True)
    return (low, high, events) if metric.is_money else (high, events)


def main_number(metric: Metric) -> Number:
    """The number that is compared."""
    return next(number for number in numbers_of(metric) if number.is_main)


def currency_of(group: Group, filters: Mapping[str, str]) -> str:
    """The currency of a group's amounts."""
    return group.key.get("currency") or filters.get("currency", "")


def shown(value: Decimal | int | None, number: Number, metric: Metric, currency: str) -> Any:
    """`83.6 %`, `1,234.50 USD`, `38 ms`, `52,418`; an en dash for unknown."""
    if value is None:
        return DASH
    if number.form == "%":
        return share_text(Decimal(value))
    if number.form == "" and metric.is_money:
        return money(_amount(Decimal(value), metric, currency), currency)
    text = plain(Decimal(value))
    return f"{text} ms" if number.form == "" and metric.unit == "ms" else text


def _amount(value: Decimal, metric: Metric, currency: str) -> Decimal:
    """Sums and extremes keep every digit; averages and quantiles have those of the currency."""
    if metric.kind not in {Kind.AVERAGE, Kind.HISTOGRAM}:
        return value
    return round(value, MINOR_DIGITS.get(currency, 2))


def share_text(share: Decimal) -> str:
    """`83.6 %`; two decimals below one percent."""
    percent = share * 100
    return f"{percent:,.{2 if 0 < abs(percent) < 1 else 1}f} %".replace("-", MINUS)


def plain(value: Decimal) -> str:
    """Whole numbers whole, others with as many decimals as tell something."""
    if value == value.to_integral_value():
        return count(int(value))
    digits = 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 4
    return f"{value:,.{digits}f}".replace("-", MINUS)


def change(now: Decimal | None, before: Decimal | None, *, is_share: bool) -> tuple[str, str, str]:
    """Sign, the word a screen reader says, and text: points of a share, percent of all else."""
    if now is None or before is None:
        return "", "", DASH
    difference = (now - before) * 100 if is_share else now - before
    if not is_share:
        if not before:
            return ("", "", "new") if now else ("", "", "=")
        difference = difference / abs(before) * 100
    size = round(difference, 1)
    if not size:
        return "", "", "="
    text = f"{size:+,.1f} {'pt' if is_share else '%'}".replace("-", MINUS)
    return ("▲", "up", text) if size > 0 else ("▼", "down", text)
