"""What the page of a version shows: what it says, what it would change, and how it goes live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from configuration import page_parts, source_page
from configuration.bundling import sources_using
from configuration.editor import can_edit, make_editor
from configuration.kinds import KINDS
from configuration.models import ConfigurationVersion
from configuration.version_cards import activate_card, changes_card, compatibility_card
from configuration.version_history import author_of, history, state_pill, versions_of
from payflow.lib.errors import Problem
from payflow.lib.pages.detail import Button, Card, Notice
from payflow.lib.pages.display import link, moment, mono, row_link, row_url

Kind = ConfigurationVersion.Kind
Status = ConfigurationVersion.Status
#: cards of a lower order stand above both columns
_WIDE_BELOW: Final = 20
_EDITOR: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a draft on its way; state is done, now, bad or "" (later)."""

    label: str
    state: str


def page_context(
    request: HttpRequest, version: ConfigurationVersion, *, refused: Sequence[Problem] = ()
) -> dict[str, Any]:
    """All that version.html needs. `refused`: why what was posted to its editor is not saved."""
    active = active_of(version)
    main = page_parts.cards(request, version, "main")
    ordered = sorted(
        [*main, (_EDITOR, _editor_card(request, version, active, refused))], key=_order
    )
    kind = KINDS[version.kind]
    return {
        "title": f"{kind.title}: {version.name}",
        "heading": str(version),
        "state": state_pill(version),
        "meta": _meta(version, active),
        "steps": _steps(version, active),
        "notices": _notices(version, active, refused),
        "buttons": _buttons(request, version),
        "wide": [card for order, card in ordered if order < _WIDE_BELOW],
        "main": [card for order, card in ordered if order >= _WIDE_BELOW],
        "side": _side(request, version, active),
        "history": history(request, version),
        "history_count": versions_of(version).count(),
        "all_url": f"{reverse('admin:configuration_configurationversion_changelist')}"
        f"?kind__exact={version.kind}&q={version.name}",
        "compare_url": reverse(
            "admin:configuration_configurationversion_compare", args=[version.pk]
        ),
    }


def active_of(version: ConfigurationVersion) -> ConfigurationVersion | None:
    """The version of the same name that is live now."""
    return versions_of(version).filter(status=Status.ACTIVE).first()


def _order(entry: tuple[int, object]) -> int:
    return entry[0]


def _editor_card(
    request: HttpRequest,
    version: ConfigurationVersion,
    active: ConfigurationVersion | None,
    refused: Sequence[Problem],
) -> Card:
    editor = make_editor(request, version, active, refused=refused)
    context = {"editor": editor, "version": version, "query": request.GET.urlencode()}
    return Card(
        title=editor.title,
        sub=editor.summary,
        corner=render_to_string("payflow/version_views.html", context),
        flush=render_to_string("payflow/version_editor.html", context, request=request),
    )


def _side(
    request: HttpRequest, version: ConfigurationVersion, active: ConfigurationVersion | None
) -> list[Card]:
    own = [
        (10, changes_card(version, active)),
        (20, compatibility_card(request, version, active)),
        (30, activate_card(request, version, active)),
        (80, _used_by_card(version)),
        (90, _facts_card(version)),
    ]
    cards = [(order, card) for order, card in own if card is not None]
    return [
        card
        for _, card in sorted([*cards, *page_parts.cards(request, version, "side")], key=_order)
    ]


def _used_by_card(version: ConfigurationVersion) -> Card:
    return Card(
        title="Used by",
        facts=[
            (
                row_link("configuration.source", source.pk, source.name),
                source_page.source_pill(source),
            )
            for source in sources_using(version.kind, version.name)
        ],
        empty="No source uses this name yet.",
    )


def _facts_card(version: ConfigurationVersion) -> Card:
    facts: list[tuple[str, Any]] = [
        ("Written by", author_of(version)),
        ("Created", moment(version.created_at)),
        ("Saved", moment(version.saved_at)),
    ]
    if version.base is not None:
        facts.append(("Made from", link(_url(version.base), f"v{version.base.number}")))
    if version.note:
        facts.append(("Note", version.note))
    facts.append(("SHA-256", mono(version.checksum, shorten=17)))
    return Card(title="Version", facts=facts)


def _meta(
    version: ConfigurationVersion, active: ConfigurationVersion | None
) -> list[SafeString | str]:
    meta: list[SafeString | str] = []
    if version.is_draft:
        base = f"made from v{version.base.number} " if version.base else ""
        text = f"{base}by {author_of(version)}, saved"
        meta.append(format_html("{} {}", text, moment(version.saved_at)))
    elif version.status == Status.ACTIVE:
        meta.append(_since(version))
    else:
        meta.append(format_html("last active from {}", moment(version.activated_at)))
    if active is not None and active.pk != version.pk:
        meta.append(format_html("active: {}", link(_url(active), f"v{active.number}")))
    return meta


