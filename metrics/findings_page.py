"""What the page of a compliance finding shows: what was broken, what shows it, and whose it is."""

from __future__ import annotations

from typing import Any, Final

from django.apps import apps
from django.utils.safestring import SafeString

from metrics.models import NormalizedTransaction, Violation
from payflow.lib.pages.detail import Button, Card, Detail, Head
from payflow.lib.pages.display import (
    code_block,
    link,
    list_url,
    moment,
    money,
    mono,
    pill,
    row_link,
    row_url,
    text_or_dash,
)

_TRANSACTIONS: Final = "metrics.normalizedtransaction"
_KINDS: Final = {"critical": "bad", "high": "bad", "medium": "warn", "low": "info"}
_ICONS: Final = {"critical": "crisis_alert", "high": "error", "medium": "warning", "low": "info"}
_OTHERS: Final = 20
_IDS: Final = ("transaction_id", "customer_id", "merchant_id")
_LONGEST: Final = 60


def severity_pill(severity: str, text: str = "") -> SafeString:
    return pill(_KINDS.get(severity, ""), text or severity.capitalize(), _ICONS.get(severity, ""))


def evidence_text(evidence: dict[str, Any]) -> str:
    """`amount 61000.0000, currency EUR`, in one line, without the ids that stand beside it."""
    shown = {name: value for name, value in evidence.items() if name not in _IDS}
    text = ", ".join(f"{name} {value}" for name, value in shown.items())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def detail(row: Violation) -> Detail:
    event = NormalizedTransaction.objects.filter(pk=row.event_id).first()
    bundle = _bundle(event)
    return Detail(
        title=row.rule,
        state=severity_pill(row.severity),
        meta=[row.get_family_display(), moment(row.occurred_at, ms=True)],
        buttons=[Button(label="Passport", url=row_url(_TRANSACTIONS, row.event_id), icon="badge")]
        if event
        else [],
        main=[_evidence(row), _rule(row, bundle), _others(row)],
        side=[_event(row, event), _origin(row, bundle)],
    )


def _bundle(event: NormalizedTransaction | None) -> Any:
    """The bundle that the event was evaluated under; None when its batch is gone."""
    if event is None:
        return None
    batches = apps.get_model("ingestion.Batch").objects.select_related("bundle")
    batch = batches.filter(pk=event.batch).first()
    return None if batch is None else batch.bundle


def _evidence(row: Violation) -> Card:
    return Card(
        title="Evidence",
        sub="the values that the rule saw",
        heads=[Head(label="Value"), Head(label="Seen")],
        rows=[(name, mono(value)) for name, value in row.evidence.items()],
        empty="The rule names no values to keep.",
    )


def _rule(row: Violation, bundle: Any) -> Card:
    """The rule as the event's own bundle froze it."""
    document = bundle.content.get("compliance", {}).get("document", {}) if bundle else {}
    found = next((rule for rule in document.get("rules", []) if rule["name"] == row.rule), None)
    if found is None:
        return Card(title="Rule", empty="Its definition is gone with the batch of the event.")
    return Card(
        title="Rule",
        sub=found["description"],
        html=code_block(found["where"]),
    )


def _others(row: Violation) -> Card:
    others = Violation.objects.filter(event_id=row.event_id).exclude(pk=row.pk).order_by("rule")
    return Card(
        title="Other findings of this event",
        heads=[Head(label="Rule"), Head(label="Severity"), Head(label="Evidence")],
        rows=[
            (
                row_link("metrics.violation", other.pk, other.rule),
                severity_pill(other.severity),
                evidence_text(other.evidence),
            )
            for other in others[:_OTHERS]
        ],
        empty="This is the only one.",
    )


def _event(row: Violation, event: NormalizedTransaction | None) -> Card:
    facts: list[tuple[str, Any]] = [
        (
            "Transaction",
            row_link(_TRANSACTIONS, row.event_id, mono(row.transaction_id))
            if event
            else mono(row.transaction_id),
        )
    ]
    if event is not None:
        facts += [
            ("Amount", money(event.amount, event.currency)),
            ("Status", text_or_dash(event.payment_status)),
        ]
    facts += [
        ("Customer", _same(row.customer_id)),
        ("Merchant", _same(row.merchant_id)),
        ("Happened", moment(row.occurred_at, ms=True)),
        ("Found", moment(row.found_at, ms=True)),
    ]
    return Card(title="Event", facts=facts)


def _same(identifier: str) -> SafeString:
    """The findings of the same customer or merchant."""
    if not identifier:
        return mono("")
    return link(list_url("metrics.violation", q=identifier), mono(identifier))


def _origin(row: Violation, bundle: Any) -> Card:
    facts: list[tuple[str, Any]] = [
        ("Findings of this rule", link(list_url("metrics.violation", rule=row.rule), "all of them"))
    ]
    if bundle is not None:
        compliance = bundle.content.get("compliance")
        if compliance:
            facts.append(("Rule set", f"{compliance['name']} v{compliance['version']}"))
        facts.append(
            ("Bundle", row_link("configuration.bundle", bundle.pk, mono(bundle.hash[:12])))
        )
    facts += [("Rule version", mono(row.rule_version)), ("Finding", mono(row.pk))]
    return Card(title="Origin", facts=facts)
