"""One message at a time: for pages, tests and code that has a single event in hand.

The path itself parses batches (`CompiledSchema.parse`); both give the same verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from ingestion.parsing.reasons import Reason, TransactionStatus, ValidationError, problem
from ingestion.parsing.schema import CompiledSchema


class HasBody(Protocol):
    """What the parser needs of a message."""

    @property
    def body(self) -> bytes:
        """The message's own bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedTransaction:
    """An accepted event, normalised."""

    #: 16 bytes; None when the schema's identity is the position
    event_key: bytes | None
    payload_hash: int
    transaction_id: str
    #: aware, UTC
    occurred_at: datetime
    #: major units, four decimals
    amount: Decimal
    currency: str
    payment_method: str
    payment_status: TransactionStatus
    channel: str
    processor: str
    transaction_type: str
    merchant_id: str
    merchant_category: str
    customer_id: str
    country: str
    error_code: str
    #: processing time that the event states, microseconds
    latency_us: int | None
    correlation_id: str
    #: JSON object text of the attributes that are there
    metadata: str
    #: every attribute of the schema, None where the event has none
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedMessage:
    """A message that was not taken, with its bytes and every reason."""

    body: bytes
    errors: tuple[ValidationError, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseResult:
    """What became of one message."""

    success: bool
    transaction: ParsedTransaction | None = None
    #: the first reason
    error: ValidationError | None = None
    raw_message: bytes
    #: all reasons, for the dead-letter workbench
    failed: FailedMessage | None = None


class TransactionParser:
    """Validates and maps single messages by one compiled schema."""

    def __init__(self, schema: CompiledSchema) -> None:
        self._schema = schema

    def parse_and_validate(self, message: HasBody, *, fail_fast: bool = False) -> ParseResult:
        """The transaction of a message or the reasons why there is none.

        A message that the route leaves to others is not a success; its reason is `unrouted`.
        With `fail_fast` only the first reason is looked for.
        """
        body = message.body
        verdict = self._schema.judge(body, fail_fast=fail_fast)
        errors = verdict.errors
        if verdict.ignored:
            errors = (problem("", Reason.UNROUTED, "a routed message", "another"),)
        if errors:
            failed = FailedMessage(body=body, errors=errors)
            return ParseResult(success=False, error=errors[0], raw_message=body, failed=failed)
        row = self._schema.columns_of(verdict).row(0, named=True)
        return ParseResult(success=True, transaction=self._transaction(row), raw_message=body)

    def _transaction(self, row: dict[str, Any]) -> ParsedTransaction:
        attributes = {name: row.pop(name) for name in self._schema.attributes}
        del row["row"], row["part"]
        row["payment_status"] = TransactionStatus(row["payment_status"])
        return ParsedTransaction(**row, attributes=attributes)
