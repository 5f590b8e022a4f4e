"""What the tests of the two paths share: documents, odd JSON and the comparison itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ingestion.parsing import CompiledSchema, Parsed, compile_schema

SCHEMAS = Path(__file__).parents[3] / "ingestion/schemas"

#: JSON texts that once broke a parser, or might
ODD_VALUES = [
    *("0", "-0", "1", "1.0", "-1", "1e2", "1.5E1", "1E+2", "1e-2", "0.1", "0.10", "100", "5e-324"),
    *("12.3456", "12.34560", "12.345600000", "12.34567", "0.00001", "-0.0001", "1e-5", "0e5"),
    *("1e400", "-1e400", "1e-400", "-1e-400", "1e99999999999999999999", "0e99999999999999999999"),
    *("999999999999999", "999999999999999.9999", "1000000000000000", "99999999999999999999"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "9" * 400),
    *(
        "0.09999999999999999999",
        "0.10000000000000000001",
        "0.30000000000000004",
        "123456789012345678",
    ),
    *("true", "false", "null", '"true"', '"false"', '"null"', '"True"'),
    *('""', '" "', '"NOT_SET"', '"NONE"', '"not_set"', '"x"', '"usd"', '"USD"', '"JPY"', '"BHD"'),
    *(
        '"EU"',
        '"eur"',
        '"XXX"',
        '"DE"',
        '"de"',
        '"D"',
        '"D1"',
        '"completed"',
        '"Completed"',
        '"ok"',
    ),
    *(
        '"0"',
        '"1"',
        '"-5"',
        '"+5"',
        '" 5"',
        '"5 "',
        '"007.50"',
        '"12.5"',
        '"1e2"',
        '"1E-2"',
        '".5"',
    ),
    *('"5."', '"1_000"', '"0x10"', '"NaN"', '"inf"', '"-Infinity"', '"٣"', '"12,5"', '"1.5e400"'),
    *(r'"\u0041"', r'"a\u0000b"', r'"\ud800"', r'"\udc00x"', r'"\ud83d\ude00"', r'"\/"', r'"a\"b"'),
    *(
        r'"\\"',
        r'"\n"',
        r'"\u00e9"',
        r'"\u0021"',
        '"é"',
        '"ß"',
        '"ŉ"',
        '"İ"',
        '"ƛ"',
        '"😀"',
        '"\x7f"',
        '"ﬁ"',
    ),
    *(f'"{"x" * 256}"', f'"{"x" * 257}"', f'"{"é" * 200}"', f'"{"😀" * 256}"', f'"{"😀" * 257}"'),
    *("[]", "{}", "[1]", '[{"id":1,"id":2}]', '{"c":1}', '{"c":{"d":2}}', '{"c":1,"c":2}', "[[]]"),
    *('{"deep":' * 299 + "1" + "}" * 299, '{"deep":' * 400 + "1" + "}" * 400),
    *('"2026-01-31T12:00:00Z"', '"2026-01-31t12:00:00z"', '"2026-01-31 12:00:00+00:00"'),
    *(
        '"2026-01-31T12:00:00.123456Z"',
        '"2026-01-31T12:00:00.1234567Z"',
        '"2026-01-31T12:00:00.1Z"',
    ),
    *('"2026-01-31T23:59:59.999999999999-11:30"', '"2026-01-31T12:00:00+05:45"'),
    *('"2026-02-29T12:00:00Z"', '"2024-02-29T12:00:00Z"', '"2026-04-31T12:00:00Z"'),
    *('"2026-13-01T12:00:00Z"', '"2026-00-01T12:00:00Z"', '"2026-01-31T24:00:00Z"'),
    *('"2026-01-31T12:60:00Z"', '"2026-01-31T12:00:60Z"', '"2026-12-31T23:59:60Z"'),
    *('"2026-01-31T12:00:00"', '"2026-01-31T12:00:00."', '"2026-01-31T12:00:00.Z"', '"2026-01-31"'),
    *('"2026-01-31T12:00:00+24:00"', '"2026-01-31T12:00:00+00:60"', '"2026-01-31T12:00:00-00:00"'),
    *('"1999-12-31T23:59:59Z"', '"2000-01-01T00:00:00Z"', '"2000-01-01T00:00:00+00:01"'),
    *('"2100-12-31T23:59:59.999999Z"', '"2101-01-01T00:00:00Z"', '"0000-01-01T00:00:00Z"'),
    *('"٢٠٢٦-01-31T12:00:00Z"', '"2026-01-31T12:00:00Z\\n"', '"31.01.2026 12:00:00"'),
    *(
        '"31.03.2024 02:30:00"',
        '"27.10.2024 02:30:00"',
        '"31.02.2026 12:00:00"',
        '"1.1.2026 1:0:0"',
    ),
    *("1767225600", "1767225600.5", "1767225600.123456", "1767225600.1234567", '"1767225600"'),
    *("1767225600123", "1767225600123.4", "1767225600123456", "1767225600123456.7", "1.7672256e9"),
    *("946684799", "946684800", "4133980799", "4133980800", "-1", "1e30", "946684799999.9"),
]

#: one document that uses every option of a mapping
EVERYTHING = {
    "nulls": ["", "NOT_SET", "NONE"],
    "route": {"kind": {"in": ["pay", "refund"]}, "otherwise": "ignored"},
    "identity": ["transaction_id", "payment_status", "occurred_at", "sequence"],
    "columns": {
        "transaction_id": {"first": ["id", "ids.own"]},
        "occurred_at": {"path": "at", "format": "rfc3339"},
        "amount": {"path": "money.value", "unit": "minor"},
        "currency": {"path": "money.currency", "upper": True},
        "payment_status": {
            "path": "ok",
            "map": {"true": "completed", "false": "failed", "1": "pending"},
        },
        "payment_method": {"first": ["method", "details.method"], "default": "unknown"},
        "channel": {"constant": "api"},
        "merchant_id": {"path": "shop"},
        "customer_id": {"path": "details.customer.id", "upper": True},
        "country": {"path": "details.country", "upper": True},
        "error_code": {"path": "code", "map": {"5": "do_not_honour", "x": "", "😀": "😀"}},
        "latency_us": {"path": "details.took", "unit": "ms"},
        "correlation_id": {"path": "trace"},
    },
    "attributes": {
        "sequence": {"path": "seq", "type": "integer"},
        "risk": {"path": "details.risk", "type": "number"},
        "label": {"path": "details.label", "type": "string"},
        "fraud": {"path": "fraud", "type": "boolean", "map": {"0": False, "1": True, "true": True}},
        "checked": {"path": "checked", "type": "boolean", "default": False},
        "grade": {
            "path": "details.grade",
            "type": "integer",
            "map": {"A": 1, "B": 2},
            "default": 0,
        },
    },
    "json_schema": {
        "type": "object",
        "required": ["kind", "at", "money", "ok"],
        "properties": {
            "kind": {"type": "string", "minLength": 1},
            "money": {
                "type": "object",
                "required": ["value", "currency"],
                "properties": {
                    "value": {"type": ["integer", "string"]},
                    "currency": {"type": "string", "pattern": "^[A-Za-z]+$", "maxLength": 3},
                },
            },
            "ok": {"type": ["boolean", "integer", "string"]},
            "method": {"enum": ["card", "cash", None, 5]},
            "shop": {"type": ["string", "integer"], "pattern": "^[^!]*$", "maxLength": 300},
            "seq": {"type": ["integer", "string"], "minimum": -5, "multipleOf": 1},
            "fraud": {"enum": [0, 1, True, "1", None]},
            "email": {"type": ["string", "null"], "format": "email"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "share": {
                "type": ["number", "null"],
                "minimum": 0.1,
                "exclusiveMaximum": 1e3,
                "multipleOf": 0.01,
            },
            "note": {"minLength": 1, "maximum": 100},
            "details": {
                "type": ["object", "null"],
                "properties": {
                    "customer": {"type": "object", "additionalProperties": True},
                    "risk": {
                        "type": ["number", "string", "null"],
                        "exclusiveMinimum": 0,
                        "maximum": 1,
                    },
                    "label": {"type": ["string", "null"], "minLength": 2},
                },
            },
        },
    },
}
#: an event of that document, as (name, JSON) pairs per object
EVENT: dict[str, Any] = {
    "kind": '"pay"',
    "id": '"t-1"',
    "at": '"2026-01-31T12:00:00.5Z"',
    "money": {"value": "1050", "currency": '"eur"'},
    "ok": "true",
    "method": '"card"',
    "shop": '"s-1"',
    "seq": "1",
    "fraud": "0",
    "checked": "true",
    "email": '"a@example.com"',
    "share": "0.5",
    "note": '"hello"',
    "code": '"5"',
    "trace": '"c-1"',
    "extra": '{"id":1,"other":[{"at":2}]}',
    "details": {
        "customer": {"id": '"c"'},
        "country": '"de"',
        "risk": "0.25",
        "label": '"fine"',
        "took": "12.5",
        "grade": '"A"',
    },
}


def everything() -> CompiledSchema:
    """The document that uses every option, compiled."""
    return compile_schema(EVERYTHING, name="everything")


def shipped(name: str) -> CompiledSchema:
    """A schema that payflow ships."""
    return compile_schema(yaml.safe_load((SCHEMAS / f"{name}.yaml").read_text()), name=name)


def to_json(event: dict[str, Any]) -> str:
    """JSON of an event whose leaves are JSON texts."""
    members = (
        f'"{name}":{to_json(value) if isinstance(value, dict) else value}'
        for name, value in event.items()
    )
    return "{" + ",".join(members) + "}"


def assert_agree(
    schema: CompiledSchema, bodies: list[bytes], headers: Sequence[bytes | None] | None = None
) -> Parsed:
    """Parse by both paths; they give the same verdicts, reasons and bits."""
    fast = schema.parse_by_columns(bodies, headers)
    slow = schema.parse_slowly(bodies, headers)
    assert fast.failures == slow.failures
    assert fast.names == slow.names
    assert fast.ignored == slow.ignored
    assert fast.parts == slow.parts
    assert fast.columns.schema == slow.columns.schema
    assert fast.columns.rows() == slow.columns.rows()
    # rows() takes -0.0 for 0.0; the hash is over the bits
    accepted = fast.columns.select("row", "part").rows()
    verdicts = sorted([*fast.failures, *fast.ignored, *accepted])
    parts = fast.parts or [1] * len(bodies)
    assert verdicts == [(row, part) for row, count in enumerate(parts) for part in range(count)]
    return fast
