"""Secrets by reference: configuration stores `env:NAME` or `keyvault:NAME`, never the value."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from typing import Final

from django.conf import settings

from payflow.lib.env import BadEnvironment, read_secret
from payflow.lib.vault import VAULT_REFERENCE, read_vault_secret

#: what may stand where a secret is wanted
REFERENCE = re.compile(rf"env:[A-Za-z_][A-Za-z0-9_]*\Z|{VAULT_REFERENCE.pattern}")

#: variables that hold secrets of payflow itself: who may write the settings of a source could have
#: them sent to a broker of their own
OWN: Final = frozenset(
    {
        "AZURE_CLIENT_CERTIFICATE_PASSWORD",
        "AZURE_CLIENT_SECRET",
        "AZURE_PASSWORD",
        "DATABASE_URL",
        "DJANGO_SECRET_KEY",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "PAYFLOW_ADMIN_PASSWORD",
        "PAYFLOW_APPCONFIG",
        "PAYFLOW_METRICS_TOKEN",
        "PAYFLOW_RULES_STORAGE",
        "PAYFLOW_SCRUB_KEY",
        "PGPASSWORD",
        "REDIS_URL",
        "STREAMS_URL",
    }
)
#: addresses that settings.py fills in from the embedded servers when the variable is unset
_FROM_SETTINGS = frozenset({"STREAMS_URL"})


def is_own(reference: str) -> bool:
    """Whether a reference leads to a secret of payflow itself, by its variable or in the vault."""
    if not REFERENCE.match(reference):
        return False
    if reference.removeprefix("env:") in OWN:
        return True
    return any(os.environ.get(name, "").strip() == reference for name in OWN)


def resolve_reference(reference: str, *, own: Collection[str] = ()) -> str:
    """The value of `env:NAME` (or of NAME_FILE) or of `keyvault:NAME`; other text as it is.

    `own`: references to payflow's own variables that may stand here, too. Raises BadEnvironment,
    which names the variable or secret, when it cannot be read or is another of payflow's own.
    """
    if not REFERENCE.match(reference):
        return reference
    if is_own(reference) and reference not in own:
        raise BadEnvironment(f"{reference} is a secret of payflow itself: no source may have it.")
    if VAULT_REFERENCE.match(reference):
        return read_vault_secret(reference)
    name = reference.removeprefix("env:")
    if name not in _FROM_SETTINGS:
        return read_secret(name)
    value = str(getattr(settings, name))
    if not value:
        raise BadEnvironment(f"{name} is not set and no embedded servers were ever started.")
    return value
