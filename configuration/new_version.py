"""The page that begins a schema or rule set: a name, and what it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.http import HttpRequest

from configuration.documents import read_text, tell
from configuration.kinds import KINDS
from configuration.models import ConfigurationVersion
from configuration.text_edits import Edit, edited
from configuration.versions import create_draft, text_of
from payflow.lib.errors import ConfigurationError

Kind = ConfigurationVersion.Kind
_SCHEMA: Final = """\
name: new
description: What these events are, and who sends them.
decoder: json
nulls: [""]
identity: [transaction_id, payment_status]
columns:
  transaction_id: {path: id}
  occurred_at: {path: timestamp, format: rfc3339}
  amount: {path: amount, unit: major}
  currency: {path: currency, upper: true}
  payment_status: {path: status}
  payment_method: {path: method, default: unknown}
  channel: {path: channel}
attributes:
  risk_score: {path: risk.score, type: number}
json_schema:
  type: object
  required: [id, timestamp, amount, currency, status]
  properties:
    id: {type: string, minLength: 1}
    timestamp: {type: string}
    amount: {type: [number, string]}
    currency: {type: string, minLength: 3, maxLength: 3}
    status: {enum: [completed, failed, pending, cancelled, refunded]}
"""
_METRICS: Final = """\
name: new
extractors: [transaction_status, transaction_amount]
metrics:
  - name: high_value
    description: Payments of 10,000 units and more; a jump is a new kind of customer, or fraud.
    type: COUNTER
    where: amount >= 10000
    group_by: [channel]
    window: 5m
"""
_COMPLIANCE: Final = """\
name: new
rules:
  - name: large_amount
    description: A payment of 50,000 units of its currency or more.
    family: aml
    severity: critical
    where: amount >= 50000
    evidence: [amount, currency, customer_id]
"""
#: kind -> a small document that is valid as it stands
STARTS: Final[Mapping[str, str]] = {
    Kind.SCHEMA: _SCHEMA,
    Kind.METRICS: _METRICS,
    Kind.COMPLIANCE: _COMPLIANCE,
}


def new_context(request: HttpRequest, kind: str, *, problem: str = "") -> dict[str, Any]:
    """What new_version.html needs."""
    return {
        "title": f"New {KINDS[kind].one}",
        "kind": KINDS[kind],
        "starts": _starts(kind),
        "problem": problem,
        "typed": request.POST,
    }


def begin(
    request: HttpRequest, kind: str, *, author: Any
) -> tuple[ConfigurationVersion | None, str]:
    """(the first draft of the posted name, ""), or (None, what is wrong with the name)."""
    name = request.POST.get("name", "").strip()
    if ConfigurationVersion.objects.filter(kind=kind, name=name).exists():
        return None, f"There is a {KINDS[kind].one} {name} already: make a new draft of it instead."
    start = next((row for row in _starts(kind) if str(row.pk) == request.POST.get("start")), None)
    text = text_of(start) if start else STARTS[kind]
    text = edited(text, read_text(text)[0], [Edit(path=("name",), value=name)])
    try:
        tell(text)
    except ConfigurationError as exc:
        return None, exc.problems[0].message.capitalize() + "."
    return create_draft(kind=kind, name=name, text=text, author=author, base=start), ""


def _starts(kind: str) -> list[ConfigurationVersion]:
    active = ConfigurationVersion.objects.filter(kind=kind, status="active")
    return list(active.order_by("name"))
