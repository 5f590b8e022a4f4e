"""The settings of a source on Kafka, and which of them go together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ingestion.sources.settings import SettingsReader
from payflow.lib.kafka import (
    CONSUMER_PROPERTIES,
    PRODUCER_PROPERTIES,
    SECRET_PROPERTIES,
    SHARED_PROPERTIES,
    client_configuration,
)
from payflow.lib.references import REFERENCE, is_own

PROTOCOLS: Final = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
GAPS: Final = ("auto", "stop", "allow")
DEFAULT_PORT: Final = 9092

_SERVER = re.compile(r"(\[[0-9A-Fa-f:]+\]|[\w.-]+)(:(\d{1,5}))?", re.ASCII)
_EVENT_HUBS: Final = ".servicebus.windows.net"
_ALLOWED: Final = SHARED_PROPERTIES | CONSUMER_PROPERTIES | PRODUCER_PROPERTIES
#: a client needs one that answers
_MAX_SERVERS: Final = 32
_OAUTH: Final = "sasl.oauthbearer."
#: our secret is sent there
_TOKEN_URL: Final = re.compile(r"https://[^@\s]+")
#: whoever publishes waits so long for a broker that is away, also a request over HTTP; 0: for ever
_WAIT: Final = "message.timeout.ms"
_MAX_WAIT_MS: Final = 30_000
_OWN: Final = "it is a secret of payflow itself"

#: why a property that people would try is not passed on
_WHY_NOT: Final = {
    "acks": "payflow waits until every in-sync replica has a message",
    "allow.auto.create.topics": "a misspelt topic would be made instead of being reported",
    "auto.offset.reset": "payflow never jumps: it stops a partition whose position is gone",
    "bootstrap.servers": "it is the setting bootstrap_servers",
    "debug": "it would write what is sent, payloads and credentials included, to the log",
    "enable.auto.commit": "payflow keeps its position in its own database",
    "enable.auto.offset.store": "payflow keeps its position in its own database",
    "enable.idempotence": "payflow always publishes with it",
    "group.id": "it is the setting group_id",
    "isolation.level": "payflow reads what was committed, and nothing else",
    "partition.assignment.strategy": "payflow assigns partitions by its own leases",
    "plugin.library.paths": "it would load code",
    "sasl.mechanism": "it is the setting sasl_mechanism",
    "sasl.mechanisms": "it is the setting sasl_mechanism",
    "sasl.password": "it is the setting sasl_password",
    "sasl.username": "it is the setting sasl_username",
    "security.protocol": "it is the setting security_protocol",
    "ssl.ca.location": "it is the setting ssl_ca",
    "ssl.certificate.location": "it is the setting ssl_certificate",
    "ssl.key.location": "it is the setting ssl_key",
    "ssl.key.password": "it is the setting ssl_key_password",
}


#: Messages and kilobytes that librdkafka fetches ahead. It counts bodies only, and each message
#: costs it some 400 bytes more: that is what bounds the number.
QUEUE_MESSAGES: Final = 20_000
QUEUE_KB: Final = 16 * 1024
#: One answer to a fetch, of all partitions of one broker; of one partition about one batch, so that
#: it need not be gathered from many answers.
FETCH_BYTES: Final = 16 * 2**20
FETCH_BYTES_A_PARTITION: Final = 6 * 2**20
_CONSUMER: Final = {
    "auto.offset.reset": "error",
    "check.crcs": True,
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "fetch.max.bytes": FETCH_BYTES,
    # the default of 1 s stalls a reader that empties the queue faster than that
    "fetch.queue.backoff.ms": 10,
    "fetch.wait.max.ms": 100,
    "isolation.level": "read_committed",
    "max.partition.fetch.bytes": FETCH_BYTES_A_PARTITION,
    "queued.max.messages.kbytes": QUEUE_KB,
    "queued.min.messages": QUEUE_MESSAGES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """Which topic of which cluster, and how to get there; "" is what is not used."""

    bootstrap_servers: str
    topic: str
    #: for lag tools only; "" stands for payflow-<source>
    group_id: str = ""
    security_protocol: str = "plaintext"
    sasl_mechanism: str = ""
    sasl_username: str = ""
    #: a reference
    sasl_password: str = ""
    #: paths of PEM files
    ssl_ca: str = ""
    ssl_certificate: str = ""
    ssl_key: str = ""
    #: a reference
    ssl_key_password: str = ""
    #: offsets missing in the middle of a partition: auto (stop if the topic is compacted, as then
    #: messages are gone; else they are marks of transactions), stop, allow
    gaps: str = "auto"
    #: milliseconds a batch waits for more after its first message
    linger_ms: int = 100
    properties: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    @property
    def servers(self) -> list[tuple[str, int]]:
        """(host, port) of each bootstrap server."""
        return _servers(self.bootstrap_servers) or []

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.security_protocol in ("ssl", "sasl_ssl")

    @property
    def uses_sasl(self) -> bool:
        """Whether we say who we are by SASL."""
        return self.security_protocol.startswith("sasl_")


def parse_settings(settings: Mapping[str, Any]) -> KafkaSettings:
    """bootstrap_servers and topic are needed; every bad field and bad combination is named."""
    reader = SettingsReader(settings)
    parsed = KafkaSettings(
        bootstrap_servers=reader.text("bootstrap_servers", max_length=4096),
        topic=reader.text("topic", max_length=249),
        group_id=reader.optional_text("group_id", max_length=249),
        security_protocol=reader.choice(
            "security_protocol", default="plaintext", choices=PROTOCOLS
        ),
        sasl_mechanism=reader.choice("sasl_mechanism", default="", choices=MECHANISMS)
        if "sasl_mechanism" in settings
        else reader.optional_text("sasl_mechanism"),
        sasl_username=reader.optional_text("sasl_username"),
        sasl_password=reader.optional_text("sasl_password"),
        ssl_ca=reader.optional_text("ssl_ca", max_length=4096),
        ssl_certificate=reader.optional_text("ssl_certificate", max_length=4096),
        ssl_key=reader.optional_text("ssl_key", max_length=4096),
        ssl_key_password=reader.optional_text("ssl_key_password"),
        gaps=reader.choice("gaps", default="auto", choices=GAPS),
        linger_ms=reader.number("linger_ms", default=100, minimum=20, maximum=5000),
        properties=reader.mapping("properties"),
    )
    _check_names(reader, parsed)
    _check_secrets(reader, parsed)
    _check_sasl(reader, parsed)
    _check_tls(reader, parsed)
    _check_properties(reader, parsed.properties)
    reader.finish()
    return parsed


def consumer_configuration(settings: KafkaSettings, *, source: str) -> dict[str, Any]:
    """For librdkafka; SourceUnavailable when a reference leads to no secret."""
    return {
        **_CONSUMER,
        "group.id": settings.group_id or f"payflow-{source}",
        **client_configuration(settings, properties=CONSUMER_PROPERTIES),
    }


def _servers(text: str) -> list[tuple[str, int]] | None:
    """(host, port) of a list like "a:9092,b"; None when it is none."""
    servers = []
    for entry in text.split(","):
        match = _SERVER.fullmatch(entry.strip())
        if match is None or not 1 <= int(match[3] or DEFAULT_PORT) <= 65535:
            return None
        servers.append((match[1].strip("[]"), int(match[3] or DEFAULT_PORT)))
    return servers


def _check_names(reader: SettingsReader, parsed: KafkaSettings) -> None:
    if parsed.bootstrap_servers and not parsed.servers:
        # Not repeated: people paste whole connection strings here.
        reader.refuse(
            "bootstrap_servers", "it must be host:port, or several with commas", secret=True
        )
    if len(parsed.servers) > _MAX_SERVERS:
        rule = f"it must be at most {_MAX_SERVERS} servers"
        reader.refuse("bootstrap_servers", rule, secret=True)
    if parsed.topic and not (
        re.fullmatch(r"[A-Za-z0-9._-]+", parsed.topic) and parsed.topic not in (".", "..")
    ):
        reader.refuse("topic", "it must be of letters, digits and . _ -")
    is_hubs = [server for server in parsed.servers if server[0].lower().endswith(_EVENT_HUBS)]
    if any(port != 9093 for _, port in is_hubs):
        reader.refuse("bootstrap_servers", "Event Hubs speaks Kafka on port 9093 only")
    if is_hubs and parsed.security_protocol != "sasl_ssl":
        reader.refuse("security_protocol", "Event Hubs takes sasl_ssl only")


def _check_secrets(reader: SettingsReader, parsed: KafkaSettings) -> None:
    for name in ("sasl_password", "ssl_key_password"):
        value = getattr(parsed, name)
        if value and not REFERENCE.match(value):
            reader.refuse(name, "it must be env:NAME or keyvault:NAME", secret=True)
        elif is_own(value):
            reader.refuse(name, _OWN, secret=True)


def _check_sasl(reader: SettingsReader, parsed: KafkaSettings) -> None:
    given = [
        name
        for name in ("sasl_mechanism", "sasl_username", "sasl_password")
        if getattr(parsed, name)
    ]
    if not parsed.uses_sasl:
        for name in given:
            reader.refuse(
                name, "it needs security_protocol sasl_ssl or sasl_plaintext", secret=True
            )
        return
    if not parsed.sasl_mechanism:
        reader.refuse(
            "sasl_mechanism",
            f"{parsed.security_protocol} needs one of {', '.join(MECHANISMS)}",
        )
    elif parsed.sasl_mechanism == "OAUTHBEARER":
        _check_oauth(reader, parsed)
    else:
        for name in ("sasl_username", "sasl_password"):
            if name not in given:
                reader.refuse(name, f"{parsed.sasl_mechanism} needs it")


def _check_oauth(reader: SettingsReader, parsed: KafkaSettings) -> None:
    for name in ("sasl_username", "sasl_password"):
        if getattr(parsed, name):
            reader.refuse(name, "OAUTHBEARER has none", secret=True)
    for name in ("client.id", "client.secret", "token.endpoint.url"):
        if _OAUTH + name not in parsed.properties:
            message = f"{_OAUTH}{name} is missing; OAUTHBEARER needs it."
            reader.refuse_inside("properties", _OAUTH + name, message)
    url = parsed.properties.get(f"{_OAUTH}token.endpoint.url")
    if url is not None and not _TOKEN_URL.fullmatch(str(url)):
        message = f"{_OAUTH}token.endpoint.url must be https://.. without a user."
        reader.refuse_inside("properties", f"{_OAUTH}token.endpoint.url", message)
    if parsed.properties.get(f"{_OAUTH}method") != "oidc":
        message = f"{_OAUTH}method must be oidc: payflow gets its tokens from an OIDC server."
        reader.refuse_inside("properties", f"{_OAUTH}method", message)


def _check_tls(reader: SettingsReader, parsed: KafkaSettings) -> None:
    given = [
        name
        for name in ("ssl_ca", "ssl_certificate", "ssl_key", "ssl_key_password")
        if getattr(parsed, name)
    ]
    if not parsed.uses_tls:
        for name in given:
            reader.refuse(name, "it needs security_protocol ssl or sasl_ssl", secret=True)
        return
    if parsed.ssl_certificate and not parsed.ssl_key:
        reader.refuse("ssl_key", "ssl_certificate needs its key")
    if parsed.ssl_key and not parsed.ssl_certificate:
        reader.refuse("ssl_certificate", "ssl_key needs its certificate")
    if parsed.ssl_key_password and not parsed.ssl_key:
        reader.refuse("ssl_key", "ssl_key_password needs it")


def _check_properties(reader: SettingsReader, properties: Mapping[str, Any]) -> None:
    for name, value in properties.items():
        if name not in _ALLOWED:
            why = _WHY_NOT.get(name, f"payflow passes on {', '.join(sorted(_ALLOWED))}")
            reader.refuse_inside("properties", name, f"{name} is refused; {why}.")
        elif name in SECRET_PROPERTIES and not (isinstance(value, str) and REFERENCE.match(value)):
            message = f"{name} is refused; it must be env:NAME or keyvault:NAME."
            reader.refuse_inside("properties", name, message)
        elif name in SECRET_PROPERTIES and is_own(str(value)):
            reader.refuse_inside("properties", name, f"{name} is refused; {_OWN}.")
        elif name == _WAIT and not (type(value) is int and 1 <= value <= _MAX_WAIT_MS):
            message = f"{name} is refused; it must be a whole number from 1 to {_MAX_WAIT_MS:,}."
            reader.refuse_inside("properties", name, message)
        elif not isinstance(value, str | int | float) or value == "":
            message = f"{name} is refused; it must be a text, a number, true or false."
            reader.refuse_inside("properties", name, message)
