from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal

from ingestion.parsing import Reason, TransactionStatus
from ingestion.parsing.parser import TransactionParser
from tests.ingestion.parsing.agreement import EVENT, everything, shipped, to_json
from tests.ingestion.parsing.test_schemas import CHARGE


@dataclass
class Message:
    body: bytes


def test_a_good_message_becomes_a_transaction():
    """The parsed transaction has the values of the batch's columns."""
    body = to_json(EVENT).encode()
    schema = everything()

    result = TransactionParser(schema).parse_and_validate(Message(body))

    assert result.success
    assert result.error is None
    transaction = result.transaction
    assert transaction is not None
    assert transaction.amount == Decimal("10.50")
    assert transaction.payment_status is TransactionStatus.COMPLETED
    row = schema.parse([body]).columns.row(0, named=True)
    assert transaction.event_key == row["event_key"]
    assert transaction.payload_hash == row["payload_hash"]
    assert transaction.attributes == {name: row[name] for name in schema.attributes}


def test_a_bad_message_keeps_its_bytes_and_every_reason():
    """The failed message has the very bytes and all errors, the result the first of them."""
    body = to_json({**EVENT, "email": '"x"', "at": "1"}).encode()

    result = TransactionParser(everything()).parse_and_validate(Message(body))

    assert not result.success
    assert result.transaction is None
    assert result.raw_message == body
    assert result.failed is not None
    assert result.failed.body == body
    assert [e.constraint for e in result.failed.errors] == [
        Reason.INVALID_FORMAT,
        Reason.WRONG_TYPE,
    ]
    assert result.error == result.failed.errors[0]


def test_fail_fast_stops_at_the_first_reason():
    """With fail_fast a bad message has one reason."""
    body = to_json({**EVENT, "email": '"x"', "at": "1"}).encode()

    result = TransactionParser(everything()).parse_and_validate(Message(body), fail_fast=True)

    assert result.failed is not None
    assert len(result.failed.errors) == 1


def test_a_message_for_others_is_no_success():
    """What the route ignores gives the reason `unrouted`."""
    body = json.dumps({**CHARGE, "object": "refund"}).encode()

    result = TransactionParser(shipped("stripe")).parse_and_validate(Message(body))

    assert not result.success
    assert result.error is not None
    assert result.error.constraint is Reason.UNROUTED
