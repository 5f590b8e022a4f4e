"""Who may do what: shared access signatures, checked as Azure checks them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qs, quote_plus

LISTEN, SEND = "Listen", "Send"
JWT = "a token of azure-identity, for tests"
_ROOT = "RootManageSharedAccessKey"


class Policy(NamedTuple):
    """A shared access policy of the namespace."""

    key: str
    rights: frozenset[str]


def _key(text: str) -> str:
    return base64.b64encode(text.encode().ljust(32, b".")).decode()


POLICIES: Mapping[str, Policy] = {
    _ROOT: Policy(_key("root key of tests"), frozenset({LISTEN, SEND})),
    "listen": Policy(_key("listen key of tests"), frozenset({LISTEN})),
    "send": Policy(_key("send key of tests"), frozenset({SEND})),
}
WRONG_KEY = _key("not the key")


class Refused(Exception):
    """This token opens nothing; the text is Azure's."""


class Grant(NamedTuple):
    """What a token allows."""

    rights: frozenset[str]
    #: Unix time
    until: float


def check(token: str, *, kind: str, audience: str) -> Grant:
    """What this token allows at `audience` (sb://host:port/hub).

    Raises:
        Refused: wrong key, wrong audience, expired, or no token at all.
    """
    if kind == "jwt":
        if token != JWT:
            raise Refused("InvalidSignature: The token has an invalid signature.")
        return Grant(frozenset({LISTEN, SEND}), time.time() + 3600)
    prefix, _, rest = token.partition(" ")
    fields = {name: values[0] for name, values in parse_qs(rest).items()}
    if prefix != "SharedAccessSignature" or not {"sr", "sig", "se"} <= fields.keys():
        raise Refused("MalformedToken: The token is malformed.")
    policy = POLICIES.get(fields.get("skn", ""))
    signed = f"{quote_plus(fields['sr'])}\n{fields['se']}"
    if policy is None or not hmac.compare_digest(_sign(signed, policy.key), fields["sig"]):
        raise Refused("InvalidSignature: The token has an invalid signature.")
    if not audience.lower().startswith(fields["sr"].lower().rstrip("/")):
        raise Refused(
            "InvalidAudience: The authorization header contains a token with a wrong audience."
        )
    if not fields["se"].isdecimal() or int(fields["se"]) < time.time():
        raise Refused("ExpiredToken: The token is expired.")
    return Grant(policy.rights, float(fields["se"]))


def _sign(text: str, key: str) -> str:
    digest = hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def connection_string(
    endpoint: str, hub: str, *, policy: str = _ROOT, key_ok: bool = True, emulator: bool = True
) -> str:
    """As the portal shows it; `emulator` makes the SDK speak without TLS to the port it names."""
    key = POLICIES[policy].key if key_ok else WRONG_KEY
    text = (
        f"Endpoint=sb://{endpoint}/;SharedAccessKeyName={policy};SharedAccessKey={key};"
        f"EntityPath={hub}"
    )
    return f"{text};UseDevelopmentEmulator=true" if emulator else text
