"""Event Hubs: settings, keys and identities, TLS and WebSockets, and what is wrong in words."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken

from ingestion.sources.base import MessageConsumer
from ingestion.sources.event_hubs import EventHubsConsumer
from ingestion.sources.event_hubs_settings import EventHubsSettings
from ingestion.sources.factory import ConsumerFactory
from payflow.lib import event_hubs as shared
from payflow.lib.errors import ConfigurationError, SourceUnavailable
from tests.eventhubs import access
from tests.eventhubs.process import EventHubsServer
from tests.eventhubs.websocket import websocket_door
from tests.ingestion.sources.contract import (
    all_bodies,
    beginning,
    drain,
    numbered,
)
from tests.ingestion.sources.hub_harness import HubHarness, next_batch, source

__all__ = ["source"]


# --- what is wrong -------------------------------------------------------------------------------


def _broken(source: HubHarness, fault: str) -> tuple[str, dict[str, Any]]:
    """The connection string and the settings of a source that cannot be read."""
    good = source.server.connection_string(source.hub)
    texts = {
        "key": source.server.connection_string(source.hub, key_ok=False),
        "right": source.server.connection_string(source.hub, policy="send"),
        "hub": source.server.connection_string("nowhere"),
        "text": "Endpoint=hunter2",
        "other hub": source.server.connection_string("another"),
        "port": good.replace(str(source.server.port), "1"),
        "name": good.replace("localhost", "no.such.host.invalid"),
    }
    changes: dict[str, Any] = {"hub": {"hub": "nowhere"}, "group": {"consumer_group": "nobody"}}
    return texts.get(fault, good), {**source.settings, **changes.get(fault, {})}


def _connect_and_read(consumer: MessageConsumer) -> None:
    consumer.connect()
    consumer.checkpoint(beginning(consumer, "0"))
    drain(consumer)


@pytest.mark.parametrize(
    ("fault", "words", "step"),
    [
        ("key", "key or the identity is refused .*invalid signature", "Credentials"),
        ("right", "'Listen' claim", "Consumer group"),
        ("hub", "no such hub", "Hub"),
        ("group", "no consumer group nobody", "Consumer group"),
        ("text", "TEST_HUB holds no connection string", "Address"),
        ("other hub", "connection string of another hub, another", "Address"),
        ("port", "Connection refused", "TCP"),
        ("name", "not known", "DNS"),
    ],
)
def test_what_is_wrong_is_named(
    source: HubHarness, monkeypatch: pytest.MonkeyPatch, fault: str, words: str, step: str
):
    """By the error and by the diagnosis, which looks no further; neither repeats a secret."""
    text, source.settings = _broken(source, fault)
    monkeypatch.setenv("TEST_HUB", text)
    consumer = ConsumerFactory.create("event_hubs", source="contract", settings=source.settings)

    with pytest.raises(SourceUnavailable, match=words) as caught:
        _connect_and_read(consumer)
    steps = consumer.diagnose()
    consumer.disconnect()

    assert [s.name for s in steps if s.is_ok is False] == [step]
    after = steps[[s.name for s in steps].index(step) + 1 :]
    assert all(s.is_ok is None for s in after)
    told = str(caught.value) + "".join(s.detail for s in steps)
    assert access.WRONG_KEY not in told
    assert "hunter2" not in told


def test_a_sound_source_passes_every_step(source: HubHarness):
    """Also while a worker reads it, who does not notice."""
    consumer = source.read(numbered(5))
    assert len(next_batch(consumer)) == 5

    steps = source.connect().diagnose()
    source.add([b"more"])

    assert [step.name for step in steps] == ["DNS", "TCP", "Credentials", "Hub", "Consumer group"]
    assert all(step.is_ok for step in steps)
    assert all_bodies(drain(consumer)) == [b"more"]


def test_a_missing_reference_or_extra_is_a_bad_world(
    source: HubHarness, monkeypatch: pytest.MonkeyPatch
):
    """One source that cannot be read must not stop the others; it says what to do."""
    consumer = ConsumerFactory.create("event_hubs", source="x", settings=source.settings)
    monkeypatch.delenv("TEST_HUB")
    with pytest.raises(SourceUnavailable, match="TEST_HUB"):
        consumer.connect()

    monkeypatch.setitem(sys.modules, "azure.eventhub", None)
    with pytest.raises(SourceUnavailable, match=r"install requirements/azure\.txt"):
        consumer.connect()
    assert consumer.diagnose()[0].is_ok is False


# --- TLS and identities --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventHubsServer]:
    """A namespace as Azure's: TLS, and no emulator's switch."""
    server = EventHubsServer(tmp_path_factory.mktemp("eventhubs-tls"), tls=True)
    server.start()
    server.create_hub("safe", 2)
    server.load("safe", 0, numbered(300))
    yield server
    server.stop()


class _Identity:
    """Stands in for azure-identity: a token as Azure's login would give it."""

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        """Good for an hour."""
        return AccessToken(access.JWT, int(time.time()) + 3600)


