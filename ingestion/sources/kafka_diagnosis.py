"""Why a source on Kafka can or cannot be read."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from ingestion.sources.base import ConnectionStep
from ingestion.sources.diagnosis import StepFailed, look_in_order, look_up, open_tcp, open_tls
from ingestion.sources.kafka_look import TopicLook, explain
from ingestion.sources.kafka_settings import KafkaSettings, consumer_configuration
from payflow.lib.env import BadEnvironment
from payflow.lib.errors import SourceUnavailable
from payflow.lib.kafka import Troubles, ask_cluster, first_words, library_logger
from payflow.lib.references import resolve_reference

#: of one question; the whole of them is limited by look_in_order
_ASK_S: Final = 2.5


def diagnose_kafka(settings: KafkaSettings, *, source: str) -> list[ConnectionStep]:
    """DNS, TCP, TLS (where it is used), credentials, topic, consumer group."""
    servers = settings.servers
    steps: list[tuple[str, Callable[[], str]]] = [
        ("DNS", lambda: _any_of(servers, look_up)),
        ("TCP", lambda: _any_of(servers, open_tcp)),
    ]
    if settings.uses_tls:
        steps.append(("TLS", lambda: _open_tls(settings)))
    probe = _Probe(settings, source=source)
    steps += [
        ("Credentials", lambda: probe.look(probe.log_in)),
        ("Topic", lambda: probe.look(probe.find_topic)),
        ("Consumer group", lambda: probe.look(probe.find_group)),
    ]
    try:
        return look_in_order(steps)
    finally:
        probe.close()


def _any_of(servers: list[tuple[str, int]], look: Callable[[str, int], str]) -> str:
    """One server that answers is enough to find the others."""
    failures = []
    for host, port in servers:
        try:
            return look(host, port)
        except StepFailed as exc:
            failures.append(str(exc))
    raise StepFailed(" ".join(failures))


def _open_tls(settings: KafkaSettings) -> str:
    try:
        context = ssl.create_default_context(cafile=settings.ssl_ca or None)
    except OSError as exc:
        raise StepFailed(f"ssl_ca cannot be read: {settings.ssl_ca}.") from exc
    if settings.ssl_certificate:
        try:
            password = resolve_reference(settings.ssl_key_password) or None
            context.load_cert_chain(settings.ssl_certificate, settings.ssl_key, password)
        except BadEnvironment as exc:
            raise StepFailed(str(exc)) from exc
        except OSError as exc:
            raise StepFailed(
                "ssl_certificate and ssl_key cannot be read, do not belong together, "
                "or ssl_key_password does not open the key."
            ) from exc
    names = settings.properties
    if names.get("ssl.endpoint.identification.algorithm") == "none":
        context.check_hostname = False
    if str(names.get("enable.ssl.certificate.verification", True)).lower() == "false":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return _any_of(settings.servers, lambda host, port: open_tls(host, port, context=context))


class _Probe:
    """A client that lives for one diagnosis; looks run in threads, one after the other."""

    def __init__(self, settings: KafkaSettings, *, source: str) -> None:
        self._settings = settings
        self._source = source
        self._troubles = Troubles()
        self._consumer: Consumer | None = None
        #: host:port, as the cluster names its brokers
        self._brokers: list[str] = []
        self._busy = threading.Lock()
        self._is_over = False

    def look(self, look: Callable[[], str]) -> str:
        """Run one; whoever is late for the limit closes the client behind itself."""
        with self._busy:
            try:
                return look()
            finally:
                self._close_if_over()

    def close(self) -> None:
        """Let go of the client; at once, unless a look that nobody waits for still uses it."""
        self._is_over = True
        if self._busy.acquire(blocking=False):
            try:
                self._close_if_over()
            finally:
                self._busy.release()

    def _close_if_over(self) -> None:
        consumer = self._consumer
        if self._is_over and consumer is not None:
            self._consumer = None
            consumer.close()

    def log_in(self) -> str:
        """Credentials: the cluster answers us."""
        try:
            configuration = consumer_configuration(self._settings, source=self._source)
        except SourceUnavailable as exc:
            raise StepFailed(str(exc)) from exc
        self._consumer = consumer = self._open(configuration)
        try:
            brokers = ask_cluster(
                consumer, self._troubles, topic=self._settings.topic, wait_s=_ASK_S
            ).brokers
        except KafkaException as exc:
            raise StepFailed(self._why(first_words(exc))) from exc
        self._brokers = [f"{broker.host}:{broker.port}" for broker in brokers.values()]
        name = self._settings.sasl_username
        who = f"to {name}" if name else "without a user name"
        return f"The cluster answers {who}; brokers: {len(brokers):,}."

    def _open(self, configuration: dict[str, Any]) -> Consumer:
        try:
            return Consumer(
                {**configuration, "error_cb": self._troubles.note},
                logger=library_logger,
            )
        except KafkaException as exc:
            error = first_words(exc)
            raise StepFailed(
                f"The settings are refused: {error.str() if error else 'no reason given'}"
            ) from exc

    def _why(self, error: KafkaError | None) -> str:
        settings, words = self._settings, self._troubles.describe(error)
        if self._troubles.is_refused:
            return f"The cluster refuses the user name, password or mechanism: {words}"
        if settings.uses_sasl:
            return f"{words} Does the listener take {settings.security_protocol}?"
        return (
            f"{words} Does the listener take {settings.security_protocol}, "
            "or does it want TLS or a password?"
        )

    def find_topic(self) -> str:
        """Topic: it is there, and the brokers that the cluster names for it can be reached."""
        assert self._consumer is not None  # noqa: S101  for the type checker: log_in is before it
        topic = self._settings.topic
        look = TopicLook(self._consumer, topic, ask_s=_ASK_S)
        try:
            numbers = look.partitions()
            look.ends(numbers)
        except SourceUnavailable as exc:
            raise StepFailed(str(exc)) from exc
        except KafkaException as exc:
            raise StepFailed(self._unreachable(first_words(exc))) from exc
        return f"{topic} is there, with {len(numbers):,} partitions."

    def _unreachable(self, error: KafkaError | None) -> str:
        assert self._consumer is not None  # noqa: S101  for the type checker
        self._consumer.poll(0)
        explained = explain(error, topic=self._settings.topic) if error is not None else ""
        return (
            f"The brokers of the topic do not answer ({explained}). The cluster names them "
            f"{', '.join(self._brokers)}: these addresses must be reachable from here "
            "(advertised.listeners)."
        )

    def find_group(self) -> str:
        """Consumer group: we may use it for the offsets that lag tools read."""
        assert self._consumer is not None  # noqa: S101  for the type checker
        place = TopicPartition(self._settings.topic, 0)
        try:
            (found,) = self._consumer.committed([place], timeout=_ASK_S)
        except KafkaException as exc:
            error = first_words(exc)
            raise StepFailed(self._group_trouble(error)) from exc
        if found.error is not None:
            raise StepFailed(self._group_trouble(found.error))
        return "payflow may commit the offsets that lag tools read."

    def _group_trouble(self, error: KafkaError | None) -> str:
        if error is None:
            return "The group's coordinator does not answer."
        return explain(error, topic=self._settings.topic)
