"""The lists Transaction schemas, Metric rules and Compliance rules: by name, not by version.

A schema is shown with what it lets through, a rule with what it is worth now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from configuration import editor_rules, traffic
from configuration.activation import gate_of
from configuration.bundling import sources_using
from configuration.kinds import KINDS
from configuration.models import ConfigurationVersion, Source
from configuration.rule_worth import Worth, worth_of
from configuration.version_history import state_pill

Kind = ConfigurationVersion.Kind
Status = ConfigurationVersion.Status
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """One rule of an active rule set."""

    name: str
    description: str
    facts: Sequence[str]
    #: the rule in the version's page
    url: str
    worth: Worth | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSet:
    """All versions of one name."""

    name: str
    active: ConfigurationVersion | None
    newest: ConfigurationVersion
    drafts: Sequence[ConfigurationVersion]
    sources: Sequence[Source]
    events: int = 0
    rejected: float | None = None
    gate: str = ""
    rules: Sequence[RuleRow] = ()

    @property
    def shown(self) -> ConfigurationVersion:
        """The version that its name leads to."""
        return self.active or self.newest


def list_context(request: HttpRequest, kind: str) -> dict[str, Any]:
    """What kind_list.html needs."""
    sets = _sets(kind)
    slug = KINDS[kind].slug
    may_add = request.user.has_perm("configuration.add_configurationversion")
    return {
        "title": KINDS[kind].title,
        "kind": KINDS[kind],
        "is_schema": kind == Kind.SCHEMA,
        "is_compliance": kind == Kind.COMPLIANCE,
        "sets": sets,
        "new_url": reverse(f"admin:configuration_{slug}_new") if may_add else "",
        "all_url": f"{reverse('admin:configuration_configurationversion_changelist')}"
        f"?kind__exact={kind}",
        "pills": state_pill,
    }


def _sets(kind: str) -> list[NamedSet]:
    versions: dict[str, list[ConfigurationVersion]] = {}
    rows = ConfigurationVersion.objects.filter(kind=kind).exclude(status=Status.RETIRED)
    for version in rows.order_by("name", "-number"):
        versions.setdefault(version.name, []).append(version)
    make = _schema if kind == Kind.SCHEMA else _rule_set
    return [make(kind, name, found) for name, found in versions.items()]


def _common(kind: str, name: str, found: Sequence[ConfigurationVersion]) -> Mapping[str, Any]:
    active = next((row for row in found if row.status == Status.ACTIVE), None)
    return {
        "name": name,
        "active": active,
        "newest": found[0],
        "drafts": [row for row in found if row.is_draft],
        "sources": sources_using(kind, name),
    }


def _schema(kind: str, name: str, found: Sequence[ConfigurationVersion]) -> NamedSet:
    common = _common(kind, name, found)
    now = timezone.now()
    came = traffic.between([source.pk for source in common["sources"]], now - _DAY, now)
    return NamedSet(**common, events=came.events, rejected=came.rejected, gate=gate_of(name))


def _rule_set(kind: str, name: str, found: Sequence[ConfigurationVersion]) -> NamedSet:
    common = _common(kind, name, found)
    shown = common["active"] or common["newest"]
    rules = editor_rules.rules_of(kind, shown.document)
    worth = worth_of(kind, [str(rule.get("name", "")) for rule in rules])
    page = reverse("admin:configuration_configurationversion_change", args=[shown.pk])
    return NamedSet(
        **common,
        rules=[
            RuleRow(
                name=str(rule.get("name", "")),
                description=str(rule.get("description", "")).strip(),
                facts=editor_rules.facts_of(kind, rule),
                url=f"{page}?view=form&rule={number}#editor",
                worth=worth.get(str(rule.get("name", ""))),
            )
            for number, rule in enumerate(rules)
        ],
    )
