"""Azure App Configuration: each setting under a key like `schemas:transaction:v1` is a document.

azure-appconfiguration-provider reads and watches it: a look at what did not change is one request
for each key pattern, answered with 304. It keeps what it has read while the store does not answer.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from configuration.models import ConfigurationVersion
from configuration.remote.found import (
    ENOUGH,
    MAX_DOCUMENTS,
    Found,
    Unreachable,
    found_text,
    key_of,
    without_rivals,
)
from payflow.lib.env import BadEnvironment
from payflow.lib.vault import azure_credential

if TYPE_CHECKING:
    from azure.appconfiguration import ConfigurationSetting
    from azure.appconfiguration.provider import AzureAppConfigurationProvider

#: what is read unless PAYFLOW_APPCONFIG_KEYS says otherwise
DEFAULT_KEYS: Final = ("schemas:*", "metrics:*", "compliance:*")
_KEY: Final = re.compile(
    r"(schemas|metrics|compliance):([A-Za-z0-9][A-Za-z0-9_.-]{0,63}):v([0-9]{1,6})"
)
_KINDS: Final = {
    "schemas": ConfigurationVersion.Kind.SCHEMA,
    "metrics": ConfigurationVersion.Kind.METRICS,
    "compliance": ConfigurationVersion.Kind.COMPLIANCE,
}
#: the rule sets that sources use by default go by these names there
_DEFAULTS: Final = {"metrics:definitions": "default", "compliance:rules": "default"}
#: a setting holds 10 KB: larger documents stand there packed, beginning with gzip's first bytes
_PACKED: Final = "H4sI"
_NO_LABEL: Final = "\0"
#: what a Key Vault reference is read as: a document in a vault would end up in the database
_IN_VAULT: Final = "\0in a vault"


class AppConfiguration:
    """A store, its keys and label. Connects when it is read for the first time."""

    name = "app_configuration"

    def __init__(
        self, address: str, *, label: str = "", keys: Sequence[str] = DEFAULT_KEYS
    ) -> None:
        """`address` is a connection string, or https://NAME.azconfig.io: then Azure's identity."""
        self._address = address
        self._label = label
        self._keys = keys
        self._provider: AzureAppConfigurationProvider | None = None
        label_text = f" (label {label})" if label else ""
        self.title = f"App Configuration {endpoint_of(address)}{label_text}"

    def read(self) -> list[Found]:
        """The documents of the store. Raises Unreachable."""
        from azure.core.exceptions import AzureError  # noqa: PLC0415  an extra

        try:
            if self._provider is None:
                self._provider = self._load()
            else:
                self._provider.refresh()
        except (AzureError, TimeoutError, RuntimeError, ValueError) as exc:
            raise Unreachable(f"{self.title} {_why(exc)}") from exc
        except BadEnvironment as exc:
            raise Unreachable(str(exc)) from exc
        if len(self._provider) > MAX_DOCUMENTS:
            raise Unreachable(f"{self.title} holds more than {MAX_DOCUMENTS} documents")
        return without_rivals(
            [self._found(key, str(value or "")) for key, value in sorted(self._provider.items())]
        )

    def _load(self) -> AzureAppConfigurationProvider:
        from azure.appconfiguration.provider import SettingSelector, load  # noqa: PLC0415  an extra

        if self._address.startswith("https://"):
            where: dict[str, Any] = {"endpoint": self._address, "credential": azure_credential()}
        else:
            where = {"connection_string": self._address}
        label = self._label or _NO_LABEL
        return load(
            **where,
            selects=[SettingSelector(key_filter=key, label_filter=label) for key in self._keys],
            refresh_enabled=True,
            refresh_interval=1,
            # looks for replicas by DNS, which may take longer than all the rest
            replica_discovery_enabled=False,
            configuration_mapper=_as_text,
            secret_resolver=lambda _uri: _IN_VAULT,
            # the next look is the retry
            startup_timeout=0,
            retry_total=0,
            connection_timeout=2,
            read_timeout=5,
        )

    def _found(self, key: str, text: str) -> Found:
        shown = key_of(f"{key} ({self._label})" if self._label else key)
        match = _KEY.fullmatch(key)
        if match is None:
            problem = "no key of a document: those are like schemas:NAME:v1, metrics:NAME:v1"
            return Found(key=shown, problem=problem)
        group, name, number = match.groups()
        name = _DEFAULTS.get(f"{group}:{name}", name)
        if text == _IN_VAULT:
            problem = "refers to Key Vault: a document has to stand in the setting itself"
            return Found(key=shown, kind=_KINDS[group], name=name, problem=problem)
        try:
            data = _unpacked(text)
        except ValueError:
            problem = "is no gzip in base64, though it begins like one"
            return Found(key=shown, kind=_KINDS[group], name=name, problem=problem)
        return found_text(shown, data, kind=_KINDS[group], name=name, number=int(number))


def _unpacked(text: str) -> bytes:
    """The bytes of a value: as they are, or packed with gzip and base64. Raises ValueError.

    Unpacks no more than it takes to know that a document is too large.
    """
    if not text.startswith(_PACKED):
        return text.encode(errors="surrogatepass")
    unpacking = zlib.decompressobj(wbits=31)
    try:
        data = unpacking.decompress(base64.b64decode(text, validate=True), ENOUGH)
    except zlib.error as exc:
        raise ValueError from exc
    if not unpacking.eof and len(data) < ENOUGH:
        raise ValueError
    return data


def endpoint_of(address: str) -> str:
    """The store's host, of a connection string or https address. Raises BadEnvironment."""
    url = address
    if not address.startswith("https://"):
        parts = dict(part.split("=", 1) for part in address.split(";") if "=" in part)
        # the SDK reads the address from the first part
        if not address.startswith("Endpoint=") or not parts.get("Id") or not parts.get("Secret"):
            raise BadEnvironment(
                "PAYFLOW_APPCONFIG must be https://NAME.azconfig.io, or a connection string: "
                "Endpoint=https://NAME.azconfig.io;Id=...;Secret=..."
            )
        url = parts["Endpoint"]
    try:
        host = urlsplit(url).netloc
    except ValueError:
        host = ""
    if not host or "@" in host:
        raise BadEnvironment("PAYFLOW_APPCONFIG names no host.")
    return host


def _as_text(setting: ConfigurationSetting) -> None:
    """Keep a value as it was written, comments and all, whatever its content type says."""
    if setting.content_type is not None and "keyvaultref" not in setting.content_type:
        setting.content_type = None


def _why(exc: BaseException) -> str:
    """In words; never the text of an error, which may repeat what was sent."""
    causes = exc.args[1] if isinstance(exc, TimeoutError) and len(exc.args) > 1 else [exc]
    status = next((s for cause in causes if (s := getattr(cause, "status_code", None))), None)
    if status in (401, 403):
        return f"does not accept the key or identity (HTTP {status})"
    if status:
        return f"answers with HTTP {status}"
    last = causes[-1] if causes else exc
    return f"does not answer ({type(last).__name__})"
