"""The audit trail: who did what to the configuration, in rows that nobody can change."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.models import User

from configuration.models import AuditEntry, ConfigurationVersion

#: characters that a row has for what was done to
_MAX_TARGET: Final = 128


def record(
    action: str,
    target: str,
    *,
    by: User | None = None,
    version: ConfigurationVersion | None = None,
    **details: Any,
) -> AuditEntry:
    """Note an action in the transaction that does it; `details` never hold payload or secrets."""
    return AuditEntry.objects.create(
        actor=by, action=action, target=target[:_MAX_TARGET], version=version, details=details
    )
