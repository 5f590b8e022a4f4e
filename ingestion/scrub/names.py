"""What fields with CVV and track data are called."""

from __future__ import annotations

import re
from functools import lru_cache

_SUFFIX = rb"(?:code|value|number|num|no|data)?"
#: compared with a key in lower case without separators; flags such as has_cvv say nothing secret
_CVV = re.compile(
    rb"(?!(?:has|is|no|with|requires?|needs?|checks?|valid)(?:card)?(?:cv|csc|security))(?:.*(?:cvv|cvc|cvn|cvd)2?"
    rb"|(?:credit|debit|payment)?(?:card|cc)?(?:csc|securitycode)"
    rb"|.*cardverification(?:value|code|number|no|data)?2?|verificationvalue)" + _SUFFIX
)
_TRACK = re.compile(
    rb"(?:card)?(?:track[123](?:equivalent)?|track(?:equivalent)?data"
    rb"|track[123]?equivalentdata|mag(?:netic)?stripe)" + _SUFFIX
)
_SEPARATORS = bytes(i for i in range(256) if not chr(i).isalnum() or i > 127)
_LOWER = bytes(range(256)).lower()

_LONGEST_NAME = 100  # bytes; also bounds the cache

_PIN_SIZED = re.compile(rb"\s*[0-9]{3,4}\s*")
_TRACK_LIKE = re.compile(rb"\s*[%;]|.*(?:[0-9][ -]?){12}|.*\^", re.DOTALL)


@lru_cache(maxsize=4096)
def secret_kind(name: bytes) -> str:
    """`cvv`, `track`, `maybe_cvv`, `maybe_track` or an empty string for a field of this name.

    `cid` is Amex's CVV but far more often a customer's id, and `track` may be a song: such a field
    counts only when its value looks the part (`looks_secret`).
    """
    if len(name) > _LONGEST_NAME:
        return ""
    plain = name.translate(_LOWER, _SEPARATORS)
    if _CVV.fullmatch(plain):
        return "cvv"
    if _TRACK.fullmatch(plain):
        return "track"
    return {b"cid": "maybe_cvv", b"cardcid": "cvv", b"track": "maybe_track"}.get(plain, "")


def looks_secret(kind: str, value: bytes) -> bool:
    """Whether the text of a value fits a `maybe_` kind."""
    pattern = _PIN_SIZED if kind == "maybe_cvv" else _TRACK_LIKE
    return (pattern.fullmatch if kind == "maybe_cvv" else pattern.match)(value) is not None
