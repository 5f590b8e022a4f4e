"""A source is opened for HTTP, changed and closed by people, each time with a line in the trail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from django.contrib.auth.models import User
from django.db import transaction

from configuration import audit
from configuration.models import Source
from ingestion.push.models import PushAccess

#: one, and the next one while senders change to it
MAX_SECRETS: Final = 2


@transaction.atomic
def open_source(
    source: Source,
    *,
    senders: Iterable[User],
    signature: str,
    secrets: Sequence[str],
    by: User,
) -> PushAccess:
    """Let these senders push from now on; what was said before is replaced."""
    # one row a source: two people who save at once are one after the other
    Source.objects.select_for_update().get(pk=source.pk)
    access, is_new = PushAccess.objects.update_or_create(
        source=source, defaults={"signature": signature, "secrets": list(secrets)}
    )
    chosen = sorted(senders, key=User.get_username)
    access.senders.set(chosen)
    audit.record(
        "opened for HTTP" if is_new else "changed HTTP of",
        source.name,
        by=by,
        senders=[sender.get_username() for sender in chosen],
        signature=PushAccess.Signature(signature).label,
        secrets=list(secrets),
    )
    return access


@transaction.atomic
def close_source(source: Source, *, by: User) -> None:
    """Refuse every push from now on; what was pushed stays."""
    deleted, _ = PushAccess.objects.filter(source=source).delete()
    if deleted:
        audit.record("closed for HTTP", source.name, by=by)
