"""Secrets by reference."""

from __future__ import annotations

import pytest

from payflow.lib.env import BadEnvironment
from payflow.lib.references import resolve_reference


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
    assert resolve_reference("env:STREAMS_URL") == "redis://embedded/0"

    settings.STREAMS_URL = ""
    with pytest.raises(BadEnvironment, match="STREAMS_URL"):
        resolve_reference("env:STREAMS_URL")
