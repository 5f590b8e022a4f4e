from __future__ import annotations

import json
import struct
from typing import Any

import polars as pl
import pytest
from xxhash import xxh3_64_digest, xxh3_64_intdigest

from ingestion.parsing import compile_schema

DOCUMENT: dict[str, Any] = {
    "columns": {
        "transaction_id": {"path": "id"},
        "occurred_at": {"path": "at", "format": "epoch_us"},
        "amount": {"path": "amount"},
        "currency": {"constant": "EUR"},
        "payment_status": {"path": "status"},
        "transaction_type": {"path": "type"},
        "latency_us": {"path": "took"},
        "correlation_id": {"path": "trace"},
    },
    "attributes": {
        "label": {"path": "label", "type": "string"},
        "share": {"path": "share", "type": "number"},
        "count": {"path": "count", "type": "integer"},
        "fraud": {"path": "fraud", "type": "boolean"},
    },
}
EVENT: dict[str, Any] = {
    "id": "tx-1",
    "at": 1767225600123456,
    "amount": 12.5,
    "status": "completed",
    "type": "payment",
    "took": 7,
    "trace": "c",
    "label": "é",
    "share": 0.5,
    "count": -3,
    "fraud": True,
}
#: hours from 1970 to 2026-01-01T00
HOUR = (490_896).to_bytes(4, "big")


def _row(event: dict[str, Any] | None = None, **document: Any) -> dict[str, Any]:
    schema = compile_schema({**DOCUMENT, **document}, name="demo")
    parsed = schema.parse([json.dumps({**EVENT, **(event or {})}).encode()])
    return parsed.columns.row(0, named=True)


def test_keys_and_hashes_never_change():
    """Literal values: stored keys depend on every one of these bits."""
    row = _row()

    assert row["event_key"].hex() == "00077d90a97edfa2eb3708dc2c6c2ff6"
    assert row["payload_hash"] == 6909120247039945568
    assert (
        _row(identity=["transaction_id"])["event_key"].hex() == "a97edfa2eb37e4cc947931a8787809d6"
    )


def test_a_key_with_the_event_time_begins_with_its_hour():
    """K2: 4 bytes hour, 6 bytes hash of the id, 6 bytes hash of scope and identity."""
    identity = b"demo\0tx-1\x001767225600123456\0completed\0payment"

    key = _row()["event_key"]

    assert key == HOUR + xxh3_64_digest(b"tx-1")[:6] + xxh3_64_digest(identity)[:6]


def test_a_key_without_the_event_time_begins_with_the_id():
    """K1: 8 bytes hash of the id, 8 bytes hash of scope and identity."""
    row = _row(identity={"scope": "acme", "fields": ["count", "transaction_id"]})

    assert row["event_key"] == xxh3_64_digest(b"tx-1") + xxh3_64_digest(b"acme\0tx-1\0-3")


def test_the_payload_hash_is_over_what_was_taken():
    """Columns read from the event but the correlation id, then attributes, joined by NUL."""
    bits = str(int.from_bytes(struct.pack(">d", 0.5), "big"))
    text = "\0".join(
        (
            *("tx-1", "1767225600123456", "12.5000", "completed", "payment", "7"),
            *("=é", bits, "-3", "true"),
        )
    )
    unsigned = xxh3_64_intdigest(text.encode())

    assert _row()["payload_hash"] == unsigned - 2**64 * (unsigned >= 2**63)


@pytest.mark.parametrize("name", [name for name in EVENT if name != "trace"])
def test_every_value_counts_in_the_payload_hash(name):
    """Another value of any field but the correlation id is another payload."""
    other = {"fraud": False, "status": "failed", "at": EVENT["at"] + 1}.get(name, f"{EVENT[name]}1")

    assert _row({name: other})["payload_hash"] != _row()["payload_hash"]


@pytest.mark.parametrize(
    "event",
    [{"trace": "other"}, {"extra": 1}, {"amount": "12.50"}, {"amount": 125e-1}, {"share": 5e-1}],
)
def test_the_same_payload_has_the_same_hash(event):
    """How a value is written, what is not mapped and the correlation id do not count."""
    assert _row(event)["payload_hash"] == _row()["payload_hash"]


def test_an_absent_and_an_empty_attribute_differ():
    """Null and the empty text are different payloads."""
    assert _row({"label": ""})["payload_hash"] != _row({"label": None})["payload_hash"]


def test_identity_by_position_leaves_the_key_to_the_caller():
    """Without identity every message is an event; its key comes from its coordinates."""
    columns = {n: c for n, c in DOCUMENT["columns"].items() if n != "transaction_id"}

    row = _row(identity="position", columns=columns)

    assert row["event_key"] is None
    assert row["transaction_id"] == ""


def test_an_identity_attribute_must_be_there():
    """An event without the attribute that identifies it fails."""
    schema = compile_schema({**DOCUMENT, "identity": ["transaction_id", "count"]}, name="demo")

    parsed = schema.parse([json.dumps({**EVENT, "count": None}).encode()])

    assert [e.constraint for e in parsed.failures[0, 0]] == ["required"]


@pytest.mark.parametrize(
    "text",
    ['"', "\\", 'a"b\\c', "\n\r\t\x01\x1f", "é😀\u2028", "</script>", '\\"', "\\u0041", "\x7f"],
)
def test_metadata_is_json(text):
    """Whatever a text holds, metadata is the JSON object of the attributes that are there."""
    row = _row({"label": text, "count": None})

    assert json.loads(row["metadata"]) == {"label": text, "share": 0.5, "fraud": True}


def test_metadata_of_mixed_rows():
    """Rows with and without an attribute in one batch each have their own members."""
    schema = compile_schema(DOCUMENT, name="demo")
    events = [
        EVENT,
        {**EVENT, "label": None},
        dict.fromkeys(EVENT) | {name: EVENT[name] for name in ("id", "at", "amount", "status")},
    ]

    parsed = schema.parse([json.dumps(event).encode() for event in events])

    assert [json.loads(text) for text in parsed.columns["metadata"]] == [
        {"label": "é", "share": 0.5, "count": -3, "fraud": True},
        {"share": 0.5, "count": -3, "fraud": True},
        {},
    ]


def test_the_columns_are_those_of_the_contract():
    """Names, order and types of the result, also when nothing is accepted."""
    expected = {
        "row": pl.UInt32,
        "part": pl.Int32,
        "event_key": pl.Binary,
        "payload_hash": pl.Int64,
        "transaction_id": pl.String,
        "occurred_at": pl.Datetime("us", "UTC"),
        "amount": pl.Decimal(19, 4),
        **dict.fromkeys(
            ["currency", "payment_method", "payment_status", "channel", "processor"], pl.String
        ),
        **dict.fromkeys(
            ["transaction_type", "merchant_id", "merchant_category", "customer_id"], pl.String
        ),
        **dict.fromkeys(["country", "error_code"], pl.String),
        "latency_us": pl.Int64,
        "correlation_id": pl.String,
        "metadata": pl.String,
        "label": pl.String,
        "share": pl.Float64,
        "count": pl.Int64,
        "fraud": pl.Boolean,
    }
    schema = compile_schema(DOCUMENT, name="demo")

    for bodies in ([], [b"x"], [json.dumps(EVENT).encode()]):
        found = schema.parse(bodies).columns.schema
        assert list(found.items()) == list(expected.items())
    assert list(schema.attributes) == ["label", "share", "count", "fraud"]
