"""Who may push to a source: its senders by their tokens, and whoever signs as it was agreed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rest_framework.exceptions import NotAuthenticated, NotFound
from rest_framework.request import Request

from configuration.models import Source
from ingestion.push import signature
from ingestion.push.body import read_body
from ingestion.push.models import PushAccess

Signature = PushAccess.Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A request that may go on, once its signature is right where it needs one."""

    source: Source
    #: references
    secrets: list[str]
    needs_signature: bool

    def check(self, headers: Any, body: bytes) -> str:
        """The webhook-id of a signed request; "" where no signature is needed.

        Raises NotAuthenticated, and BadEnvironment when a secret cannot be read.
        """
        if not self.needs_signature:
            return ""
        return _check(headers, body, secrets=signature.read_secrets(self.secrets))


def admit(request: Request, name: str) -> Admission:
    """Whether this request may push to the source `name`, as far as it can be said unread.

    Raises NotAuthenticated without any proof, NotFound for a token that may not push there, and for
    signed requests what a wrong signature gets: all say the same whether there is such a source.
    """
    row = _access(name)
    is_signed = signature.is_signed(request.headers)
    is_sender = (
        row is not None
        and request.user.is_authenticated
        and row.senders.filter(pk=request.user.pk).exists()
    )
    if row is not None and (is_sender or (is_signed and row.signature == Signature.ENOUGH)):
        needs_signature = row.signature == Signature.REQUIRED or not is_sender
        if needs_signature and not is_signed:
            raise NotAuthenticated("This source wants signed requests.")
        return Admission(
            source=row.source, secrets=list(row.secrets), needs_signature=needs_signature
        )
    if is_signed:
        body = read_body(request._request)  # noqa: SLF001  not the framework's: it parses
        _check(request.headers, body, secrets=[])
    if request.user.is_authenticated:
        raise NotFound("There is no source of this name that this token may push to.")
    raise NotAuthenticated


def _check(headers: Any, body: bytes, *, secrets: Sequence[bytes]) -> str:
    try:
        return signature.check(headers, body, secrets=secrets, now=time.time())
    except signature.BadSignature as exc:
        raise NotAuthenticated(str(exc)) from exc


def _access(name: str) -> PushAccess | None:
    """Files are taken in by a command; nothing can be pushed into one."""
    rows = PushAccess.objects.filter(source__name=name).exclude(source__broker_type="file")
    return rows.select_related("source").first()
