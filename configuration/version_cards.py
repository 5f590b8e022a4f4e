"""Cards beside the editor: what a version changes, what that breaks, and how it goes live."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse

from configuration import page_parts, validators
from configuration.activation import gate_of
from configuration.compatibility import Compatibility, Verdict
from configuration.diff import diff_documents
from configuration.models import CompatibilityGate, ConfigurationVersion
from configuration.versions import writers_of
from payflow.lib.pages.detail import Button, Card

Kind = ConfigurationVersion.Kind
Status = ConfigurationVersion.Status
Mode = CompatibilityGate.Mode
#: changes that the page itself shows; the others are on the page that compares
MOST_CHANGES: Final = 12
#: reasons of one verdict
_MOST_REASONS: Final = 6


def changes_card(version: ConfigurationVersion, active: ConfigurationVersion | None) -> Card | None:
    """Against the active version; of the active one, against the one that it replaced."""
    other, title = active, f"Changes against active v{active.number}" if active else ""
    if active is not None and active.pk == version.pk:
        last = version.activations.select_related("previous").first()
        other = last.previous if last else None
        title = f"Changes against v{other.number} before it" if other else ""
    if other is None:
        return None
    return _changes(version, other, title)


def changes_between(version: ConfigurationVersion, previous: ConfigurationVersion) -> Card:
    """What an activation changed."""
    return _changes(version, previous, f"Changes against v{previous.number} before it")


def _changes(version: ConfigurationVersion, other: ConfigurationVersion, title: str) -> Card:
    if not version.document:
        return Card(title=title, empty="The text cannot be read, so nothing can be compared.")
    changes = diff_documents(version.kind, other.document, version.document)
    return Card(
        title=title,
        html=render_to_string("payflow/changes.html", {"changes": changes[:MOST_CHANGES]})
        if changes
        else "",
        empty="None: both say the same.",
        more=Button(
            label=f"All {len(changes)}" if len(changes) > MOST_CHANGES else "Compare",
            url=compare_url(version, other),
        ),
    )


def compare_url(version: ConfigurationVersion, other: ConfigurationVersion) -> str:
    url = reverse("admin:configuration_configurationversion_compare", args=[version.pk])
    return f"{url}?with={other.pk}"


def compatibility_of(
    version: ConfigurationVersion, active: ConfigurationVersion | None
) -> Compatibility | None:
    """Of a schema that could go live; None where there is nothing to compare."""
    if version.kind != Kind.SCHEMA or active is None or active.pk == version.pk or version.problems:
        return None
    return validators.compare_schemas(active.document, version.document)


def compatibility_card(
    request: HttpRequest, version: ConfigurationVersion, active: ConfigurationVersion | None
) -> Card | None:
    if version.kind != Kind.SCHEMA or not version.is_draft:
        return None
    found = compatibility_of(version, active)
    gate = gate_of(version.name)
    context = {
        "verdicts": _verdicts(found) if found else [],
        "is_wrong": bool(version.problems),
        "gate": gate,
        "modes": Mode.choices,
        "gate_url": reverse("admin:configuration_configurationversion_gate", args=[version.pk])
        if request.user.has_perm("configuration.change_compatibilitygate")
        else "",
    }
    return Card(
        title="Compatibility",
        corner=f"gate: {gate}",
        html=render_to_string("payflow/compatibility.html", context, request=request),
    )


def _verdicts(found: Compatibility) -> list[dict[str, Any]]:
    return [
        _verdict("Backward", found.backward, "every event that passed still passes, as it was"),
        _verdict("Forward", found.forward, "every event that passes now passed before"),
    ]


def _verdict(name: str, verdict: Verdict, meaning: str) -> dict[str, Any]:
    label = name if verdict.ok else f"Not {name.lower()}"
    reasons = verdict.against
    return {
        "label": f"{name}: cannot tell" if verdict.is_unknown else label,
        "kind": "ok" if verdict.ok else "warn",
        "icon": "check_circle" if verdict.ok else "warning",
        "meaning": meaning if verdict.ok else "",
        "reasons": reasons[:_MOST_REASONS],
        "more": max(0, len(reasons) - _MOST_REASONS),
    }


def is_gate_closed(version: ConfigurationVersion, active: ConfigurationVersion | None) -> bool:
    """Whether going live takes a written reason."""
    found = compatibility_of(version, active)
    if found is None:
        return False
    wanted: Sequence[Verdict] = {
        Mode.NONE: (),
        Mode.BACKWARD: (found.backward,),
        Mode.FORWARD: (found.forward,),
        Mode.FULL: (found.backward, found.forward),
    }[Mode(gate_of(version.name))]
    return not all(verdict.ok for verdict in wanted)


def activate_card(
    request: HttpRequest, version: ConfigurationVersion, active: ConfigurationVersion | None
) -> Card | None:
    """The form that makes a draft live, or asks somebody else to; None where neither may be."""
    may_activate = request.user.has_perm("configuration.activate_configurationversion")
    may_ask = request.user.has_perm("configuration.change_configurationversion")
    if not version.is_draft or not (may_activate or may_ask):
        return None
    writers = writers_of(version)
    needs_other = (
        settings.PAYFLOW["FOUR_EYES"]
        and active is not None
        and request.user.pk in {*writers, version.approval_asked_by_id}
    )
    asks = needs_other or not may_activate
    action = "ask" if asks else "activate"
    context = {
        "version": version,
        "active": active,
        "asks": asks,
        "is_author": needs_other and request.user.pk in writers,
        "is_asked": version.approval_asked_at is not None,
        "gate_closed": is_gate_closed(version, active),
        "gate": gate_of(version.name),
        "warnings": page_parts.warnings(version),
        "url": reverse(f"admin:configuration_configurationversion_{action}", args=[version.pk]),
    }
    html = render_to_string("payflow/activate.html", context, request=request)
    return Card(title="Activate", html=html)
