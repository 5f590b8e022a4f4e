"""Secrets by reference."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from payflow.lib.env import BadEnvironment
from payflow.lib.references import OWN, is_own, resolve_reference


def test_a_reference_is_read_when_it_is_needed(monkeypatch: pytest.MonkeyPatch):
    """env:NAME is the variable's value; other text is its own."""
    monkeypatch.setenv("ACME_STREAMS", "redis://:secret@acme/0")

    assert resolve_reference("env:ACME_STREAMS") == "redis://:secret@acme/0"
    assert resolve_reference("redis://plain/0") == "redis://plain/0"
    assert resolve_reference("env:NOT A NAME") == "env:NOT A NAME"


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch):
    """The error says what to set."""
    monkeypatch.delenv("ACME_STREAMS", raising=False)

    with pytest.raises(BadEnvironment, match="ACME_STREAMS"):
        resolve_reference("env:ACME_STREAMS")


def test_the_streams_url_comes_from_the_settings(settings):
    """They know the embedded server's address when the variable is unset."""
    settings.STREAMS_URL = "redis://embedded/0"
    assert resolve_reference("env:STREAMS_URL", own=["env:STREAMS_URL"]) == "redis://embedded/0"

    settings.STREAMS_URL = ""
    with pytest.raises(BadEnvironment, match="STREAMS_URL"):
        resolve_reference("env:STREAMS_URL", own=["env:STREAMS_URL"])


@pytest.mark.parametrize("name", ["DJANGO_SECRET_KEY", "DATABASE_URL", "STREAMS_URL"])
def test_payflows_own_secrets_are_given_to_no_source(monkeypatch: pytest.MonkeyPatch, name: str):
    """Whoever writes settings of a source names the server that its password is sent to."""
    monkeypatch.setenv(name, "hunter2")

    with pytest.raises(BadEnvironment, match=f"{name} is a secret of payflow itself") as refused:
        resolve_reference(f"env:{name}")

    assert "hunter2" not in str(refused.value)


def test_what_payflow_keeps_in_the_vault_is_its_own_there_too(monkeypatch: pytest.MonkeyPatch):
    """The same secret by its other name."""
    monkeypatch.setenv("DJANGO_SECRET_KEY", "keyvault:sessions")

    assert is_own("keyvault:sessions")
    assert not is_own("keyvault:kafka")
    assert not is_own("")
    with pytest.raises(BadEnvironment, match="a secret of payflow itself"):
        resolve_reference("keyvault:sessions")


def test_every_secret_that_payflow_reads_is_its_own():
    """One that is added later is not forgotten."""
    root = Path(__file__).parents[3]
    read = {
        name
        for folder in ("payflow", "configuration", "ingestion")
        for file in (root / folder).rglob("*.py")
        for name in re.findall(r'read_secret\(\s*"(\w+)"', file.read_text())
    }

    assert {"DJANGO_SECRET_KEY", "PAYFLOW_METRICS_TOKEN"} <= read <= OWN
