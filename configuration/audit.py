"""The audit trail: who did what to the configuration, in rows that nobody can change."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User

from configuration.models import AuditEntry, ConfigurationVersion


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
        actor=by, action=action, target=target, version=version, details=details
    )
