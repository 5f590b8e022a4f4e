"""Expressions from the texts of cells to columns: the fast twins of `convert`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import polars as pl

from ingestion.parsing.cells import INTEGER, Cell
from ingestion.parsing.columns import dtype_of
from ingestion.parsing.convert import (
    MAX_DECIMALS,
    MAX_LATENCY_US,
    MAX_TEXT,
    STATUSES,
)
from ingestion.parsing.document import Column, Kind
from ingestion.parsing.times import EARLIEST_US, END_US, EPOCH_DECIMALS, TimeFormat
from payflow.lib.iso import MINOR_DIGITS

_AMOUNT = r"^-?[0-9]{{1,15}}(?:\.[0-9]{{1,{decimals}}})?$"
_WHOLE_AMOUNT = r"^-?[0-9]{1,14}$"
_NUMBER = r"^-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
_RFC3339 = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])$"
)
_MONEY = pl.Decimal(19, 4)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a column is made: its value, and when that value is surely right.

    Conditions see the texts of cells and the finished columns, so that nothing is made twice.
    """

    value: pl.Expr
    conditions: tuple[pl.Expr, ...] = ()


def plan_column(column: Column, cells: Sequence[Cell]) -> Plan:
    """The plan for a column from the cells of its paths, in order."""
    if column.constant is not None:
        return Plan(_final(column, pl.lit(column.constant)))
    texts = [pl.col(cell.text) for cell in cells]
    text = pl.coalesce(*texts, pl.lit(None, dtype=pl.String)) if len(texts) != 1 else texts[0]
    conditions: list[pl.Expr] = []
    if column.map is not None or column.kind in {Kind.TEXT, Kind.STRING}:
        conditions += [_is_scalar(column, cell) for cell in cells if cell.is_raw]
    made = _mapped(column, text) if column.map is not None else _PLANS[column.kind](column, text)
    value = made.value
    conditions += [text.is_null() | condition for condition in made.conditions]
    if column.default is not None:
        value = value.fill_null(pl.lit(column.default))
    if column.required:
        finished = pl.col(column.name)
        conditions.append(finished != "" if column.kind is Kind.TEXT else finished.is_not_null())
    return Plan(_final(column, value), tuple(conditions))


def _final(column: Column, value: pl.Expr) -> pl.Expr:
    if column.kind is Kind.TEXT:
        value = value.fill_null("")
    return value.cast(dtype_of(column)).alias(column.name)


def _is_scalar(column: Column, cell: Cell) -> pl.Expr:
    """Whether raw JSON is a text without escapes, an integer, or a boolean that a map takes."""
    wire = pl.col(cell.wire)
    taken = wire.str.contains(r'^"[^\\]*$') if not column.upper else pl.lit(False)
    taken |= wire.str.contains(INTEGER)
    if column.map is not None:
        taken |= wire.is_in(["true", "false"])
    return taken | pl.col(cell.text).is_null()


def _mapped(column: Column, text: pl.Expr) -> Plan:
    entries = column.map or {}
    plain, conditions = _upper(column, text)
    value = plain.replace_strict(
        list(entries), list(entries.values()), default=None, return_dtype=dtype_of(column)
    )
    return Plan(value, (*conditions, plain.is_in(list(entries))))


def _upper(column: Column, text: pl.Expr) -> tuple[pl.Expr, list[pl.Expr]]:
    """The text in upper case if asked; beyond ASCII, engines differ on what that is."""
    if not column.upper:
        return text, []
    return text.str.to_uppercase(), [text.str.len_bytes() == text.str.len_chars()]


def _text(column: Column, text: pl.Expr) -> Plan:
    value, conditions = _upper(column, text)
    finished = pl.col(column.name)
    if column.name == "currency":
        conditions.append(finished.is_in(list(MINOR_DIGITS)))
    elif column.name == "payment_status":
        conditions.append(finished.is_in(list(STATUSES)))
    elif column.name == "country":
        conditions.append(finished.str.contains("^(?:[A-Z]{2})?$"))
    else:
        conditions.append(text.str.len_bytes() <= MAX_TEXT)
    return Plan(value, tuple(conditions))