def _since(version: ConfigurationVersion) -> SafeString:
    last = version.activations.select_related("activated_by", "previous").first()
    if last is None:
        return format_html("since {}", moment(version.activated_at))
    who = last.activated_by or "a command"
    how = f"rolled back from v{last.previous.number} " if last.is_rollback and last.previous else ""
    return format_html("since {}, {}by {}", moment(last.activated_at), how, who)


def _steps(version: ConfigurationVersion, active: ConfigurationVersion | None) -> list[Step]:
    """Where a draft stands on its way; nothing for others."""
    if not version.is_draft:
        return []
    wrong = len(version.problems)
    mistakes = "1 mistake" if wrong == 1 else f"{wrong} mistakes"
    steps = [Step(label=mistakes if wrong else "Valid", state="bad" if wrong else "done")]
    ran = version.jobs.filter(kind="dry_run", state="done", started_at__gte=version.saved_at)
    has_run = ran.exists()
    steps.append(Step(label="Dry run", state="done" if has_run else ""))
    if settings.PAYFLOW["FOUR_EYES"] and active is not None:
        asked = version.approval_asked_at is not None
        steps.append(Step(label="Approval by a second person", state="now" if asked else ""))
    steps.append(Step(label="Active", state=""))
    if not wrong and not any(step.state == "now" for step in steps):
        first = next(n for n, step in enumerate(steps) if not step.state)
        steps[first] = Step(label=steps[first].label, state="now")
    return steps


def _notices(
    version: ConfigurationVersion,
    active: ConfigurationVersion | None,
    refused: Sequence[Problem],
) -> list[Notice]:
    if refused:
        return [
            Notice(
                kind="bad",
                icon="error",
                title="Not saved",
                text="What you typed is still here. "
                + (
                    refused[0].message if len(refused) == 1 else f"{len(refused)} things are wrong."
                ),
            )
        ]
    if version.is_draft and version.approval_asked_at is not None:
        return [
            Notice(
                kind="info",
                icon="how_to_reg",
                title=f"{version.approval_asked_by} asks a second person to make this live",
                text=version.approval_reason,
            )
        ]
    if version.is_draft and version.origin and version.problems:
        return [
            Notice(
                kind="bad",
                icon="error",
                title=f"Rejected: it came from {version.origin} and is wrong",
                text=f"{active} stays active." if active else "Nothing is active.",
            )
        ]
    return []


def _buttons(request: HttpRequest, version: ConfigurationVersion) -> list[Button]:
    own = [(order, button) for order, button in _own_buttons(request, version) if button]
    return [
        button for _, button in sorted([*page_parts.buttons(request, version), *own], key=_order)
    ]


def _own_buttons(
    request: HttpRequest, version: ConfigurationVersion
) -> list[tuple[int, Button | None]]:
    """Only those that will work for this person."""
    may = request.user.has_perm
    buttons: list[tuple[int, Button | None]] = []
    if may("configuration.add_configurationversion"):
        label = f"New draft from v{version.number}"
        buttons.append(
            (30, Button(label=label, url=_url(version, "draft"), icon="edit_note", posts=True))
        )
    buttons.append((31, Button(label="Export YAML", url=_url(version, "export"), icon="download")))
    if can_edit(request, version):
        buttons.append((32, Button(label="Discard…", url=_url(version, "discard"), icon="delete")))
    if version.is_draft and not version.problems and _may_go_on(request):
        buttons.append(
            (
                40,
                Button(
                    label=f"Activate v{version.number}…", url="#activate", icon="bolt", kind="p"
                ),
            )
        )
    if may("configuration.rollback_configurationversion"):
        buttons.append((41, _back_button(version)))
    return buttons


def _may_go_on(request: HttpRequest) -> bool:
    return request.user.has_perm("configuration.activate_configurationversion")


def _back_button(version: ConfigurationVersion) -> Button | None:
    """From the active one to the one before it; from one before it to itself.

    What was rolled back from is nothing to roll back to: it can be activated again.
    """
    active = version if version.status == Status.ACTIVE else active_of(version)
    last = active.activations.first() if active else None
    back = None if last is None or last.is_rollback else last.previous
    target = back if version == active else version if version.activated_at is not None else None
    if target is None:
        return None
    url = _url(target, "rollback")
    if target == back:
        return Button(label=f"Roll back to v{target.number}…", url=url, icon="undo", kind="d")
    return Button(label=f"Activate v{target.number} again…", url=url, icon="undo")


def _url(version: ConfigurationVersion, action: str = "") -> str:
    if action:
        return reverse(f"admin:configuration_configurationversion_{action}", args=[version.pk])
    return row_url("configuration.configurationversion", version.pk)
