"""Getting into a cluster by TLS and SASL, and what is said when one does not get in."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from ingestion.sources.base import Checkpoint, ConnectionStep
from ingestion.sources.factory import ConsumerFactory
from ingestion.sources.kafka import KafkaConsumer
from payflow.lib.errors import SourceUnavailable
from payflow.lib.publish.base import OutgoingMessage
from payflow.lib.publish.factory import create_publisher
from tests.kafka_cluster import KafkaCluster
from tests.kafka_login import Door

#: As the Kafka endpoint of Event Hubs wants it: this very name, and the connection string.
USER = "$ConnectionString"
PASSWORD = "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=k="
WRONG = "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=wrong="


@pytest.fixture
def door(
    own_kafka: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Any]]:
    """Settings that lead through TLS and SASL PLAIN to the topic `payments` with one message."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    own_kafka.create_topic(name="payments")
    own_kafka.load("payments", 0, [b"1"])
    door = Door(own_kafka, context=context, user=USER, password=PASSWORD)
    own_kafka.advertise("localhost", door.port)
    monkeypatch.setenv("HUB_CONNECTION", PASSWORD)
    monkeypatch.setenv("WRONG_CONNECTION", WRONG)
    yield {
        "bootstrap_servers": f"localhost:{door.port}",
        "topic": "payments",
        "security_protocol": "sasl_ssl",
        "sasl_mechanism": "PLAIN",
        "sasl_username": USER,
        "sasl_password": "env:HUB_CONNECTION",
        "ssl_ca": str(tmp_path / "ca.pem"),
    }
    door.close()


def _consumer(settings: dict[str, Any]) -> KafkaConsumer:
    consumer = ConsumerFactory.create("kafka", source="s", settings=settings)
    assert isinstance(consumer, KafkaConsumer)
    return consumer


def _diagnosed(settings: dict[str, Any]) -> dict[str, ConnectionStep]:
    return {step.name: step for step in _consumer(settings).diagnose()}


def _states(steps: dict[str, ConnectionStep]) -> list[bool | None]:
    return [step.is_ok for step in steps.values()]


def test_event_hubs_way_in_is_taken_at_both_ends(door: dict[str, Any]):
    """TLS, $ConnectionString and the connection string by reference, as its documentation says."""
    publisher = create_publisher("kafka", KafkaConsumer.parse_settings(door))
    with publisher:
        publisher.publish([OutgoingMessage(body=b"2", key=b"k")])
    consumer = _consumer(door)
    consumer.connect()
    consumer.checkpoint(Checkpoint(partition="0", position="0", sequence_number=0))

    batch = consumer.consume_batch(wait_s=5)

    assert batch is not None
    assert batch.bodies == [b"1", b"2"]
    consumer.disconnect()


def test_a_wrong_password_is_named_and_not_told(door: dict[str, Any]):
    """By both ends and by the diagnosis, which looks no further."""
    wrong = {**door, "sasl_password": "env:WRONG_CONNECTION"}

    with pytest.raises(SourceUnavailable, match="Authentication failed") as reading:
        _consumer(wrong).connect()
    with pytest.raises(SourceUnavailable, match="Authentication failed") as writing:
        create_publisher("kafka", KafkaConsumer.parse_settings(wrong)).connect()
    steps = _diagnosed(wrong)

    assert _states(steps) == [True, True, True, False, None, None]
    assert "refuses the user name, password or mechanism" in steps["Credentials"].detail
    for text in (str(reading.value), str(writing.value), steps["Credentials"].detail):
        assert "wrong=" not in text


def test_a_way_in_that_is_right_passes_every_step(door: dict[str, Any]):
    """DNS, TCP, TLS, credentials, topic, group."""
    steps = _diagnosed(door)

    assert list(steps) == ["DNS", "TCP", "TLS", "Credentials", "Topic", "Consumer group"]
    assert _states(steps) == [True] * 6


def test_a_certificate_that_nobody_vouches_for_is_refused(door: dict[str, Any]):
    """Without the authority's certificate neither end nor the diagnosis goes on."""
    unknown = {name: value for name, value in door.items() if name != "ssl_ca"}

    with pytest.raises(SourceUnavailable, match="certificate verify failed"):
        _consumer(unknown).connect()
    steps = _diagnosed(unknown)

    assert _states(steps) == [True, True, False, None, None, None]
    assert "is not trusted" in steps["TLS"].detail


def test_files_that_cannot_be_read_are_named(door: dict[str, Any], tmp_path: Path):
    """Which setting it is."""
    missing = {**door, "ssl_ca": str(tmp_path / "none.pem")}

    with pytest.raises(SourceUnavailable, match=r"ssl\.ca\.location failed"):
        _consumer(missing).connect()
    assert "ssl_ca cannot be read" in _diagnosed(missing)["TLS"].detail


def test_a_reference_that_leads_nowhere_is_named(door: dict[str, Any]):
    """The variable, so that a person can set it."""
    nowhere = {**door, "sasl_password": "env:NO_SUCH_SECRET"}

    with pytest.raises(SourceUnavailable, match="NO_SUCH_SECRET is not set"):
        _consumer(nowhere).connect()
    assert "NO_SUCH_SECRET is not set" in _diagnosed(nowhere)["Credentials"].detail


def test_a_listener_that_wants_tls_is_guessed(door: dict[str, Any]):
    """Without TLS the broker only hangs up: the diagnosis says what may be the reason."""
    names = ("bootstrap_servers", "topic")
    steps = _diagnosed({name: door[name] for name in names})

    assert _states(steps) == [True, True, False, None, None]
    assert "or does it want TLS or a password?" in steps["Credentials"].detail


@pytest.mark.parametrize(
    ("server", "failing", "words"),
    [
        ("no-such-host.invalid:9092", "DNS", "is not known here"),
        ("127.0.0.1:1", "TCP", "Nobody listens on port 1"),
    ],
)
def test_an_address_that_leads_nowhere_is_named(server: str, failing: str, words: str):
    """The first step that fails says it, those behind it are not looked at."""
    steps = _diagnosed({"bootstrap_servers": server, "topic": "t"})

    assert words in steps[failing].detail
    assert _states(steps)[-3:] == [None, None, None]


def test_a_missing_topic_is_named(kafka: KafkaCluster):
    """And what to do."""
    steps = _diagnosed({"bootstrap_servers": kafka.bootstrap, "topic": "misspelt"})

    assert _states(steps) == [True, True, True, False, None]
    assert "has no topic misspelt: create it" in steps["Topic"].detail


def test_brokers_that_cannot_be_reached_are_named(own_kafka: KafkaCluster):
    """The usual fault of a cluster in containers: it tells clients an address of its own inside."""
    topic = own_kafka.create_topic()
    own_kafka.advertise("127.0.0.1", 1)

    steps = _diagnosed({"bootstrap_servers": own_kafka.bootstrap, "topic": topic})

    assert steps["Topic"].is_ok is False
    assert "127.0.0.1:1" in steps["Topic"].detail
    assert "advertised.listeners" in steps["Topic"].detail
