"""Bundles and batches made by hand, for tests of what evaluate() says of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from ingestion.bundles import CompiledBundle, compile_bundle
from ingestion.sources.base import MessageBatch

#: when the broker had every message of `batch_of`
BROKER_TIME: Final = datetime(2026, 3, 2, 10, 0, 30, tzinfo=UTC)

#: one event a message, an amount in major units
CHARGE: Final[dict[str, Any]] = {
    "name": "charge",
    "columns": {
        "transaction_id": {"path": "id"},
        "occurred_at": {"path": "at", "format": "rfc3339"},
        "amount": {"path": "amount", "unit": "major"},
        "currency": {"path": "currency"},
        "payment_status": {"constant": "completed"},
        "merchant_id": {"path": "merchant"},
    },
    "attributes": {"risk": {"path": "risk", "type": "number"}},
    "json_schema": {
        "type": "object",
        "required": ["id", "at", "amount", "currency"],
        "properties": {"amount": {"type": "number", "minimum": 0}},
    },
}
#: the same with minor units, another place of the id and other attributes
REFUND: Final[dict[str, Any]] = {
    "name": "refund",
    "columns": {
        **CHARGE["columns"],
        "transaction_id": {"path": "refund.id"},
        "amount": {"path": "amount", "unit": "minor"},
        "payment_status": {"constant": "refunded"},
    },
    "attributes": {"why": {"path": "refund.why", "type": "string"}},
    "json_schema": {"type": "object", "required": ["refund", "at", "amount", "currency"]},
}
#: several events a message: each entry of a report
REPORT: Final[dict[str, Any]] = {
    "name": "report",
    "explode": "report.entries[]",
    "columns": {
        "transaction_id": {"path": "report.entries.id"},
        "occurred_at": {"path": "report.at", "format": "rfc3339"},
        "amount": {"path": "report.entries.amount", "unit": "major"},
        "currency": {"path": "report.currency"},
        "payment_status": {"constant": "completed"},
        "merchant_id": {"path": "report.merchant"},
    },
    "json_schema": {
        "type": "object",
        "required": ["report"],
        "properties": {
            "report": {
                "type": "object",
                "required": ["at", "currency"],
                "properties": {
                    "entries": {
                        "type": "object",
                        "required": ["id", "amount"],
                        "properties": {"amount": {"type": "number", "minimum": 0}},
                    }
                },
            }
        },
    },
}
METRICS: Final[dict[str, Any]] = {
    "name": "parts",
    "metrics": [
        {"name": "large", "description": "Large ones.", "type": "COUNTER", "where": "amount > 100"},
        {
            "name": "risky",
            "description": "Of high risk, by merchant.",
            "type": "COUNTER",
            "where": "risk IS NULL OR risk > 0.5",
            "group_by": ["merchant_id"],
            "window": "1h",
        },
        {
            "name": "refund_reasons",
            "description": "Refunds by reason.",
            "type": "COUNTER",
            "group_by": ["why"],
            "window": "1h",
        },
    ],
}
COMPLIANCE: Final[dict[str, Any]] = {
    "name": "parts",
    "rules": [
        {
            "name": "over_a_thousand",
            "description": "Large sums must be reported.",
            "family": "aml",
            "severity": "high",
            "where": "amount > 1000",
            "evidence": ["amount", "currency"],
        }
    ],
}


def bundle_of(
    *schemas: dict[str, Any],
    metrics: dict[str, Any] | None = None,
    table: dict[str, Any] | None = None,
) -> CompiledBundle:
    """A bundle of version 1 of each schema; `table` has what a route table says besides them."""
    routes: list[dict[str, Any]] = [
        {"schema": {"name": document["name"], "version": 1, "document": document}}
        for document in schemas
    ]
    more: dict[str, Any] = {}
    if table is not None:
        more = {"route_by": table["by"], "otherwise": table.get("otherwise", "failed")}
        routes = [{**route, "in": words} for route, words in zip(routes, table["in"], strict=True)]
    return compile_bundle(
        {
            "source": "parts",
            "routes": routes,
            "metrics": {"name": "parts", "version": 1, "document": metrics or {}},
            "compliance": {"name": "parts", "version": 1, "document": COMPLIANCE},
            **more,
        }
    )


def batch_of(
    messages: Sequence[bytes | dict[str, Any]], headers: Sequence[dict[str, Any] | None] = ()
) -> MessageBatch:
    """These messages as one batch, offsets from 0."""
    return MessageBatch(
        source="parts",
        partition="0",
        broker_type="redis_streams",
        batch_id="x",
        position="0",
        next_position=str(len(messages)),
        sequence_number=0,
        received_at=BROKER_TIME,
        offsets=[str(number) for number in range(len(messages))],
        times_us=[int(BROKER_TIME.timestamp() * 1_000_000)] * len(messages),
        bodies=[m if isinstance(m, bytes) else json.dumps(m).encode() for m in messages],
        headers=[None if h is None else json.dumps(h).encode() for h in headers] or None,
    )


def charge(number: int, **fields: Any) -> dict[str, Any]:
    """A valid event of CHARGE, `type` charge.ok."""
    return {
        "type": "charge.ok",
        "id": f"ch-{number}",
        "at": "2026-03-02T10:00:00Z",
        "amount": 12.5,
        "currency": "EUR",
        "merchant": "M-1",
        **fields,
    }


def refund(number: int, **fields: Any) -> dict[str, Any]:
    """A valid event of REFUND, `type` refund."""
    return {
        "type": "refund",
        "refund": {"id": f"re-{number}", "why": "broken"},
        "at": "2026-03-02T10:00:00Z",
        "amount": 1250,
        "currency": "EUR",
        "merchant": "M-2",
        **fields,
    }


def report(number: int, *amounts: float, **fields: Any) -> dict[str, Any]:
    """A message of REPORT with one entry for each amount, `type` report."""
    entries = [{"id": f"en-{number}-{n}", "amount": amount} for n, amount in enumerate(amounts)]
    return {
        "type": "report",
        "report": {
            "at": "2026-03-02T10:00:00Z",
            "currency": "EUR",
            "merchant": "M-3",
            "entries": entries,
            **fields,
        },
    }
