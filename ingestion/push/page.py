"""What the page of a source says about HTTP."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from configuration.models import Source
from ingestion.push.models import PushAccess
from payflow.lib.pages.detail import Button, Card
from payflow.lib.pages.display import joined, moment, mono, pill

VIEW: Final = "ingestion.view_pushaccess"
OPEN: Final = "ingestion.add_pushaccess"
CHANGE: Final = "ingestion.change_pushaccess"
#: senders that a card names
_MOST: Final = 10


def push_card(request: HttpRequest, source: Source) -> Card | None:
    """Open or closed, for whom, and how a request looks; None for who may not see it, and for
    files."""
    if source.broker_type == "file" or not request.user.has_perm(VIEW):
        return None
    access = PushAccess.objects.filter(source=source).first()
    if access is None:
        return Card(
            title="HTTP",
            empty="Closed: nobody can push events to this source over HTTP.",
            more=_button("Open…", source) if request.user.has_perm(OPEN) else None,
        )
    return Card(
        title="HTTP",
        facts=access_facts(access),
        html=example(request, source, access),
        more=_button("Change…", source) if request.user.has_perm(CHANGE) else None,
    )


def access_facts(access: PushAccess) -> list[tuple[str, object]]:
    """State, senders and proof; secrets by reference."""
    names = [sender.get_username() for sender in access.senders.order_by("username")]
    shown = ", ".join(names[:_MOST]) + (f" and {len(names) - _MOST} more" * (len(names) > _MOST))
    facts: list[tuple[str, object]] = [
        ("State", pill("ok", "Open")),
        ("Since", moment(access.created_at)),
        ("Proof", access.get_signature_display()),
        ("Senders", shown or "whoever signs"),
    ]
    if access.secrets:
        facts.append(("Secrets", joined([mono(secret) for secret in access.secrets], ", ")))
    return facts


def example(request: HttpRequest, source: Source, access: PushAccess | None) -> SafeString:
    """A request that this payflow takes, at the address under which it is looked at."""
    url = request.build_absolute_uri(reverse("api-push", args=[source.name]))
    lines = [f"curl {url}"]
    if access is None or access.signature != PushAccess.Signature.ENOUGH:
        lines.append('-H "Authorization: Bearer $TOKEN"')
    if access is not None and access.signature != PushAccess.Signature.OFF:
        lines += [
            '-H "webhook-id: $ID"',
            '-H "webhook-timestamp: $TIMESTAMP"',
            '-H "webhook-signature: $SIGNATURE"',
        ]
    else:
        lines.append('-H "Idempotency-Key: $(uuidgen)"')
    lines += ['-H "Content-Type: application/x-ndjson"', "--data-binary @events.ndjson"]
    return format_html('<pre class="pf-code pf-curl" tabindex="0">{}</pre>', " \\\n  ".join(lines))


def edit_url(source: Source) -> str:
    """The page that opens the source, or changes who may push."""
    return reverse("admin:ingestion_pushaccess_edit", args=[source.pk])


def _button(label: str, source: Source) -> Button:
    return Button(label=label, url=edit_url(source))
