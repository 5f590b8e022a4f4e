"""Kafka as payflow uses it: what both ends tell librdkafka, and what it tells us of troubles."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin._metadata import ClusterMetadata

from payflow.lib.env import BadEnvironment
from payflow.lib.errors import SourceUnavailable
from payflow.lib.references import resolve_reference

#: what librdkafka itself has to say, e.g. of connections that failed
library_logger = logging.getLogger("payflow.librdkafka")

#: how long a broker may take for one answer, and for a connection
SOCKET_TIMEOUT_MS: Final = 10_000
CONNECT_TIMEOUT_MS: Final = 5_000

#: seconds of one try to reach a cluster, and after which it is given up when nobody listens
_SLICE_S: Final = 0.5
_REFUSAL_S: Final = 1.0

#: Properties of librdkafka that a source's `properties` may set, and which end they are for.
SHARED_PROPERTIES: Final = frozenset(
    {
        "broker.address.family",
        "broker.address.ttl",
        "client.dns.lookup",
        "client.id",
        "client.rack",
        "connections.max.idle.ms",
        "enable.ssl.certificate.verification",
        "message.max.bytes",
        "metadata.max.age.ms",
        "receive.message.max.bytes",
        "reconnect.backoff.max.ms",
        "reconnect.backoff.ms",
        "sasl.oauthbearer.client.id",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.extensions",
        "sasl.oauthbearer.method",
        "sasl.oauthbearer.scope",
        "sasl.oauthbearer.token.endpoint.url",
        "socket.connection.setup.timeout.ms",
        "socket.keepalive.enable",
        "socket.nagle.disable",
        "socket.receive.buffer.bytes",
        "socket.send.buffer.bytes",
        "socket.timeout.ms",
        "ssl.cipher.suites",
        "ssl.curves.list",
        "ssl.endpoint.identification.algorithm",
    }
)
CONSUMER_PROPERTIES: Final = frozenset(
    {
        "check.crcs",
        "fetch.error.backoff.ms",
        "fetch.max.bytes",
        "fetch.min.bytes",
        "fetch.wait.max.ms",
        "max.partition.fetch.bytes",
        "queued.max.messages.kbytes",
        "queued.min.messages",
    }
)
PRODUCER_PROPERTIES: Final = frozenset(
    {
        "batch.num.messages",
        "batch.size",
        "compression.level",
        "compression.type",
        "linger.ms",
        "message.timeout.ms",
        "partitioner",
        "queue.buffering.max.kbytes",
        "queue.buffering.max.messages",
    }
)
#: properties whose value is a secret, so that only a reference may stand there
SECRET_PROPERTIES: Final = frozenset({"sasl.oauthbearer.client.secret"})

#: what the library adds about itself: other words at each attempt for the same trouble
_STATE: Final = re.compile(r" \(after \d+ms in state [^()]*(\([^()]*\)[^()]*)*\)")
_AUTHENTICATION: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001  the names of librdkafka's own errors
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
    }
)


class KafkaTarget(Protocol):
    """The part of a `kafka` source's settings that both ends need; "" is what is not used."""

    @property
    def bootstrap_servers(self) -> str:
        """`host:port,host:port`."""

    @property
    def topic(self) -> str:
        """Its name."""

    @property
    def security_protocol(self) -> str:
        """plaintext, ssl, sasl_plaintext or sasl_ssl."""

    @property
    def sasl_mechanism(self) -> str:
        """PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER."""

    @property
    def sasl_username(self) -> str:
        """As it is."""

    @property
    def sasl_password(self) -> str:
        """A reference."""

    @property
    def ssl_ca(self) -> str:
        """Path of the certificates to trust (PEM)."""

    @property
    def ssl_certificate(self) -> str:
        """Path of our own certificate (PEM)."""

    @property
    def ssl_key(self) -> str:
        """Path of its key (PEM)."""

    @property
    def ssl_key_password(self) -> str:
        """A reference."""

    @property
    def properties(self) -> Mapping[str, str | int | float | bool]:
        """Further properties of librdkafka, of those above."""


