from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from ingestion.parsing import Reason, compile_schema
from tests.ingestion.parsing.agreement import assert_agree

COLUMNS = {
    "transaction_id": {"path": "id"},
    "occurred_at": {"path": "at", "format": "rfc3339"},
    "amount": {"path": "amount"},
    "currency": {"path": "currency"},
    "payment_status": {"constant": "completed"},
}
EVENT = {"id": '"t"', "at": '"2026-01-31T12:00:00Z"', "amount": "1", "currency": '"EUR"'}


def _parse(
    event: dict[str, str], document: dict[str, Any] | None = None, **columns: Any
) -> dict[str, Any] | Reason:
    """The one row of an event or its first error, by both paths."""
    document = {**(document or {}), "columns": {**COLUMNS, **columns}}
    body = "{" + ",".join(f'"{name}":{text}' for name, text in {**EVENT, **event}.items()) + "}"
    parsed = assert_agree(compile_schema(document, name="t"), [body.encode()])
    if parsed.failures:
        return parsed.failures[0, 0][0].constraint
    return parsed.columns.row(0, named=True)


def _value(name: str, *args: Any, **kwargs: Any) -> Any:
    found = _parse(*args, **kwargs)
    return found if isinstance(found, Reason) else found[name]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", "0"),
        ("-0.0", "0"),
        ("12.34", "12.34"),
        ("0.30000000000000000", "0.3"),
        ('"12.34"', "12.34"),
        ('"007.5"', "7.5"),
        ("-3.5", "-3.5"),
        ("1e2", "100"),
        ("1.5E1", "15"),
        ("12345E-4", "1.2345"),
        ('"1e2"', "100"),
        ("999999999999999.9999", "999999999999999.9999"),
        ("0.0001", "0.0001"),
        ("0e999999999999999999999", "0"),
        ("0.00001", Reason.TOO_MANY_DECIMALS),
        ("0.1000000000000000055511151231257827", Reason.TOO_MANY_DECIMALS),
        ("1e-400", Reason.TOO_MANY_DECIMALS),
        ("1000000000000000", Reason.TOO_MANY_DIGITS),
        ("1e400", Reason.TOO_MANY_DIGITS),
        ("-1e999999999999999999999", Reason.TOO_MANY_DIGITS),
        ('"12,34"', Reason.INVALID_NUMBER),
        ('"NaN"', Reason.INVALID_NUMBER),
        ('"1_000"', Reason.INVALID_NUMBER),
        ('" 1"', Reason.INVALID_NUMBER),
        ('"+1"', Reason.INVALID_NUMBER),
        ('"\u0663"', Reason.INVALID_NUMBER),
        ('""', Reason.INVALID_NUMBER),
        ("true", Reason.WRONG_TYPE),
        ("{}", Reason.WRONG_TYPE),
        ("null", Reason.REQUIRED),
    ],
)
def test_amounts_are_exact_or_refused(text, amount):
    """An amount is the very decimal that the event wrote, or a reason; nothing between."""
    expected = amount if isinstance(amount, Reason) else Decimal(amount)

    assert _value("amount", {"amount": text}) == expected


@pytest.mark.parametrize(
    ("currency", "text", "amount"),
    [
        ("EUR", "1050", "10.50"),
        ("JPY", "1050", "1050"),
        ("BHD", "1050", "1.05"),
        ("CLF", "1050", "0.105"),
        ("EUR", '"1"', "0.01"),
        ("EUR", "-5", "-0.05"),
        ("EUR", "1e3", "10"),
        ("EUR", "10.5", "0.105"),
        ("BHD", "0.1", "0.0001"),
        ("BHD", "0.01", Reason.TOO_MANY_DECIMALS),
        ("JPY", "999999999999999", "999999999999999"),
        ("EUR", "99999999999999999", "999999999999999.99"),
        ("EUR", "100000000000000000", Reason.TOO_MANY_DIGITS),
        ("XXX", "1", Reason.UNKNOWN_CURRENCY),
    ],
)
def test_minor_units_follow_iso_4217(currency, text, amount):
    """Minor units have as many digits as the event's own currency."""
    expected = amount if isinstance(amount, Reason) else Decimal(amount)
    event = {"amount": text, "currency": f'"{currency}"'}

    assert _value("amount", event, amount={"path": "amount", "unit": "minor"}) == expected


