"""The settings of a source on Azure Event Hubs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ingestion.sources.settings import SettingsReader
from payflow.lib.references import REFERENCE

TRANSPORTS = ("amqp", "websockets")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)+\Z")
#: Azure's public and national clouds, private endpoints too: a token of our identity is shown there
_AZURE = (
    ".servicebus.windows.net",
    ".servicebus.chinacloudapi.cn",
    ".servicebus.usgovcloudapi.net",
)
_NAME = re.compile(r"[\w.-]+\Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventHubsSettings:
    """Which hub, and how it is reached."""

    #: a reference (env:NAME or keyvault:NAME); empty when `namespace` is given
    connection_string: str
    #: host name, entered as azure-identity finds us; empty when `connection_string` is given
    namespace: str
    hub: str
    consumer_group: str
    #: milliseconds a batch waits for more after its first message
    linger_ms: int
    #: amqp: port 5671; websockets: port 443, for networks that let nothing else out
    transport: str


def parse_settings(settings: Mapping[str, Any]) -> EventHubsSettings:
    """connection_string or namespace, hub, consumer_group, linger_ms (20..5000), transport."""
    reader = SettingsReader(settings)
    parsed = EventHubsSettings(
        connection_string=reader.optional_text("connection_string"),
        namespace=reader.optional_text("namespace", max_length=256),
        hub=reader.text("hub", max_length=256),
        consumer_group=reader.text("consumer_group", default="$Default", max_length=50),
        linger_ms=reader.number("linger_ms", default=100, minimum=20, maximum=5000),
        transport=reader.choice("transport", default="amqp", choices=TRANSPORTS),
    )
    _check_who(reader, settings)
    if parsed.connection_string and not REFERENCE.match(parsed.connection_string):
        rule = "it holds a key, so it must be a reference: env:NAME or keyvault:NAME"
        reader.refuse("connection_string", rule, secret=True)
    is_azure = _HOST.match(parsed.namespace) and parsed.namespace.lower().endswith(_AZURE)
    if parsed.namespace and not is_azure:
        reader.refuse("namespace", f"it must be a host name, NAME{' or NAME'.join(_AZURE)}")
    if parsed.hub and not _NAME.match(parsed.hub):
        reader.refuse("hub", "it must be of letters, digits and . _ -")
    if parsed.consumer_group != "$Default" and not _NAME.match(parsed.consumer_group):
        reader.refuse("consumer_group", "it must be $Default or of letters, digits and . _ -")
    reader.finish()
    return parsed


def _check_who(reader: SettingsReader, settings: Mapping[str, Any]) -> None:
    given = [name for name in ("connection_string", "namespace") if settings.get(name) is not None]
    if len(given) == 2:
        rule = "give it or connection_string, which names a namespace itself"
        reader.refuse("namespace", rule)
    elif not given:
        rule = "give it (env:NAME), or namespace to enter by azure-identity"
        reader.refuse("connection_string", rule)
