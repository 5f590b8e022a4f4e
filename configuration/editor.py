"""The editor of a version: the same document as forms and as YAML.

A form changes values within the text (text_edits.py), so what its author wrote around them stays,
and both views save one thing: the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpRequest
from django.urls import reverse

from configuration import editor_fields, editor_mapping, editor_rules
from configuration.documents import read_text
from configuration.editor_inputs import Form, row_of
from configuration.models import ConfigurationVersion
from configuration.text_edits import Edit, edited
from configuration.versions import check_text, text_of, text_token
from payflow.lib.errors import ConfigurationError, Problem

Kind = ConfigurationVersion.Kind
FORM: Final = "form"
YAML: Final = "yaml"
MAPPING: Final = "mapping"
#: kind -> its views, the first one when none is asked for
_VIEWS: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    Kind.SCHEMA: ((FORM, "Form"), (YAML, "YAML"), (MAPPING, "Mapping")),
    Kind.METRICS: ((FORM, "Rules"), (YAML, "YAML")),
    Kind.COMPLIANCE: ((FORM, "Rules"), (YAML, "YAML")),
}
#: columns of a transaction; any other name in a mapping is an attribute
COLUMNS: Final = frozenset(
    {
        *("transaction_id", "occurred_at", "amount", "currency", "payment_method"),
        *("payment_status", "channel", "processor", "transaction_type", "merchant_id"),
        *("merchant_category", "customer_id", "country", "error_code", "latency_us"),
        "correlation_id",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleLine:
    """A rule in the list of a rule set."""

    name: str
    sub: str
    facts: Sequence[str]
    url: str
    mark: str = ""
    problems: Sequence[Problem] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Editor:
    """What the editor's card shows."""

    title: str
    summary: str
    view: str
    #: key, label, address
    views: Sequence[tuple[str, str, str]]
    is_editable: bool
    #: of the text that the editor began with: another one's save is not overwritten
    token: str
    text: str
    note: str
    problems: Sequence[Problem]
    rule: str = ""
    form: Form | None = None
    rules: Sequence[RuleLine] = ()
    back: str = ""
    #: it holds what was typed, not what is saved
    is_refused: bool = False


def make_editor(
    request: HttpRequest,
    version: ConfigurationVersion,
    active: ConfigurationVersion | None,
    *,
    refused: Sequence[Problem] = (),
) -> Editor:
    """The view that is asked for; with `refused`, what was posted and why it is not kept."""
    view, rule = asked(request, version)
    document = document_of(version)
    before = active.document if active is not None and active.pk != version.pk else None
    problems = list(refused) or saved_problems(version)
    form = _form(version.kind, view, document, before, rule)
    rules = _rules(version, before, problems) if _lists_rules(version, view, rule) else []
    if form is not None:
        form = form.typed(request.POST) if refused else form
        form = form.with_problems(problems)
        problems = [p for p in problems if not row_of(form.rows, p.pointer)]
    text = request.POST.get("text", "") if refused and view == YAML else text_of(version)
    return Editor(
        title="YAML" if view == YAML else _TITLES[version.kind, view],
        summary=form.summary if form else f"{len(rules)} rules" if rules else "",
        view=view,
        views=[(key, label, _address(version, key)) for key, label in _VIEWS[version.kind]],
        is_editable=can_edit(request, version),
        token=request.POST.get("expected", "") if refused else text_token(version),
        text=text.replace("\r\n", "\n"),
        note=version.note,
        problems=problems,
        rule=rule,
        form=form,
        rules=rules,
        back=_address(version, FORM),
        is_refused=bool(refused),
    )


_TITLES: Final[Mapping[tuple[str, str], str]] = {
    (Kind.SCHEMA, FORM): "Fields",
    (Kind.SCHEMA, MAPPING): "Mapping",
    (Kind.METRICS, FORM): "Rules",
    (Kind.COMPLIANCE, FORM): "Rules",
}


def can_edit(request: HttpRequest, version: ConfigurationVersion) -> bool:
    """Whether this person may change this version: a draft that never was live."""
    may: bool = request.user.has_perm("configuration.change_configurationversion")
    return may and version.is_draft and version.activated_at is None