def _of_namespace(server: EventHubsServer) -> EventHubsSettings:
    return EventHubsSettings(
        connection_string="", namespace=server.namespace, hub="safe",
        consumer_group="$Default", linger_ms=50, transport="amqp",
    )  # fmt: skip


def test_an_identity_reads_over_tls(tls_server: EventHubsServer, monkeypatch: pytest.MonkeyPatch):
    """No key anywhere: the namespace is named and azure-identity signs in."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_server.ca_file))
    monkeypatch.setattr(shared, "azure_credential", _Identity)
    consumer = EventHubsConsumer(source="x", settings=_of_namespace(tls_server))

    consumer.connect()
    consumer.checkpoint(beginning(consumer, "0"))
    batches = drain(consumer)
    steps = consumer.diagnose()
    consumer.disconnect()

    assert all_bodies(batches) == numbered(300)
    assert [(step.name, step.is_ok) for step in steps] == [
        (name, True) for name in ("DNS", "TCP", "TLS", "Credentials", "Hub", "Consumer group")
    ]


def test_a_certificate_that_nobody_vouches_for_is_refused(
    tls_server: EventHubsServer, monkeypatch: pytest.MonkeyPatch
):
    """And named as what is wrong."""
    monkeypatch.setattr(shared, "azure_credential", _Identity)
    consumer = EventHubsConsumer(source="x", settings=_of_namespace(tls_server))

    with pytest.raises(SourceUnavailable, match="certificate verify failed"):
        consumer.connect()

    assert [step.name for step in consumer.diagnose() if step.is_ok is False] == ["TLS"]


def test_a_hub_is_read_through_websockets(source: HubHarness, monkeypatch: pytest.MonkeyPatch):
    """Where a network lets nothing out but port 443."""
    bodies = numbered(2_000)
    source.load(bodies, [b"x" * 200_000])
    with websocket_door(source.server.port) as port:
        text = source.server.connection_string(source.hub)
        monkeypatch.setenv("TEST_HUB", text.replace(str(source.server.port), str(port)))
        source.settings = {**source.settings, "transport": "websockets"}
        consumer = source.connect()
        for partition in ("0", "1"):
            consumer.checkpoint(beginning(consumer, partition))
        batches = drain(consumer)
        steps = consumer.diagnose()
        consumer.disconnect()

    assert all_bodies([b for b in batches if b.partition == "0"]) == bodies
    assert all_bodies([b for b in batches if b.partition == "1"]) == [b"x" * 200_000]
    assert all(step.is_ok for step in steps)


# --- settings ------------------------------------------------------------------------------------


def test_settings_have_defaults():
    """Who we are and which hub is enough."""
    parsed = EventHubsConsumer.parse_settings({"connection_string": "env:HUB", "hub": "payments"})

    assert (parsed.consumer_group, parsed.linger_ms, parsed.transport) == ("$Default", 100, "amqp")
    assert {"hub"} == EventHubsConsumer.LOG_FIELDS


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"connection_string": "Endpoint=sb://x/;SharedAccessKey=hunter2"}, "connection_string",
         "connection_string is refused; it holds a key, so it must be a reference"),
        ({"connection_string": None}, "connection_string", "or namespace"),
        ({"namespace": "x.servicebus.windows.net"}, "namespace", "give it or connection_string"),
        ({"connection_string": None, "namespace": "sb://x/"}, "namespace", "must be a host name"),
        ({"connection_string": None, "namespace": "evil.example.com"}, "namespace",
         "must be a host name, NAME.servicebus.windows.net or"),
        ({"hub": "a/b"}, "hub", "hub is 'a/b'; it must be of letters"),
        ({"hub": ""}, "hub", "must be a text"),
        ({"consumer_group": "a b"}, "consumer_group", "it must be $Default or of letters"),
        ({"linger_ms": 5001}, "linger_ms", "from 20 to 5,000"),
        ({"transport": "mqtt"}, "transport", "one of amqp, websockets"),
    ],
)  # fmt: skip
def test_bad_settings_are_refused(changes: dict[str, Any], field: str, words: str):
    """Field, value and rule are named, but never a key."""
    with pytest.raises(ConfigurationError) as caught:
        ConsumerFactory.validate(
            "event_hubs", {"connection_string": "env:HUB", "hub": "payments", **changes}
        )

    (problem,) = caught.value.problems
    assert problem.pointer == f"/settings/{field}"
    assert words in problem.message
    assert "hunter2" not in str(caught.value)


def test_references_may_be_files_of_a_vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`NAME_FILE` serves as everywhere; an emulator's address has another port."""
    secret = tmp_path / "hub"
    secret.write_text(
        "Endpoint=sb://localhost;SharedAccessKeyName=a;SharedAccessKey=b;"
        "UseDevelopmentEmulator=true\n"
    )
    monkeypatch.setenv("ACME_HUB_FILE", str(secret))
    settings = EventHubsConsumer.parse_settings({"connection_string": "env:ACME_HUB", "hub": "h"})

    assert shared.endpoint_of(settings) == ("localhost", 5672, False)
