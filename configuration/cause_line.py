"""What likely caused failures, as a line beside them, and the way to undo it."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from configuration.causes import Cause
from payflow.lib.pages.detail import Button
from payflow.lib.pages.display import UNKNOWN, span

#: who may roll back
UNDO: Final = "configuration.rollback_configurationversion"


def cause_line(cause: Cause) -> SafeString:
    """`Started 14 s after transaction v7 went active`, which leads to the version."""
    return _line(f"Started {cause.after}", cause)


def likely(cause: Cause | None, *, may_undo: bool) -> SafeString:
    """The same for a narrow column named "changed before", with the link to roll back."""
    if cause is None:
        return UNKNOWN
    url = undo_of(cause) if may_undo else ""
    undo = format_html(' <a class="pf-link pf-nowrap" href="{}">Roll back…</a>', url) if url else ""
    how_long = "right before" if cause.seconds < 1 else f"{span(cause.seconds)} before"
    return format_html("{}{}", _line(f"{cause.name}, {how_long}", cause), undo)


def _line(text: str, cause: Cause) -> SafeString:
    before, _, after = text.partition(cause.name)
    return format_html(
        '<span class="pf-cause"><span class="pf-i s" aria-hidden="true">bolt</span>'
        '{}<a class="pf-link" href="{}">{}</a>{}</span>',
        before,
        cause.url,
        cause.name,
        after,
    )


def undo_of(cause: Cause | None) -> str:
    """The page that asks whether to roll back what caused it; "" when that would not help."""
    if cause is None or cause.activation is None or not cause.can_be_undone:
        return ""
    before = cause.activation.previous_id
    return reverse("admin:configuration_configurationversion_rollback", args=[before])


def undo_buttons(request: HttpRequest, cause: Cause | None) -> list[Button]:
    """Roll back, for those who may, while that would help."""
    url = undo_of(cause)
    if not url or cause is None or cause.activation is None or not request.user.has_perm(UNDO):
        return []
    label = f"Roll back to {cause.activation.previous}…"
    return [Button(label=label, url=url, icon="undo", kind="d")]
