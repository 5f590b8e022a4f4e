"""Secrets by reference: configuration stores `env:NAME` or `keyvault:NAME`, never the value."""

from __future__ import annotations

import re

from django.conf import settings

from payflow.lib.env import BadEnvironment, read_secret
from payflow.lib.vault import VAULT_REFERENCE, read_vault_secret

#: what may stand where a secret is wanted
REFERENCE = re.compile(rf"env:[A-Za-z_][A-Za-z0-9_]*\Z|{VAULT_REFERENCE.pattern}")

#: addresses that settings.py fills in from the embedded servers when the variable is unset
_FROM_SETTINGS = frozenset({"STREAMS_URL"})


def resolve_reference(reference: str) -> str:
    """The value of `env:NAME` (or of NAME_FILE) or of `keyvault:NAME`; other text as it is.

    Raises BadEnvironment, which names the variable or secret, when it cannot be read.
    """
    if not REFERENCE.match(reference):
        return reference
    if VAULT_REFERENCE.match(reference):
        return read_vault_secret(reference)
    name = reference.removeprefix("env:")
    if name not in _FROM_SETTINGS:
        return read_secret(name)
    value = str(getattr(settings, name))
    if not value:
        raise BadEnvironment(f"{name} is not set and no embedded servers were ever started.")
    return value