class Troubles:
    """What librdkafka reported of its connections since the client was made."""

    def __init__(self) -> None:
        self._last: KafkaError | None = None
        self._refused: KafkaError | None = None
        self._down: KafkaError | None = None
        self._is_down = False

    def note(self, error: KafkaError) -> None:
        """The client's `error_cb`."""
        if error.code() in _AUTHENTICATION:
            self._refused = error
        if error.code() == KafkaError._ALL_BROKERS_DOWN or error.fatal():  # noqa: SLF001
            self._is_down = True
            self._down = error
        else:
            self._last = error

    def forget(self) -> None:
        """The cluster answers: what was tried before, such as another address, is over."""
        self._last = self._refused = self._down = None
        self._is_down = False

    @property
    def is_down(self) -> bool:
        """No broker can be reached, or the client is beyond repair."""
        return self._is_down or self._refused is not None

    @property
    def is_refused(self) -> bool:
        """The broker does not take our credentials."""
        return self._refused is not None

    def describe(self, error: KafkaError | None = None) -> str:
        """The most telling of all, else `error`, in librdkafka's words: no secret is in them."""
        telling = self._refused or self._last or self._down or error
        return _STATE.sub("", telling.str()) if telling is not None else "no broker answers"


def client_configuration(target: KafkaTarget, *, properties: frozenset[str]) -> dict[str, Any]:
    """What either end gives to librdkafka; `properties` are those beside the shared ones.

    Raises SourceUnavailable when a reference leads to no secret.
    """
    configuration: dict[str, Any] = {
        "bootstrap.servers": target.bootstrap_servers,
        "security.protocol": target.security_protocol,
        "sasl.mechanism": target.sasl_mechanism,
        "sasl.username": target.sasl_username,
        "sasl.password": _secret(target.sasl_password),
        "ssl.ca.location": target.ssl_ca,
        "ssl.certificate.location": target.ssl_certificate,
        "ssl.key.location": target.ssl_key,
        "ssl.key.password": _secret(target.ssl_key_password),
        "client.id": "payflow",
        "socket.timeout.ms": SOCKET_TIMEOUT_MS,
        "socket.connection.setup.timeout.ms": CONNECT_TIMEOUT_MS,
        "socket.keepalive.enable": True,
        # What fails is in our own errors, once; the library would write a line at each attempt.
        "log_level": 2,
        # without it one broker's idle connections would be reported as trouble
        "log.connection.close": False,
    }
    wanted = SHARED_PROPERTIES | properties
    for name, value in target.properties.items():
        if name in wanted:
            configuration[name] = _secret(str(value)) if name in SECRET_PROPERTIES else value
    return {name: value for name, value in configuration.items() if value != ""}


def ask_cluster(
    client: Consumer | Producer, troubles: Troubles, *, topic: str | None, wait_s: float = 5.0
) -> ClusterMetadata:
    """The first question to a cluster: of one topic, or of all. Raises KafkaException.

    A cluster that nobody answers for is given up before the time is over, one that refuses us at
    once; a first address that fails (IPv6 without a listener) is no reason yet.
    """
    started = time.monotonic()
    while True:
        try:
            found: ClusterMetadata = (
                client.list_topics(topic, timeout=_SLICE_S)
                if topic
                else client.list_topics(timeout=_SLICE_S)
            )
        except KafkaException:
            client.poll(0)  # what is wrong is reported with a poll only
            waited_s = time.monotonic() - started
            if troubles.is_refused or waited_s > (_REFUSAL_S if troubles.is_down else wait_s):
                raise
        else:
            client.poll(0)
            troubles.forget()
            return found


def first_words(exc: KafkaException) -> KafkaError | None:
    """The error inside the exception, which has no other way to get at it."""
    error = exc.args[0] if exc.args else None
    return error if isinstance(error, KafkaError) else None


def _secret(reference: str) -> str:
    try:
        return resolve_reference(reference)
    except BadEnvironment as exc:
        raise SourceUnavailable(str(exc)) from exc
