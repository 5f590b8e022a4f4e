"""The passport as one JSON object: complete, for another program or a ticket.

Ids, amounts and values are texts: a browser would round numbers beyond 2^53. Times are UTC.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from ingestion.models import Batch
from ingestion.passport.archived import Again, ArchivedRow
from ingestion.passport.body import digest
from ingestion.passport.counted import RollupCell, RuleCell
from ingestion.passport.gather import Passport
from ingestion.passport.timeline import steps
from metrics.models import NormalizedTransaction
from payflow.lib.event_id import arrival_of


def passport_json(
    passport: Passport,
    *,
    archived: ArchivedRow | str,
    again: Again | str,
    rollups: list[RollupCell],
    rules: list[RuleCell],
) -> dict[str, Any]:
    """Everything on the page; for `archived` and `again` a text says why there is none."""
    return {
        "event": _event(passport.event),
        "events": [_event(event) for event in passport.events],
        "timeline": [
            {"at": _time(step.at), "side": step.side, "kind": step.kind, "what": step.title}
            for step in steps(passport)
        ],
        "archived": archived if isinstance(archived, str) else _archived(archived),
        "batch": _batch(passport.batch) if passport.batch else None,
        "versions": [
            {"kind": version.kind, "name": version.name, "version": str(version.number)}
            for version in passport.versions
        ],
        "metrics": [
            {"rule": value.rule, "type": value.kind, "value": value.value}
            for value in passport.values
        ],
        "late": None if isinstance(again, str) else again.is_late,
        "rollups": [_rollup(cell) for cell in rollups],
        "rules": [_rule(cell) for cell in rules],
        **_outcomes(passport),
    }


def _event(event: NormalizedTransaction) -> dict[str, Any]:
    return {
        "id": str(event.pk),
        "batch": str(event.batch),
        "ordinal": event.ordinal,
        "part": event.part,
        "event_key": str(event.event_key),
        "payload_hash": str(event.payload_hash),
        "transaction_id": event.transaction_id,
        "correlation_id": event.correlation_id,
        "occurred_at": _time(event.occurred_at),
        "received_at": _time(event.received_at),
        "amount": str(event.amount),
        "currency": event.currency,
        "payment_method": event.payment_method,
        "payment_status": event.payment_status,
        "channel": event.channel,
        "processor": event.processor,
        "transaction_type": event.transaction_type,
        "merchant_id": event.merchant_id,
        "merchant_category": event.merchant_category,
        "customer_id": event.customer_id,
        "country": event.country,
        "error_code": event.error_code,
        "latency_us": None if event.latency_us is None else str(event.latency_us),
        "metadata": event.metadata,
    }


def _archived(archived: ArchivedRow) -> dict[str, Any]:
    """The bytes as text where they are text, and in any case in base64."""
    try:
        text: str | None = archived.body.decode()
    except UnicodeDecodeError:
        text = None
    return {
        "file": archived.file,
        "row": str(archived.row),
        "offset": archived.offset,
        "broker_time": _time(archived.broker_time),
        "received_at": _time(archived.received_at),
        "verdict": archived.verdict,
        "reasons": archived.reasons,
        "masked": archived.masked,
        "sha256": digest(archived),
        "body": text,
        "body_base64": b64encode(archived.body).decode(),
        "key_base64": None if archived.key is None else b64encode(archived.key).decode(),
        "headers": None if archived.headers is None else archived.headers.decode(errors="replace"),
    }


def _batch(batch: Batch) -> dict[str, Any]:
    return {
        "id": str(batch.pk),
        "source": batch.partition.source.name,
        "partition": batch.partition.name,
        "start_position": batch.start_position,
        "next_position": batch.next_position,
        "committed_at": _time(batch.committed_at),
        "bundle": batch.bundle.hash,
        "engine_version": str(batch.bundle.content["engine_version"]),
    }


def _rollup(cell: RollupCell) -> dict[str, Any]:
    return {
        "window_start": _time(cell.start),
        "window_s": cell.window_s,
        "transactions": str(cell.transactions),
        "amount_sum": str(cell.amount_sum),
        "currency": cell.currency,
    }


def _rule(cell: RuleCell) -> dict[str, Any]:
    return {
        "rule": cell.rule,
        "type": cell.kind.value,
        "rule_version": str(cell.version),
        "window_start": _time(cell.start),
        "window_s": cell.window_s,
        "group": cell.group,
        "value": str(cell.value),
        "over": _text(cell.over),
        "cell": {
            "transactions": _text(cell.transactions),
            "sum": _text(cell.total),
            "over": _text(cell.total_over),
            "min": _text(cell.lowest),
            "max": _text(cell.highest),
            "in_bucket": _text(cell.in_bucket),
        },
    }


def _outcomes(passport: Passport) -> dict[str, Any]:
    return {
        "findings": [
            {
                "id": str(finding.pk),
                "event_id": str(finding.event_id),
                "rule": finding.rule,
                "rule_version": str(finding.rule_version),
                "family": finding.family,
                "severity": finding.severity,
                "found_at": _time(finding.found_at),
                "evidence": finding.evidence,
            }
            for finding in passport.findings
        ],
        "duplicates": [
            {
                "id": str(outcome.pk),
                "outcome": outcome.outcome,
                "batch": str(outcome.batch),
                "arrived_at": _time(arrival_of(outcome.pk)),
            }
            for outcome in passport.duplicates
        ],
        "failures": [
            {
                "id": str(item.pk),
                "reason": item.reason,
                "field": item.field,
                "status": item.status,
                "failed_at": _time(item.failed_at),
                "retry_count": item.retry_count,
                "errors": item.errors,
            }
            for item in passport.failures
        ],
        "activations": [
            {
                "at": _time(activation.activated_at),
                "kind": activation.version.kind,
                "name": activation.version.name,
                "version": str(activation.version.number),
            }
            for activation in passport.activations
        ],
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
