"""Secrets of an Azure Key Vault: `keyvault:NAME` is the secret NAME at PAYFLOW_KEYVAULT_URL.

An extra (requirements/azure.txt). Who may read is decided by Azure: payflow signs in as
azure-identity finds it (managed identity, workload identity, environment, `az login`). A secret is
kept in memory for five minutes, and while the vault does not answer for as long as that lasts, so
that a reconnect neither waits for a vault nor fails by it. It is never written or logged.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from payflow.lib.env import BadEnvironment, read_str

if TYPE_CHECKING:
    from azure.keyvault.secrets import SecretClient

#: a reference; names are Azure's: letters, digits and hyphens
VAULT_REFERENCE: Final = re.compile(r"keyvault:[0-9A-Za-z-]{1,127}\Z")
_KEPT_S: Final = 300.0
#: one question to the vault or to Azure's login: a worker waits for it
_TIMEOUTS: Final = {"connection_timeout": 2, "read_timeout": 5, "retry_total": 1}
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_log = logging.getLogger(__name__)
_lock = threading.Lock()
#: (vault, name) -> when it was read (monotonic seconds), value
_kept: dict[tuple[str, str], tuple[float, str]] = {}


def read_vault_secret(reference: str) -> str:
    """The value of `keyvault:NAME`.

    Raises BadEnvironment, which names the secret and what to do: the address is unset or wrong,
    the extra is not installed, there is no such secret, it may not be read, or nothing answers.
    """
    if not VAULT_REFERENCE.match(reference):
        raise BadEnvironment("keyvault: is followed by a secret's name: letters, digits, hyphens.")
    name = reference.removeprefix("keyvault:")
    vault = vault_url()
    with _lock:  # the first of many threads asks, the others take its answer
        kept = _kept.get((vault, name))
        if kept is not None and time.monotonic() - kept[0] < _KEPT_S:
            return kept[1]
        value = _ask(vault, name, "" if kept is None else kept[1])
        _kept[vault, name] = (time.monotonic(), value)
    return value


def vault_url() -> str:
    """PAYFLOW_KEYVAULT_URL, checked: tokens are sent there, so only https."""
    url = read_str("PAYFLOW_KEYVAULT_URL")
    try:
        parts = urlsplit(url)
        is_good = parts.scheme == "https" and parts.hostname and not parts.username
    except ValueError:
        is_good = False
    if not is_good:
        raise BadEnvironment("PAYFLOW_KEYVAULT_URL must be https://NAME.vault.azure.net.")
    return url.rstrip("/")


@lru_cache(maxsize=1)
def azure_credential() -> Any:
    """How this process signs in to Azure; found once, since looking takes a second off Azure."""
    try:
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415  an extra
    except ImportError as exc:
        raise BadEnvironment("Azure needs the extra: install requirements/azure.txt.") from exc
    return DefaultAzureCredential(**_TIMEOUTS)


def _ask(vault: str, name: str, last: str) -> str:
    """The secret's value; `last`, unless it is empty, while the vault does not answer."""
    client = _client(vault)
    from azure.core.exceptions import (  # noqa: PLC0415  an extra
        AzureError,
        ClientAuthenticationError,
        HttpResponseError,
        ResourceNotFoundError,
    )

    try:
        value = client.get_secret(name).value
    except ResourceNotFoundError:
        raise BadEnvironment(f"The vault {vault} has no secret {name}.") from None
    except ClientAuthenticationError:
        raise BadEnvironment(f"The vault {vault} does not know who asks for {name}.") from None
    except HttpResponseError as exc:
        if exc.status_code is not None and exc.status_code < 500 and exc.status_code != 429:
            text = f"The vault {vault} does not give {name} (HTTP {exc.status_code})."
            raise BadEnvironment(text) from None
        return _last_good(vault, name, last, exc)
    except AzureError as exc:
        return _last_good(vault, name, last, exc)
    except ValueError:  # the challenge names another resource than this host's
        raise BadEnvironment(f"{vault} does not answer like a Key Vault.") from None
    if not value:
        raise BadEnvironment(f"The secret {name} of {vault} is empty.")
    return value


def _last_good(vault: str, name: str, last: str, exc: Exception) -> str:
    if not last:
        text = f"The vault {vault} does not answer, so {name} is unknown ({type(exc).__name__})."
        raise BadEnvironment(text) from None
    _log.warning(
        "the vault does not answer; its last value stays in use",
        extra={"action": "vault_unavailable", "secret": name, "error": type(exc).__name__},
    )
    return last


@lru_cache(maxsize=4)
def _client(vault: str) -> SecretClient:
    credential = azure_credential()
    from azure.keyvault.secrets import SecretClient  # noqa: PLC0415  an extra

    # An emulator's certificate and token name no vault.azure.net.
    is_real = urlsplit(vault).hostname not in _LOOPBACK
    return SecretClient(vault, credential, verify_challenge_resource=is_real, **_TIMEOUTS)
