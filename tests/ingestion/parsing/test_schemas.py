"""The shipped schemas and the documented examples, on the events they are made for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingestion.parsing import CompiledSchema, Reason, compile_schema
from tests.ingestion.parsing.agreement import assert_agree, shipped

EXAMPLES = Path(__file__).parents[3] / "docs/examples"

TRANSACTION = {
    "transaction_id": "tx-1",
    "correlation_id": "c-1",
    "timestamp": "2026-01-31T12:00:00.25Z",
    "transaction_type": "payment",
    "channel": "web",
    "amount": "12.50",
    "currency": "eur",
    "merchant_id": "m-1",
    "customer_id": "cu-1",
    "status": "success",
    "metadata": {"processing_time_ms": 12.5, "risk_score": 0.25, "country": "de"},
}
SIMULATOR = {
    "transaction_id": "9b2f7d3e-1f0a-4b43-9d0c-1f4b1f0f3c11",
    "transaction_timestamp": "2026-01-31T12:00:00.123456+00:00",
    "ingestion_timestamp": "2026-01-31T12:00:01+00:00",
    "processing_timestamp": "2026-01-31T12:00:02+00:00",
    "amount": 129.95,
    "currency": "USD",
    "payment_method": "credit_card",
    "payment_status": "completed",
    "customer_id": "CUST-0000ABCD",
    "customer_email": "someone@example.com",
    "customer_country": "US",
    "merchant_id": "MERCH-0000ABCD",
    "merchant_name": "Shop",
    "merchant_category": "retail",
    "transaction_type": "payment",
    "channel": "web",
    "device_type": "mobile",
    "metadata": {
        "ip_address": "192.0.2.1",
        "user_agent": "agent",
        "card_last4": "4242",
        "card_brand": "Visa",
        "cvv_provided": True,
        "3ds_verified": False,
        "risk_score": 0.125,
        "fraud_indicators": [],
    },
    "compliance_violations": [],
    "violation_severity": "NONE",
}
CHARGE = {
    "id": "ch_1",
    "object": "charge",
    "amount": 2000,
    "currency": "usd",
    "created": 1557995177,
    "status": "succeeded",
    "customer": "cus_1",
    "captured": True,
    "refunded": False,
    "disputed": False,
    "livemode": False,
    "failure_code": None,
    "outcome": {"type": "authorized", "risk_level": "normal", "risk_score": 2},
    "payment_intent": None,
    "payment_method_details": {
        "card": {"brand": "visa", "country": "US", "last4": "4242"},
        "type": "card",
    },
    "source": None,
    "metadata": {},
}


def _one(schema: CompiledSchema, event: dict[str, Any]) -> dict[str, Any]:
    parsed = assert_agree(schema, [json.dumps(event).encode()])
    assert not parsed.failures
    return parsed.columns.row(0, named=True)


@pytest.mark.parametrize(
    ("name", "event"), [("transaction", TRANSACTION), ("simulator", SIMULATOR), ("stripe", CHARGE)]
)
def test_ordinary_events_take_the_fast_path(name, event):
    """The events that a schema is made for never see the slow path."""
    bodies = [
        json.dumps(event, separators=separators).encode()
        for separators in ((",", ":"), (", ", ": "), (" , ", " : "))
    ]

    fast = shipped(name)._fast
    assert fast is not None
    taken = fast.take(bodies)

    assert taken.rest == {}
    assert len(taken.mapped) == 3


def test_a_transaction_event():
    """The `transaction` schema maps gateway outcomes with their own words."""
    row = _one(shipped("transaction"), TRANSACTION)

    assert row["occurred_at"] == datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)
    assert row["amount"] == Decimal("12.5")
    assert (row["currency"], row["country"], row["channel"]) == ("EUR", "DE", "web")
    assert (row["payment_status"], row["error_code"]) == ("completed", "")
    assert (row["latency_us"], row["risk_score"]) == (12_500, 0.25)
    assert row["correlation_id"] == "c-1"


@pytest.mark.parametrize("status", ["declined", "timeout", "error"])
def test_a_failed_transaction_keeps_its_word_as_error_code(status):
    """What is not a success is failed; the producer's own word is the error code."""
    row = _one(shipped("transaction"), {**TRANSACTION, "status": status})

    assert (row["payment_status"], row["error_code"]) == ("failed", status)


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        (0, Reason.OUT_OF_RANGE),
        (-1, Reason.OUT_OF_RANGE),
        ("0.00", Reason.PATTERN_MISMATCH),
        ("0e5", Reason.PATTERN_MISMATCH),
        ("-5", Reason.PATTERN_MISMATCH),
    ],
)
def test_a_transaction_amount_is_positive(amount, reason):
    """Zero and less fail, written as number or as text."""
    body = json.dumps({**TRANSACTION, "amount": amount}).encode()

    parsed = assert_agree(shipped("transaction"), [body])

    assert [(e.field, e.constraint) for e in parsed.failures[0, 0]] == [("amount", reason)]


