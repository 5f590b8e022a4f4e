"""Signatures of requests as Standard Webhooks has them (version v1, HMAC-SHA256).

    webhook-id: msg_2KWPBgLlAfxdpx2AI54pPJ85f4W
    webhook-timestamp: 1674087231
    webhook-signature: v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4= v1,...

Signed is `id.timestamp.body`, the body as it was sent (packed, where it is packed).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from payflow.lib.env import BadEnvironment
from payflow.lib.errors import PayflowError
from payflow.lib.references import resolve_reference

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
#: seconds that the sender's clock may differ from ours, both ways
TOLERANCE_S: Final = 300
#: a secret is this and base64
PREFIX: Final = "whsec_"
#: bytes of a secret
_MIN_SECRET: Final = 24
#: signatures that are looked at: two secrets while they change, and some of other versions
_MAX_SIGNATURES: Final = 10
_MAX_DIGITS: Final = 12


class BadSignature(PayflowError):
    """The request is not signed as it should be."""


def is_signed(headers: Mapping[str, str]) -> bool:
    """Whether a request says that it is: what it says is for `check`."""
    return SIGNATURE in headers


def check(headers: Mapping[str, str], body: bytes, *, secrets: Sequence[bytes], now: float) -> str:
    """The webhook-id of a request that one of the secrets has signed. Raises BadSignature.

    `now` is seconds since 1970. All signatures are compared with all secrets, in constant time.
    """
    said, moment = headers.get(ID, ""), headers.get(TIMESTAMP, "")
    if not said or not moment:
        raise BadSignature(f"A signed request has {ID}, {TIMESTAMP} and {SIGNATURE}.")
    if not (moment.isascii() and moment.isdecimal() and len(moment) <= _MAX_DIGITS):
        raise BadSignature(f"{TIMESTAMP} is whole seconds since 1970.")
    if abs(now - int(moment)) > TOLERANCE_S:
        raise BadSignature(f"{TIMESTAMP} is more than {TOLERANCE_S} seconds from the time here.")
    signed = b".".join([said.encode(), moment.encode(), body])
    wanted = [sign(secret, signed) for secret in secrets]
    given = headers.get(SIGNATURE, "").split(" ")[:_MAX_SIGNATURES]
    matches = [hmac.compare_digest(own.encode(), each.encode()) for own in wanted for each in given]
    if not any(matches):
        raise BadSignature("No signature of the request is right.")
    return said


def sign(secret: bytes, signed: bytes) -> str:
    """`v1,` and the signature of `id.timestamp.body`."""
    digest = hmac.new(secret, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def read_secrets(references: Sequence[str]) -> list[bytes]:
    """The secrets behind references (`env:NAME`, `keyvault:NAME`).

    Raises BadEnvironment, which names the reference, when one cannot be read or is none.
    """
    return [_secret(reference) for reference in references]


def _secret(reference: str) -> bytes:
    value = resolve_reference(reference)
    rule = f"{reference} must be {PREFIX} and at least {_MIN_SECRET} bytes in base64."
    if not value.startswith(PREFIX):
        raise BadEnvironment(rule)
    try:
        secret = base64.b64decode(value.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise BadEnvironment(rule) from None
    if len(secret) < _MIN_SECRET:
        raise BadEnvironment(rule)
    return secret