@pytest.mark.parametrize(
    ("text", "decimals", "amount"),
    [
        ("85.64999999999999", 2, "85.65"),
        ("83.10000000000001", 2, "83.1"),
        ("0.125", 2, "0.12"),
        ("0.135", 2, "0.14"),
        ("0.1350000000000000001", 2, "0.14"),
        ("-0.125", 2, "-0.12"),
        ("0.004", 2, "0"),
        ("-0.004", 2, "0"),
        ("0.5", 0, "0"),
        ("1.5", 0, "2"),
        ("1e-999999", 2, "0"),
        ("999999999999999.99", 2, "999999999999999.99"),
        ("999999999999999.999", 2, Reason.TOO_MANY_DIGITS),
        ("9" * 40 + ".999", 2, Reason.TOO_MANY_DIGITS),
    ],
)
def test_amounts_are_rounded_only_where_the_mapping_asks(text, decimals, amount):
    """`round` is half-even and looks at every digit."""
    expected = amount if isinstance(amount, Reason) else Decimal(amount)
    column = {"path": "amount", "round": decimals}

    assert _value("amount", {"amount": text}, amount=column) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"2026-01-31T12:00:00Z"', datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ('"2026-01-31t12:00:00z"', datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ('"2026-01-31 12:00:00+02:00"', datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ('"2026-01-01T00:30:00+05:45"', datetime(2025, 12, 31, 18, 45, tzinfo=UTC)),
        ('"2026-01-31T12:00:00-00:30"', datetime(2026, 1, 31, 12, 30, tzinfo=UTC)),
        ('"2026-01-31T12:00:00.5Z"', datetime(2026, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC)),
        ('"2026-01-31T12:00:00.9999999Z"', datetime(2026, 1, 31, 12, 0, 0, 999_999, tzinfo=UTC)),
        ('"2024-02-29T00:00:00Z"', datetime(2024, 2, 29, tzinfo=UTC)),
        ('"2100-12-31T23:59:59.999999Z"', datetime(2100, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        ('"2026-02-29T00:00:00Z"', Reason.INVALID_TIME),
        ('"2026-01-31T24:00:00Z"', Reason.INVALID_TIME),
        ('"2026-01-31T12:00:60Z"', Reason.INVALID_TIME),
        ('"2026-01-31T12:00:00"', Reason.INVALID_TIME),
        ('"2026-01-31"', Reason.INVALID_TIME),
        ('"2026-01-31T12:00:00Z\\n"', Reason.INVALID_TIME),
        ('"1999-12-31T23:59:59Z"', Reason.TIME_OUT_OF_RANGE),
        ('"2101-01-01T00:00:00Z"', Reason.TIME_OUT_OF_RANGE),
        ("1767225600", Reason.WRONG_TYPE),
        ("null", Reason.REQUIRED),
    ],
)
def test_rfc3339_times(text, expected):
    """RFC 3339 with any offset, truncated to microseconds; nothing else is guessed at."""
    assert _value("occurred_at", {"at": text}) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("epoch_s", "1767225600", datetime(2026, 1, 1, tzinfo=UTC)),
        ("epoch_s", "1767225600.25", datetime(2026, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)),
        ("epoch_s", "1767225600.9999999", datetime(2026, 1, 1, 0, 0, 0, 999_999, tzinfo=UTC)),
        ("epoch_s", '"1767225600"', datetime(2026, 1, 1, tzinfo=UTC)),
        ("epoch_s", "1.7672256e9", datetime(2026, 1, 1, tzinfo=UTC)),
        ("epoch_ms", "1767225600001", datetime(2026, 1, 1, 0, 0, 0, 1_000, tzinfo=UTC)),
        ("epoch_ms", "1767225600000.9999", datetime(2026, 1, 1, 0, 0, 0, 999, tzinfo=UTC)),
        ("epoch_us", "1767225600000001", datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
        ("epoch_us", "1767225600000001.9", datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
        ("epoch_s", "946684800", datetime(2000, 1, 1, tzinfo=UTC)),
        ("epoch_s", "946684799.999999999", Reason.TIME_OUT_OF_RANGE),
        ("epoch_s", "4133980800", Reason.TIME_OUT_OF_RANGE),
        ("epoch_s", "1767225600000", Reason.TIME_OUT_OF_RANGE),
        ("epoch_s", "-1", Reason.TIME_OUT_OF_RANGE),
        ("epoch_s", "1e999999999", Reason.TIME_OUT_OF_RANGE),
        ("epoch_s", '"soon"', Reason.INVALID_NUMBER),
        ("epoch_s", "true", Reason.WRONG_TYPE),
    ],
)
def test_epoch_times(name, text, expected):
    """Seconds, milli- and microseconds since 1970, as integers or decimals, truncated."""
    assert (
        _value("occurred_at", {"at": text}, occurred_at={"path": "at", "format": name}) == expected
    )


