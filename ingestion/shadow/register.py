"""Where shadows and the try box hook in: their parts of a version's page."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse

from configuration import page_parts
from configuration.models import ConfigurationVersion
from ingestion.shadow.lifecycle import MINUTES, SHARES, can_be_shadowed
from ingestion.shadow.models import Shadow
from ingestion.shadow.page import state_pill
from payflow.lib.pages.detail import Button, Card

_PERMISSION: Final = "configuration.shadow_configurationversion"
_TIMES: Final = {15: "15 minutes", 60: "1 hour", 240: "4 hours", 1_440: "24 hours"}
#: shadows of a version that its card names
_MOST_PAST: Final = 3


def register() -> None:
    """Called once, at ready()."""
    page_parts.add_button(10, try_button)
    page_parts.add_card("main", 40, shadow_card)


def try_button(request: HttpRequest, version: ConfigurationVersion) -> Button | None:
    """An event under this version beside the active one."""
    if not request.user.has_perm("configuration.view_configurationversion"):
        return None
    beside = (
        "" if version.status == ConfigurationVersion.Status.ACTIVE else f"?version={version.pk}"
    )
    return Button(label="Try an event", url=reverse("try-box") + beside, icon="science")


def shadow_card(request: HttpRequest, version: ConfigurationVersion) -> Card | None:
    """Start, state and past of the shadows of a draft."""
    shadows = list(Shadow.objects.filter(version=version).order_by("-pk")[: _MOST_PAST + 1])
    if not can_be_shadowed(version) or not (version.is_draft or shadows):
        return None
    if not request.user.has_perm("ingestion.view_shadow"):
        return None
    running = next((one for one in shadows if one.state == Shadow.State.RUNNING), None)
    may_shadow = request.user.has_perm(_PERMISSION)
    html = render_to_string(
        "payflow/shadow_form.html",
        {
            "version": version,
            "running": running,
            "running_state": state_pill(running) if running else "",
            "past": [one for one in shadows if one != running][:_MOST_PAST],
            "may_shadow": may_shadow,
            "why_not": _why_not(version, may_shadow=may_shadow),
            "times": [(minutes, _TIMES[minutes]) for minutes in MINUTES],
            "shares": SHARES,
        },
        request=request,
    )
    return Card(
        title="Beside the live rules", sub="the draft on live events, as a shadow", flush=html
    )


def _why_not(version: ConfigurationVersion, *, may_shadow: bool) -> str:
    if not version.is_draft:
        return "It went live; its shadows are below."
    if version.problems:
        return "It can see live events once nothing is wrong with it."
    if not may_shadow:
        return "Who may run drafts beside the live rules can start it here."
    return ""
