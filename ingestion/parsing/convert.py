"""The slow path's conversions: one JSON value to one column value, exactly, or a reason."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from ingestion.parsing.document import Column, Kind, Value
from ingestion.parsing.json_schema import to_json
from ingestion.parsing.reading import JsonNumber, JsonValue, exact_decimal, type_name
from ingestion.parsing.reasons import Reason, TransactionStatus, characters
from ingestion.parsing.times import epoch_us, in_range
from payflow.lib.iso import MINOR_DIGITS

#: characters; longer texts do not fit the indexes
MAX_TEXT = 256
#: digits of an amount in major units before and after the point: numeric(19,4)
MAX_INTEGER_DIGITS, MAX_DECIMALS = 15, 4
#: 30 days; a sum of a million of them still fits a bigint
MAX_LATENCY_US = 30 * 86_400 * 1_000_000
LATENCY_UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000}
STATUSES = frozenset(TransactionStatus)

_DECIMAL_TEXT = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\Z")
_COUNTRY = re.compile(r"[A-Z]{2}\Z")


class Refused(Exception):
    """This value cannot become this column."""

    def __init__(self, reason: Reason, expected: str, actual: str) -> None:
        super().__init__(reason)
        self.reason, self.expected, self.actual = reason, expected, actual


def convert(column: Column, value: JsonValue, *, minor_digits: int = 0) -> Value:
    """The column's value for a JSON value that is not null; raises Refused.

    `minor_digits` are those of the event's currency, for amounts in minor units.
    """
    if column.map is not None:
        return _mapped(column, value)
    if column.kind is Kind.AMOUNT:
        return _amount(column, value, minor_digits if column.unit == "minor" else 0)
    return _CONVERSIONS[column.kind](column, value)


def constant_value(column: Column, value: Any) -> Value:
    """The value of a constant, default or map entry of a document; raises ValueError."""
    try:
        json_value = to_json(value)
        if json_value is None:
            raise ValueError("must be a value")
        # What a person writes in a document is taken as it is written.
        return convert(replace(column, map=None, upper=False), json_value)
    except Refused as exc:
        raise ValueError(f"must be {exc.expected}, not {exc.actual}") from exc


def _mapped(column: Column, value: JsonValue) -> Value:
    text = "true" if value is True else "false" if value is False else _scalar_text(column, value)
    entries = column.map or {}
    if text not in entries:
        expected = f"one of the {len(entries)} words of the map of {column.name}"
        raise Refused(Reason.UNMAPPED_VALUE, expected, f"another {type_name(value)}")
    return entries[text]


def _scalar_text(column: Column, value: JsonValue) -> str:
    if isinstance(value, str):
        return value.upper() if column.upper else value
    if isinstance(value, JsonNumber) and value.is_integer_literal:
        return value.literal
    raise Refused(Reason.WRONG_TYPE, f"a text or an integer for {column.name}", type_name(value))


def _text(column: Column, value: JsonValue) -> str:
    text = _scalar_text(column, value)
    found = characters(len(text))
    if len(text) > MAX_TEXT:
        raise Refused(Reason.TEXT_TOO_LONG, f"at most {MAX_TEXT} characters", found)
    if "\0" in text:
        raise Refused(Reason.NUL_CHARACTER, "text without NUL", found)
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise Refused(Reason.LONE_SURROGATE, "whole characters", "half a surrogate pair")
    if column.name == "currency" and text not in MINOR_DIGITS:
        raise Refused(Reason.UNKNOWN_CURRENCY, "an ISO 4217 currency code", found)
    if column.name == "payment_status" and text not in STATUSES:
        raise Refused(Reason.UNKNOWN_STATUS, f"one of {', '.join(TransactionStatus)}", found)
    if column.name == "country" and text and not _COUNTRY.match(text):
        raise Refused(Reason.INVALID_COUNTRY, "two letters A-Z", found)
    return text


def _decimal(value: JsonValue) -> Decimal:
    if isinstance(value, JsonNumber):
        return value.value
    if not isinstance(value, str):
        raise Refused(Reason.WRONG_TYPE, "a number or a decimal text", type_name(value))
    if not _DECIMAL_TEXT.match(value):
        raise Refused(Reason.INVALID_NUMBER, "a decimal number", characters(len(value)))
    return exact_decimal(value)


def _amount(column: Column, value: JsonValue, minor_digits: int) -> str:
    """The amount in major units with four decimals, digit by digit: no float on the way."""
    sign, digits, exponent = _decimal(value).as_tuple()
    coefficient = "".join(map(str, digits))
    significant = coefficient.rstrip("0")
    shift = int(exponent) + len(coefficient) - len(significant) - minor_digits
    if column.round is not None and -shift > column.round:
        significant, shift = _rounded(significant, -shift - column.round), -column.round
    if not significant.strip("0"):
        return "0.0000"
    if len(significant) + shift > MAX_INTEGER_DIGITS:
        expected = f"at most {MAX_INTEGER_DIGITS} digits before the point"
        raise Refused(Reason.TOO_MANY_DIGITS, expected, "more")
    if -shift > MAX_DECIMALS:
        expected = f"at most {MAX_DECIMALS} decimals"
        raise Refused(Reason.TOO_MANY_DECIMALS, expected, "more")
    scaled = (significant + "0" * (shift + MAX_DECIMALS)).rjust(MAX_DECIMALS + 1, "0")
    return f"{'-' * sign}{scaled[:-MAX_DECIMALS]}.{scaled[-MAX_DECIMALS:]}"


def _rounded(digits: str, dropped: int) -> str:
    """Digits without their last `dropped` ones, rounded half-even."""
    if dropped > len(digits):
        return "0"
    kept, rest = digits[:-dropped] or "0", digits[-dropped:]
    if len(kept) > MAX_INTEGER_DIGITS + MAX_DECIMALS:
        return kept  # too many in any case; not worth the arithmetic
    half = "5".ljust(dropped, "0")
    up = rest > half or (rest == half and int(kept[-1]) % 2 == 1)
    return str(int(kept) + up)


def _time(column: Column, value: JsonValue) -> int:
    form = column.time
    if form is None:  # pragma: no cover  the document reader gives every time column a format
        raise AssertionError(column.name)
    if form.read is None:
        us = epoch_us(_decimal(value), form.name)
        if us is None:
            raise Refused(Reason.TIME_OUT_OF_RANGE, "a time in 2000 to 2100", "another")
    elif not isinstance(value, str):
        raise Refused(Reason.WRONG_TYPE, f"a text ({form.name})", type_name(value))
    else:
        us = form.read(value)
        if us is None:
            expected = f"a time in the format {form.name}"
            raise Refused(Reason.INVALID_TIME, expected, characters(len(value)))
    if not in_range(us):
        raise Refused(Reason.TIME_OUT_OF_RANGE, "a time in 2000 to 2100", "another")
    return us


def _number(_column: Column, value: JsonValue) -> float:
    number = float(_decimal(value))
    if not math.isfinite(number):
        raise Refused(Reason.OUT_OF_RANGE, "a number below 1.8e308", "more")
    return number + 0.0  # no negative zero: equal numbers have equal bits


def _integer(_column: Column, value: JsonValue) -> int:
    number = _decimal(value)
    if number.adjusted() > 18 or not -(2**63) <= (whole := int(number)) < 2**63:
        raise Refused(Reason.OUT_OF_RANGE, "an integer of 64 bits", "a number outside")
    if whole != number:
        raise Refused(Reason.WRONG_TYPE, "an integer", "a number with decimals")
    return whole


def _boolean(column: Column, value: JsonValue) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in {"true", "false"}:
        return value == "true"
    raise Refused(Reason.WRONG_TYPE, f"true or false for {column.name}", type_name(value))


def _latency(column: Column, value: JsonValue) -> int:
    number = _decimal(value)
    if number.adjusted() <= 18:
        us = int(number * LATENCY_UNITS[column.unit])
        if number >= 0 and us <= MAX_LATENCY_US:
            return us
    raise Refused(Reason.OUT_OF_RANGE, "a duration of 0 to 30 days", "a number outside")


_CONVERSIONS: dict[Kind, Callable[[Column, JsonValue], Value]] = {
    Kind.TEXT: _text,
    Kind.STRING: _text,
    Kind.TIME: _time,
    Kind.NUMBER: _number,
    Kind.INTEGER: _integer,
    Kind.BOOLEAN: _boolean,
    Kind.LATENCY: _latency,
}