@pytest.mark.parametrize(
    ("pattern", "zone", "text", "expected"),
    [
        ("%d.%m.%Y %H:%M:%S", "Europe/Berlin", "01.07.2024 12:00:00", "2024-07-01T10:00:00+00:00"),
        ("%d.%m.%Y %H:%M:%S", "Europe/Berlin", "01.01.2024 12:00:00", "2024-01-01T11:00:00+00:00"),
        ("%d.%m.%Y %H:%M", "Europe/Berlin", "27.10.2024 02:30", "2024-10-27T00:30:00+00:00"),
        ("%d.%m.%Y %H:%M", "Europe/Berlin", "31.03.2024 02:30", Reason.INVALID_TIME),
        ("%Y%m%d", "UTC", "20240229", "2024-02-29T00:00:00+00:00"),
        ("%Y%m%d", "UTC", "20230229", Reason.INVALID_TIME),
        (
            "%d %b %Y %H:%M:%S.%f %z",
            "",
            "03 Feb 2026 01:02:03.5 -0130",
            "2026-02-03T02:32:03.500000+00:00",
        ),
        ("%d %b %Y %z", "", "03 Foo 2026 Z", Reason.INVALID_TIME),
        ("%Y-%m-%d 100%%", "UTC", "2026-01-01 100%", "2026-01-01T00:00:00+00:00"),
        ("%Y-%m-%d", "UTC", "2026-01-01x", Reason.INVALID_TIME),
    ],
)
def test_pattern_times(pattern, zone, text, expected):
    """A pattern with a zone knows summer time; an hour that never was is no time."""
    column = {"path": "at", "pattern": pattern, **({"zone": zone} if zone else {})}

    found = _value("occurred_at", {"at": f'"{text}"'}, occurred_at=column)

    assert (found if isinstance(found, Reason) else found.isoformat()) == expected


@pytest.mark.parametrize(
    ("column", "event", "expected"),
    [
        ({"path": "x"}, {"x": '"a"'}, "a"),
        ({"path": "x"}, {"x": "007".lstrip("0")}, "7"),
        ({"path": "x"}, {"x": "-12345678901234567890123"}, "-12345678901234567890123"),
        ({"path": "x"}, {"x": "1.0"}, Reason.WRONG_TYPE),
        ({"path": "x"}, {"x": "true"}, Reason.WRONG_TYPE),
        ({"path": "x"}, {"x": "[]"}, Reason.WRONG_TYPE),
        ({"path": "x"}, {}, ""),
        ({"path": "x"}, {"x": "null"}, ""),
        ({"path": "x"}, {"x": '"NONE"'}, ""),
        ({"path": "x", "default": "d"}, {"x": '"NONE"'}, "d"),
        ({"path": "x", "default": "d"}, {"x": '"a"'}, "a"),
        ({"path": "x.y.z"}, {"x": '{"y":{"z":"deep"}}'}, "deep"),
        ({"path": "x.y.z"}, {"x": '{"y":null}'}, ""),
        ({"path": "x.y.z"}, {"x": '"text"'}, ""),
        ({"first": ["x", "y.z"]}, {"x": "null", "y": '{"z":"second"}'}, "second"),
        ({"first": ["x", "y.z"]}, {"x": '"NONE"', "y": '{"z":"second"}'}, "second"),
        ({"first": ["x", "y.z"]}, {"x": '"first"', "y": '{"z":[]}'}, "first"),
        ({"first": ["x.id", "x"]}, {"x": '{"id":"inner"}'}, "inner"),
        ({"first": ["x.id", "x"]}, {"x": '"plain"'}, "plain"),
        ({"constant": "c"}, {}, "c"),
        ({"path": "x", "upper": True}, {"x": '"abc"'}, "ABC"),
        ({"path": "x", "upper": True}, {"x": '"\u00e4\u00df"'}, "\u00c4SS"),
        ({"path": "x", "map": {"true": "yes", "false": "no"}}, {"x": "true"}, "yes"),
        ({"path": "x", "map": {"true": "yes", "false": "no"}}, {"x": '"false"'}, "no"),
        ({"path": "x", "map": {"5": "five"}}, {"x": "5"}, "five"),
        ({"path": "x", "map": {"5": "five"}}, {"x": '"5"'}, "five"),
        ({"path": "x", "map": {"5": "five"}}, {"x": "5.0"}, Reason.WRONG_TYPE),
        ({"path": "x", "map": {"5": "five"}}, {"x": "6"}, Reason.UNMAPPED_VALUE),
        ({"path": "x", "map": {"5": "five"}, "default": "none"}, {}, "none"),
        ({"path": "x", "map": {"A": "a"}, "upper": True}, {"x": '"a"'}, "a"),
        ({"path": "x", "map": {"A": ""}}, {"x": '"A"'}, ""),
        ({"path": "x", "map": {"A": "a"}}, {"x": '"NONE"'}, ""),
    ],
)
def test_texts(column, event, expected):
    """Constants, defaults, first, maps, upper case, nulls and nested paths."""
    assert _value("processor", event, {"nulls": ["NONE"]}, processor=column) == expected


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("number", "0.1", 0.1),
        ("number", '"0.1"', 0.1),
        ("number", "12345678901234567890", 12345678901234567890.0),
        ("number", "1e400", Reason.OUT_OF_RANGE),
        ("number", "1e-400", 0.0),
        ("number", '"high"', Reason.INVALID_NUMBER),
        ("integer", "9223372036854775807", 2**63 - 1),
        ("integer", "9223372036854775808", Reason.OUT_OF_RANGE),
        ("integer", "1.0", 1),
        ("integer", "1.5", Reason.WRONG_TYPE),
        ("integer", '"12"', 12),
        ("boolean", "true", True),
        ("boolean", '"false"', False),
        ("boolean", "1", Reason.WRONG_TYPE),
        ("string", "12", "12"),
        ("string", '""', ""),
        ("string", "null", None),
        ("number", "null", None),
    ],
)
def test_attributes(kind, text, expected):
    """Attributes are typed, nullable columns."""
    document = {"attributes": {"extra": {"path": "x", "type": kind}}}

    assert _value("extra", {"x": text}, document) == expected