def test_a_simulator_event():
    """The `simulator` schema reads what the simulator publishes; NONE means null."""
    row = _one(shipped("simulator"), SIMULATOR)

    assert row["amount"] == Decimal("129.95")
    assert row["payment_method"] == "credit_card"
    assert (row["country"], row["merchant_category"]) == ("US", "retail")
    assert row["violation_severity"] is None
    assert json.loads(row["metadata"]) == {
        "customer_email": "someone@example.com",
        "device_type": "mobile",
        "risk_score": 0.125,
        "card_brand": "Visa",
        "card_last4": "4242",
        "cvv_provided": True,
        "three_ds_verified": False,
    }


def test_the_payment_method_is_not_read_from_the_metadata():
    """The simulator's payment method stands at the root and is never "unknown"."""
    rows = [
        _one(shipped("simulator"), {**SIMULATOR, "payment_method": method})["payment_method"]
        for method in ("bank_transfer", "cash_equivalent")
    ]

    assert rows == ["bank_transfer", "cash_equivalent"]


def test_strings_for_null_are_null():
    """NOT_SET and NONE in place of null leave no trace."""
    event = {**SIMULATOR, "customer_id": "NOT_SET", "merchant_id": "NONE", "customer_country": ""}

    row = _one(shipped("simulator"), event)

    assert (row["customer_id"], row["merchant_id"], row["country"]) == ("", "", "")


def test_a_stripe_charge():
    """Charges come in minor units, epoch seconds and lower-case currencies."""
    row = _one(shipped("stripe"), CHARGE)

    assert row["amount"] == Decimal(20)
    assert row["occurred_at"] == datetime(2019, 5, 16, 8, 26, 17, tzinfo=UTC)
    assert (row["currency"], row["customer_id"], row["country"]) == ("USD", "cus_1", "US")
    assert (row["payment_method"], row["payment_status"]) == ("card", "completed")
    assert (row["card_last4"], row["captured"], row["risk_score"]) == ("4242", True, 2.0)


def test_stripe_amounts_follow_the_currency():
    """1050 yen are 1050, 1050 fils of Bahrain 1.050."""
    yen = _one(shipped("stripe"), {**CHARGE, "amount": 1050, "currency": "jpy"})
    fils = _one(shipped("stripe"), {**CHARGE, "amount": 1050, "currency": "bhd"})

    assert (yen["amount"], fils["amount"]) == (Decimal(1050), Decimal("1.05"))


def test_expanded_stripe_objects_give_their_id():
    """A customer that the API expanded is the same customer."""
    row = _one(shipped("stripe"), {**CHARGE, "customer": {"id": "cus_1", "object": "customer"}})

    assert row["customer_id"] == "cus_1"


def test_other_stripe_objects_are_ignored():
    """What is no charge is neither accepted nor failed."""
    objects = [{**CHARGE, "object": kind} for kind in ("customer", "refund", "event")]
    objects += [{"object": "customer"}, {"object": ["charge"]}, {"object": None}, {}]

    parsed = assert_agree(shipped("stripe"), [json.dumps(o).encode() for o in objects])

    assert parsed.ignored == [(row, 0) for row in range(len(objects))]


def test_a_route_can_fail_the_others():
    """`otherwise: failed` makes a failure with the reason `unrouted` of what no route takes."""
    document = yaml.safe_load((EXAMPLES.parents[1] / "ingestion/schemas/stripe.yaml").read_text())
    document["route"]["otherwise"] = "failed"
    schema = compile_schema(document, name="stripe")

    parsed = assert_agree(schema, [json.dumps({**CHARGE, "object": "refund"}).encode()])

    assert [e.constraint for e in parsed.failures[0, 0]] == [Reason.UNROUTED]


def test_the_card_fraud_example():
    """Rows of the card data set: integer ids become their digits, 0 and 1 a boolean."""
    document = yaml.safe_load((EXAMPLES / "fdh-card-fraud.yaml").read_text())
    schema = compile_schema(document, name="fdh-card-fraud")
    event = {
        "TRANSACTION_ID": 3527,
        "TX_DATETIME": "2018-04-01T10:17:43Z",
        "CUSTOMER_ID": 3774,
        "TERMINAL_ID": 3059,
        "TX_AMOUNT": 85.64999999999999,
        "TX_TIME_SECONDS": 37063,
        "TX_TIME_DAYS": 0,
        "TX_FRAUD": 1,
        "TX_FRAUD_SCENARIO": 1,
    }

    row = _one(schema, event)

    assert (row["transaction_id"], row["merchant_id"], row["customer_id"]) == (
        "3527",
        "3059",
        "3774",
    )
    assert (row["amount"], row["currency"]) == (Decimal("85.65"), "EUR")
    assert (row["payment_status"], row["fraud"], row["fraud_scenario"]) == ("completed", True, 1)


def test_a_transaction_and_a_simulator_event_do_not_pass_for_each_other():
    """Each shape has its own schema; neither takes the other's events."""
    wrong = [("transaction", SIMULATOR), ("simulator", TRANSACTION)]

    for name, event in wrong:
        assert assert_agree(shipped(name), [json.dumps(event).encode()]).failures
