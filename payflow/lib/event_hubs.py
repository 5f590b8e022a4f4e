"""What reading from and writing to an event hub share: the address, who we are, what errors mean.

The SDK is an extra (requirements/azure.txt) and is imported when a client is made, never before:
clients belong to the process that made them, so nothing of it may exist before a worker forks.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeVar

from payflow.lib.env import BadEnvironment
from payflow.lib.errors import SourceUnavailable
from payflow.lib.references import resolve_reference
from payflow.lib.vault import azure_credential

AMQPS_PORT: Final = 5671
EMULATOR_PORT: Final = 5672
WEBSOCKET_PORT: Final = 443
#: a TLS handshake: the SDK itself would wait for ever for a peer that says nothing
HANDSHAKE_S: Final = 5.0
#: the SDK's own tries again are short: whoever calls waits, counts and says so
_POLICY: Final = {"retry_total": 0, "auth_timeout": 10.0}

#: ids that Azure adds to its sentences, and what its clients add before them
_NOISE: Final = re.compile(
    r"^Failed to initiate the connection due to exception: (?:\[Errno -?\d+\] )?"
    r"|^\[Errno -?\d+\] "
    r"|^CBS Token authentication failed\.\s*Status code: \d+\s*Description: "
    r"|\s*To know more visit \S+"
    r"|\s*(?:TrackingId|Reference|SystemTracker)\s*:.*",
    re.DOTALL,
)
_EXPLAINED: Final = (
    (b"server-busy", "the namespace is throttled: it wants more throughput units, or patience"),
    (b"amqp:unauthorized-access", "the key or the identity is refused"),
    (b"amqp:not-found", "no such hub, partition or consumer group"),
    (b"amqp:resource-limit-exceeded", "a quota of the namespace is used up"),
    (b"amqp:link:message-size-exceeded", "a message is larger than the hub takes"),
)
#: classes of the SDK and of azure-identity that say so
_REFUSED: Final = frozenset(
    {"TokenAuthFailure", "AuthenticationException", "ClientAuthenticationError"}
    | {"CredentialUnavailableError"}
)

C = TypeVar("C")


class HubTarget(Protocol):
    """The part of an `event_hubs` source's settings that names the hub."""

    @property
    def connection_string(self) -> str:
        """A reference; empty when a namespace is named."""

    @property
    def namespace(self) -> str:
        """Host name of the namespace, read as azure-identity finds us; or empty."""

    @property
    def hub(self) -> str:
        """Name of the hub."""

    @property
    def transport(self) -> str:
        """`amqp` (port 5671) or `websockets` (port 443)."""