@pytest.mark.parametrize(
    ("unit", "text", "expected"),
    [
        ("us", "15", 15),
        ("ms", "1.2345", 1234),
        ("s", '"0.25"', 250_000),
        ("s", "2592000", 2_592_000_000_000),
        ("s", "2592000.1", Reason.OUT_OF_RANGE),
        ("us", "-1", Reason.OUT_OF_RANGE),
        ("us", "1e999999", Reason.OUT_OF_RANGE),
        ("us", "null", None),
    ],
)
def test_latency(unit, text, expected):
    """Stated processing times become whole microseconds, up to 30 days."""
    column = {"path": "x", "unit": unit}

    assert _value("latency_us", {"x": text}, latency_us=column) == expected


@pytest.mark.parametrize(
    ("country", "expected"),
    [("DE", "DE"), ("de", Reason.INVALID_COUNTRY), ("DEU", Reason.INVALID_COUNTRY), ("", "")],
)
def test_country(country, expected):
    """A country is two letters A-Z or nothing."""
    assert _value("country", {"x": f'"{country}"'}, country={"path": "x"}) == expected


def test_an_unknown_status_fails():
    """Only payflow's five states are states; a producer's other words need a map."""
    column = {"path": "x"}

    assert _value("payment_status", {"x": '"completed"'}, payment_status=column) == "completed"
    assert (
        _value("payment_status", {"x": '"success"'}, payment_status=column) is Reason.UNKNOWN_STATUS
    )
    assert _value("payment_status", {}, payment_status=column) is Reason.REQUIRED


def test_a_bad_timestamp_never_becomes_now():
    """A missing or unreadable event time is a failure, not the current time."""
    assert _value("occurred_at", {"at": '"yesterday"'}) is Reason.INVALID_TIME
    assert _value("occurred_at", {"at": '""'}) is Reason.INVALID_TIME


def test_an_empty_id_is_no_id():
    """A required text that is empty fails, even where the schema has no words for null."""
    assert _value("transaction_id", {"id": '""'}) is Reason.REQUIRED


@pytest.mark.parametrize(
    ("keyword", "bound"),
    [("minimum", 0.1), ("maximum", 0.1), ("exclusiveMinimum", 0.1), ("exclusiveMaximum", 0.1)],
)
def test_numbers_beside_a_bound(keyword, bound):
    """Numbers that round to the bound as floats are compared as the decimals they are."""
    document = {
        "attributes": {"extra": {"path": "x", "type": "number"}},
        "json_schema": {"properties": {"x": {keyword: bound}}},
    }
    texts = ["0.09999999999999999999", "0.1", "0.10", "1e-1", "0.10000000000000000001", "0.2", "0"]
    rules: dict[str, Callable[[Decimal], bool]] = {
        "minimum": lambda number: number >= Decimal("0.1"),
        "maximum": lambda number: number <= Decimal("0.1"),
        "exclusiveMinimum": lambda number: number > Decimal("0.1"),
        "exclusiveMaximum": lambda number: number < Decimal("0.1"),
    }

    taken = [_value("extra", {"x": text}, document) is not Reason.OUT_OF_RANGE for text in texts]

    assert taken == [rules[keyword](Decimal(text)) for text in texts]


def test_a_missing_amount_never_becomes_zero():
    """A null amount is a failure, not 0."""
    assert _value("amount", {"amount": "null"}) is Reason.REQUIRED