def asked(request: HttpRequest, version: ConfigurationVersion) -> tuple[str, str]:
    """(view, number of a rule) of the address. What cannot be read has no forms: YAML then."""
    known = [key for key, _ in _VIEWS[version.kind]]
    view = request.GET.get("view", "")
    view = view if view in known else known[0]
    rule = request.GET.get("rule", "") if version.kind != Kind.SCHEMA and view == FORM else ""
    return (view if version.document else YAML), rule


def typed_text(request: HttpRequest, version: ConfigurationVersion) -> str:
    """The text that a posted editor stands for. Raises ConfigurationError for what it cannot be."""
    view, rule = asked(request, version)
    if view == YAML:
        return request.POST.get("text", "").replace("\r\n", "\n")
    made = _edits(version, view, rule, request.POST)
    return edited(text_of(version), document_of(version), made)


def check(request: HttpRequest, version: ConfigurationVersion) -> dict[str, Any]:
    """What is wrong with what is typed, each with its line or its row, as JSON."""
    view, rule = asked(request, version)
    form = _form(version.kind, view, document_of(version), None, rule)
    try:
        text = typed_text(request, version)
    except ConfigurationError as exc:
        problems = exc.problems
    else:
        _, problems = check_text(version.kind, version.name, text)
    return {
        "problems": [
            {
                "pointer": problem.pointer,
                "message": problem.message,
                "line": problem.line,
                "row": row_of(form.rows, problem.pointer) if form else "",
            }
            for problem in problems
        ]
    }


def document_of(version: ConfigurationVersion) -> dict[str, Any]:
    """What the text says, in the text's order: the column keeps the keys of mappings in its own."""
    saved: dict[str, Any] = version.document
    try:
        return read_text(text_of(version))[0] if saved else {}
    except ConfigurationError:
        return saved


def saved_problems(version: ConfigurationVersion) -> list[Problem]:
    """The problems of the saved text, with their lines."""
    if not version.problems:
        return []
    return check_text(version.kind, version.name, text_of(version))[1]


def _lists_rules(version: ConfigurationVersion, view: str, rule: str) -> bool:
    return version.kind != Kind.SCHEMA and view == FORM and not rule


def _form(
    kind: str,
    view: str,
    document: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    rule: str,
) -> Form | None:
    if view == YAML:
        return None
    if kind != Kind.SCHEMA:
        return editor_rules.form(kind, document, before, rule=rule) if rule else None
    make = editor_mapping.form if view == MAPPING else editor_fields.form
    return make(document, before)


def _edits(
    version: ConfigurationVersion, view: str, rule: str, post: Mapping[str, str]
) -> list[Edit]:
    document = document_of(version)
    if version.kind != Kind.SCHEMA:
        return editor_rules.edits(version.kind, document, post, rule=rule)
    if view == MAPPING:
        return editor_mapping.edits(document, post, columns=COLUMNS)
    return editor_fields.edits(document, post)


def _rules(
    version: ConfigurationVersion,
    before: Mapping[str, Any] | None,
    problems: Sequence[Problem],
) -> list[RuleLine]:
    rules = editor_rules.rules_of(version.kind, document_of(version))
    old = {} if before is None else {r.get("name"): r for r in _old(version.kind, before)}
    name = editor_rules.LISTS[version.kind]
    lines = []
    for number, rule in enumerate(rules):
        mark = ""
        if before is not None and old.get(rule.get("name")) != rule:
            mark = "changed" if rule.get("name") in old else "new"
        lines.append(
            RuleLine(
                name=str(rule.get("name", f"rule {number + 1}")),
                sub=str(rule.get("description", "")).strip(),
                facts=editor_rules.facts_of(version.kind, rule),
                url=f"{_address(version, FORM)}&rule={number}#editor",
                mark=mark,
                problems=[p for p in problems if f"{p.pointer}/".startswith(f"/{name}/{number}/")],
            )
        )
    return sorted(lines, key=lambda line: (not line.problems, not line.mark))


def _old(kind: str, before: Mapping[str, Any]) -> list[dict[str, Any]]:
    return editor_rules.rules_of(kind, before)


def _address(version: ConfigurationVersion, view: str) -> str:
    url = reverse("admin:configuration_configurationversion_change", args=[version.pk])
    return f"{url}?view={view}"
