"""Settings of a source on Kafka: what goes together, and what is named when it does not."""

from __future__ import annotations

from typing import Any

import pytest

from ingestion.sources.kafka_settings import consumer_configuration, parse_settings
from payflow.lib.errors import ConfigurationError, SourceUnavailable

PLAIN = {"bootstrap_servers": "a:9092,b", "topic": "payments"}
SASL = {
    **PLAIN,
    "security_protocol": "sasl_ssl",
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_username": "payflow",
    "sasl_password": "env:KAFKA_PASSWORD",
}
TLS = {**PLAIN, "security_protocol": "ssl"}
OAUTH: dict[str, Any] = {
    **PLAIN,
    "security_protocol": "sasl_ssl",
    "sasl_mechanism": "OAUTHBEARER",
    "properties": {
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.client.id": "payflow",
        "sasl.oauthbearer.client.secret": "env:KAFKA_CLIENT_SECRET",
        "sasl.oauthbearer.token.endpoint.url": "https://login.example.com/token",
    },
}
HUBS = {**SASL, "bootstrap_servers": "ns.servicebus.windows.net:9093", "sasl_mechanism": "PLAIN"}


def _without(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}


def test_little_is_needed():
    """A server and a topic; everything else has a default."""
    parsed = parse_settings(PLAIN)

    assert parsed.servers == [("a", 9092), ("b", 9092)]
    assert (parsed.group_id, parsed.gaps, parsed.linger_ms) == ("", "auto", 100)
    assert consumer_configuration(parsed, source="eu")["group.id"] == "payflow-eu"


@pytest.mark.parametrize("settings", [PLAIN, SASL, TLS, OAUTH, HUBS])
def test_what_goes_together_passes(settings: dict[str, Any]):
    """Each way in that the documentation shows."""
    assert parse_settings(settings).topic == "payments"


@pytest.mark.parametrize(
    ("settings", "pointer", "words"),
    [
        ({"topic": "t"}, "bootstrap_servers", "is missing"),
        ({**PLAIN, "bootstrap_servers": "a b"}, "bootstrap_servers", "host:port"),
        ({**PLAIN, "bootstrap_servers": "a:99999"}, "bootstrap_servers", "host:port"),
        ({**PLAIN, "bootstrap_servers": "a:9092,,b"}, "bootstrap_servers", "host:port"),
        ({**PLAIN, "bootstrap_servers": "a," * 32 + "a"}, "bootstrap_servers", "at most 32"),
        ({**PLAIN, "topic": "a/b"}, "topic", "letters, digits"),
        ({**PLAIN, "topic": ".."}, "topic", "letters, digits"),
        ({**PLAIN, "security_protocol": "SSL"}, "security_protocol", "one of plaintext"),
        ({**PLAIN, "sasl_username": "u"}, "sasl_username", "needs security_protocol sasl_ssl"),
        ({**PLAIN, "ssl_ca": "/ca.pem"}, "ssl_ca", "needs security_protocol ssl"),
        (_without(SASL, "sasl_mechanism"), "sasl_mechanism", "needs one of PLAIN"),
        (_without(SASL, "sasl_password"), "sasl_password", "SCRAM-SHA-512 needs it"),
        ({**SASL, "sasl_mechanism": "GSSAPI"}, "sasl_mechanism", "one of PLAIN"),
        ({**SASL, "sasl_password": "hunter2"}, "sasl_password", "env:NAME or keyvault:NAME"),
        ({**SASL, "sasl_password": "env:STREAMS_URL"}, "sasl_password", "of payflow itself"),
        ({**TLS, "ssl_certificate": "/c.pem"}, "ssl_key", "needs its key"),
        ({**TLS, "ssl_key": "/k.pem"}, "ssl_certificate", "needs its certificate"),
        ({**TLS, "ssl_key_password": "env:P"}, "ssl_key", "ssl_key_password needs it"),
        ({**OAUTH, "sasl_username": "u"}, "sasl_username", "OAUTHBEARER has none"),
        ({**PLAIN, "gaps": "jump"}, "gaps", "one of auto, stop, allow"),
        ({**PLAIN, "linger_ms": 5}, "linger_ms", "from 20 to 5,000"),
        ({**PLAIN, "properties": ["fetch.min.bytes"]}, "properties", "names with values"),
        (
            {**HUBS, "bootstrap_servers": "ns.servicebus.windows.net:9092"},
            "bootstrap_servers",
            "port 9093 only",
        ),
        (
            {"bootstrap_servers": "ns.servicebus.windows.net:9093", "topic": "t"},
            "security_protocol",
            "sasl_ssl only",
        ),
    ],
)
def test_what_does_not_go_together_is_named(settings: dict[str, Any], pointer: str, words: str):
    """The field, and the rule."""
    with pytest.raises(ConfigurationError) as caught:
        parse_settings(settings)

    problems = {problem.pointer: problem.message for problem in caught.value.problems}
    assert words in problems[f"/settings/{pointer}"]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("enable.auto.commit", True, "payflow keeps its position in its own database"),
        ("auto.offset.reset", "latest", "payflow never jumps"),
        ("plugin.library.paths", "/tmp/x.so", "it would load code"),
        ("fetch.minimum.bytes", 5, "payflow passes on batch.num.messages"),
        ("fetch.min.bytes", None, "a text, a number, true or false"),
        ("message.timeout.ms", 0, "from 1 to 30,000"),
        ("sasl.oauthbearer.client.secret", "hunter2", "env:NAME or keyvault:NAME"),
        ("sasl.oauthbearer.client.secret", "env:DATABASE_URL", "a secret of payflow itself"),
    ],
)
def test_a_property_that_is_not_passed_on_is_refused_by_name(name: str, value: Any, words: str):
    """With the reason; a secret is not repeated."""
    with pytest.raises(ConfigurationError) as caught:
        parse_settings({**PLAIN, "properties": {name: value}})

    (problem,) = caught.value.problems
    assert problem.pointer == f"/settings/properties/{name}"
    assert words in problem.message
    assert "hunter2" not in problem.message