def _amount(column: Column, text: pl.Expr) -> Plan:
    if column.unit == "major":
        decimals = MAX_DECIMALS if column.round is None else column.round
        pattern = _AMOUNT.format(decimals=decimals) if decimals else _WHOLE_AMOUNT
        return Plan(text.cast(_MONEY, strict=False), (text.str.contains(pattern),))
    # Any product has at most four decimals, so multiplying Decimals is exact here.
    major = text.cast(_MONEY, strict=False)
    currency = pl.col("currency")
    value = major
    for digits in set(MINOR_DIGITS.values()) - {0}:
        codes = [code for code, found in MINOR_DIGITS.items() if found == digits]
        unit = pl.lit(f"{10**-digits:.{digits}f}").cast(_MONEY)
        value = pl.when(currency.is_in(codes)).then((major * unit).cast(_MONEY)).otherwise(value)
    if column.round is not None:
        # Only whole major units are sure to need no rounding, whatever the currency.
        return Plan(value, (text == "0",))
    return Plan(value, (text.str.contains(_WHOLE_AMOUNT),))


def _time(column: Column, text: pl.Expr) -> Plan:
    form = column.time
    if form is None:
        raise AssertionError(column.name)
    if form.name in EPOCH_DECIMALS:
        us, condition = _epoch(text, EPOCH_DECIMALS[form.name])
    elif form.name == "rfc3339":
        us, condition = _rfc3339(text), text.str.contains(_RFC3339)
    else:
        us = text.map_batches(partial(_read_each, form), return_dtype=pl.Int64)
        condition = pl.lit(True)
    finished = pl.col(column.name).to_physical()
    in_range = (finished >= EARLIEST_US) & (finished < END_US)
    return Plan(us, (condition, in_range.fill_null(False)))


def _read_each(form: TimeFormat, texts: pl.Series) -> pl.Series:
    """Patterns and zones are few and slow: the slow path's own function reads each text."""
    read = form.read
    times = [None if text is None or read is None else read(text) for text in texts]
    return pl.Series(times, dtype=pl.Int64)


def _epoch(text: pl.Expr, decimals: int) -> tuple[pl.Expr, pl.Expr]:
    """Microseconds are the digits of the decimal, the point left out."""
    if decimals == 0:
        return text.cast(pl.Int64, strict=False), text.str.contains(r"^[0-9]{1,17}$")
    exact = text.cast(pl.Decimal(28, decimals), strict=False)
    us = exact.to_physical().cast(pl.Int64, strict=False)
    return us, text.str.contains(rf"^[0-9]{{1,15}}(?:\.[0-9]{{1,{decimals}}})?$")


def _rfc3339(text: pl.Expr) -> pl.Expr:
    """Microseconds since 1970 of texts that have the form; null for days that do not exist."""
    local = text.str.slice(0, 19).str.to_datetime(
        "%Y-%m-%dT%H:%M:%S", strict=False, time_unit="us", cache=False
    )
    rest = text.str.slice(19)
    digits = rest.str.extract(r"^\.([0-9]{1,6})").fill_null("").str.pad_end(6, "0")
    hours = rest.str.slice(-6, 3).cast(pl.Int64, strict=False)
    minutes = rest.str.slice(-2).cast(pl.Int64, strict=False)
    minutes = pl.when(rest.str.slice(-6, 1) == "-").then(-minutes).otherwise(minutes)
    offset = pl.when(rest.str.ends_with("Z")).then(0).otherwise(hours * 60 + minutes)
    return local.to_physical() + digits.cast(pl.Int64, strict=False) - offset * 60_000_000


def _number(column: Column, text: pl.Expr) -> Plan:
    value = text.cast(pl.Float64, strict=False) + 0.0
    return Plan(value, (text.str.contains(_NUMBER), pl.col(column.name).is_finite()))


def _integer(_column: Column, text: pl.Expr) -> Plan:
    return Plan(text.cast(pl.Int64, strict=False), (text.str.contains(r"^-?[0-9]{1,18}$"),))


def _boolean(_column: Column, text: pl.Expr) -> Plan:
    return Plan(text == "true", (text.is_in(["true", "false"]),))


def _latency(column: Column, text: pl.Expr) -> Plan:
    decimals = {"us": 0, "ms": 3, "s": 6}[column.unit]
    us, condition = _epoch(text, decimals)
    return Plan(us, (condition, (pl.col(column.name) <= MAX_LATENCY_US).fill_null(False)))


_PLANS: dict[Kind, Callable[[Column, pl.Expr], Plan]] = {
    Kind.TEXT: _text,
    Kind.STRING: _text,
    Kind.TIME: _time,
    Kind.AMOUNT: _amount,
    Kind.NUMBER: _number,
    Kind.INTEGER: _integer,
    Kind.BOOLEAN: _boolean,
    Kind.LATENCY: _latency,
}