class _PatientContext(ssl.SSLContext):
    """Certificates are verified as everywhere, and a handshake ends in time."""

    def wrap_socket(self, sock: socket.socket, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        before = sock.gettimeout()
        sock.settimeout(HANDSHAKE_S)
        secured = super().wrap_socket(sock, *args, **kwargs)
        secured.settimeout(before)
        return secured


def tls_context() -> ssl.SSLContext:
    """Trusts what the system (or SSL_CERT_FILE) and certifi trust."""
    import certifi  # noqa: PLC0415  comes with the extra

    context = _PatientContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    context.load_verify_locations(certifi.where())
    return context


def parse_connection_string(text: str) -> dict[str, str]:
    """Its parts, names in lower case; raises BadEnvironment, whose text wants a subject."""
    parts = {}
    for part in filter(None, text.strip().split(";")):
        name, _, value = part.partition("=")
        parts[name.strip().lower()] = value.strip()
    is_signed = parts.get("sharedaccesskeyname") and parts.get("sharedaccesskey")
    if not parts.get("endpoint", "").lower().startswith("sb://") or not (
        is_signed or parts.get("sharedaccesssignature")
    ):
        raise BadEnvironment(
            "holds no connection string of Event Hubs: "
            "Endpoint=sb://NAME.servicebus.windows.net/;SharedAccessKeyName=..;SharedAccessKey=.."
        )
    return parts


def endpoint_of(target: HubTarget) -> tuple[str, int, bool]:
    """Host, port and whether TLS is spoken there. Raises BadEnvironment."""
    host, is_emulator = target.namespace, False
    if target.connection_string:
        parts = _read_connection_string(target)
        host = parts["endpoint"][len("sb://") :].strip("/")
        is_emulator = parts.get("usedevelopmentemulator") == "true"
    name, _, port = host.partition(":")
    default = EMULATOR_PORT if is_emulator else AMQPS_PORT
    if target.transport == "websockets":
        default = WEBSOCKET_PORT
    return name, int(port) if port.isdecimal() else default, not is_emulator


def make_client(client: type[C], target: HubTarget, **options: Any) -> C:
    """A consumer or producer client of the SDK, not connected yet; raises SourceUnavailable."""
    from azure.eventhub import TransportType  # noqa: PLC0415  an extra

    transports = {
        "amqp": TransportType.Amqp,
        "websockets": TransportType.AmqpOverWebsocket,
    }
    options |= {
        **_POLICY,
        "eventhub_name": target.hub,
        "transport_type": transports[target.transport],
        "ssl_context": tls_context(),
        "user_agent": "payflow",
    }
    maker: Any = client
    try:
        host, port, is_tls = endpoint_of(target)
        if port not in (AMQPS_PORT, WEBSOCKET_PORT) and (is_tls or target.transport != "amqp"):
            # The SDK takes a port from the address itself only for an emulator without WebSockets.
            options["custom_endpoint_address"] = f"sb://{host}:{port}"
        if target.connection_string:
            text = resolve_reference(target.connection_string)
            made: C = maker.from_connection_string(text, **options)
            return made
        made = maker(
            fully_qualified_namespace=target.namespace, credential=azure_credential(), **options
        )
    except BadEnvironment as exc:
        raise SourceUnavailable(f"Hub {target.hub}: {exc}") from exc
    except ValueError:  # its text may repeat the connection string
        raise SourceUnavailable(
            f"Hub {target.hub}: what {target.connection_string} stands for is no connection string."
        ) from None
    return made


def need_sdk() -> None:
    """Raises SourceUnavailable, which names the extra, when it is not installed."""
    try:
        import azure.eventhub  # noqa: F401, PLC0415  an extra
    except ImportError as exc:
        raise SourceUnavailable(
            "Event Hubs needs the extra: install requirements/azure.txt."
        ) from exc


def explain(exc: BaseException) -> str:
    """What went wrong, in a sentence for people, without ids that only Azure's support can use."""
    condition = condition_of(exc)
    detail = _NOISE.sub("", _text(exc)).replace("\n", " ").strip(" .")[:300]
    for known, words in _EXPLAINED:
        if known in condition:
            return f"{words} ({detail or condition.decode()})"
    if getattr(exc, "status_code", None) == 404:
        return f"no such hub ({detail})"
    if type(exc).__name__ in _REFUSED:
        return f"the key or the identity is refused ({detail})"
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    return detail or type(exc).__name__


def condition_of(exc: BaseException | None) -> bytes:
    """The name of an AMQP error, e.g. b"amqp:link:stolen"; b"" when it is none."""
    condition = getattr(exc, "condition", b"")
    value = getattr(condition, "value", condition)
    return value if isinstance(value, bytes) else b""


def _text(exc: BaseException) -> str:
    description = getattr(exc, "description", None) or getattr(exc, "message", None) or str(exc)
    return (
        description.decode(errors="replace") if isinstance(description, bytes) else str(description)
    )


def _read_connection_string(target: HubTarget) -> Mapping[str, str]:
    text = resolve_reference(target.connection_string)
    try:
        parts = parse_connection_string(text)
    except BadEnvironment as exc:
        raise BadEnvironment(f"{target.connection_string} {exc}") from exc
    named = parts.get("entitypath", target.hub)
    if named.lower() != target.hub.lower():
        raise BadEnvironment(
            f"{target.connection_string} holds the connection string of another hub, {named}."
        )
    return parts
