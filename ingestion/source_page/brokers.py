"""What people call the types of brokers, and settings to begin with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from configuration.models import Source
from configuration.sources import shown_setting
from ingestion.sources.factory import CONSUMERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """A type of broker as a person knows it."""

    label: str
    #: the setting that names the log, and what it is called
    log: str = ""
    noun: str = ""
    #: settings as YAML, complete enough to be tried
    example: str = ""


_KNOWN: Final[Mapping[str, Broker]] = {
    "event_hubs": Broker(
        label="Azure Event Hubs",
        log="hub",
        noun="hub",
        example="""\
connection_string: env:EVENT_HUBS_CONNECTION_STRING  # or namespace: NAME.servicebus.windows.net
hub: payments
consumer_group: payflow                              # one that nobody else reads with
""",
    ),
    "kafka": Broker(
        label="Kafka",
        log="topic",
        noun="topic",
        example="""\
bootstrap_servers: kafka-1:9092,kafka-2:9092
topic: payments
security_protocol: sasl_ssl
sasl_mechanism: SCRAM-SHA-512
sasl_username: payflow
sasl_password: env:KAFKA_PASSWORD               # secrets by reference only
""",
    ),
    "redis_streams": Broker(
        label="Redis or Valkey streams",
        log="stream",
        noun="stream",
        example="""\
url: env:STREAMS_URL       # a reference, or redis://host:6379/0 without a password
stream: payments           # partition n is the stream payments.n
partitions: 4
""",
    ),
    "file": Broker(label="Files", example="{}    # the command that reads a file names it\n"),
}


def brokers() -> dict[str, Broker]:
    """Those that this installation can read, by type; files last."""
    types = [name for name in _KNOWN if name in CONSUMERS]
    types += [name for name in CONSUMERS if name not in _KNOWN]
    return {name: _KNOWN.get(name, Broker(label=name)) for name in types}


def label_of(broker_type: str) -> str:
    """What people call a type of broker."""
    return _KNOWN.get(broker_type, Broker(label=broker_type)).label


def described(source: Source) -> str:
    """`Azure Event Hubs, hub payments`: the broker, and the log there."""
    broker = _KNOWN.get(source.broker_type)
    if broker is None or broker.log not in source.settings:
        return label_of(source.broker_type)
    return f"{broker.label}, {broker.noun} {shown_setting(source.settings[broker.log])}"
