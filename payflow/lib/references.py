"""Secrets by reference: configuration stores `env:NAME`, whoever connects reads the value."""

from __future__ import annotations

import re

from django.conf import settings

from payflow.lib.env import BadEnvironment, read_secret

#: the one form there is now
REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*\Z")

#: addresses that settings.py fills in from the embedded servers when the variable is unset
_FROM_SETTINGS = frozenset({"STREAMS_URL"})


def resolve_reference(reference: str) -> str:
    """The value of `env:NAME` (or of NAME_FILE); any other text is returned as it is.

    Raises BadEnvironment, which names the variable, when it is not set.
    """
    if not REFERENCE.match(reference):
        return reference
    name = reference.removeprefix("env:")
    if name not in _FROM_SETTINGS:
        return read_secret(name)
    value = str(getattr(settings, name))
    if not value:
        raise BadEnvironment(f"{name} is not set and no embedded servers were ever started.")
    return value