def test_oauth_names_every_property_that_is_missing():
    """All at once."""
    with pytest.raises(ConfigurationError) as caught:
        parse_settings({**OAUTH, "properties": {}})

    missing = {problem.pointer.rpartition(".oauthbearer.")[2] for problem in caught.value.problems}
    assert missing == {"method", "client.id", "client.secret", "token.endpoint.url"}


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "https://u:hunter2@idp/", "ldap://x"])
def test_a_client_secret_goes_by_tls_to_a_plain_address(url: str):
    """Whoever listens on the way, and other servers near payflow, get nothing."""
    name = "sasl.oauthbearer.token.endpoint.url"

    with pytest.raises(ConfigurationError, match="must be https://") as caught:
        parse_settings({**OAUTH, "properties": {**OAUTH["properties"], name: url}})

    assert "hunter2" not in str(caught.value)


def test_each_end_gets_its_own_properties(monkeypatch: pytest.MonkeyPatch):
    """Ours for safety cannot be changed; secrets are read when they are used."""
    properties = {**OAUTH["properties"], "fetch.min.bytes": 1000, "compression.type": "zstd"}
    parsed = parse_settings({**OAUTH, "properties": properties})
    with pytest.raises(SourceUnavailable, match="KAFKA_CLIENT_SECRET is not set"):
        consumer_configuration(parsed, source="eu")
    monkeypatch.setenv("KAFKA_CLIENT_SECRET", "hunter2")

    configuration = consumer_configuration(parsed, source="eu")

    assert configuration["sasl.oauthbearer.client.secret"] == "hunter2"
    assert configuration["fetch.min.bytes"] == 1000
    assert "compression.type" not in configuration
    assert configuration["enable.auto.commit"] is False
    assert configuration["auto.offset.reset"] == "error"
    assert configuration["isolation.level"] == "read_committed"
