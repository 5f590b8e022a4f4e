"""Secrets of Key Vault, by Azure's own clients against a vault on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from payflow.lib import vault
from payflow.lib.env import BadEnvironment, read_secret
from payflow.lib.references import REFERENCE, resolve_reference
from tests.azure_servers import HEADER, KeyVault, key_vault


@pytest.fixture
def azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyVault]:
    """A vault that this process may read, and nothing remembered of another one."""
    for cache in (vault.azure_credential, vault._client):
        cache.cache_clear()
    vault._kept.clear()
    with key_vault(tmp_path, monkeypatch) as found:
        yield found
    for cache in (vault.azure_credential, vault._client):
        cache.cache_clear()
    vault._kept.clear()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was read is old enough to be read again."""
    monkeypatch.setattr(vault, "_KEPT_S", 0.0)


def test_a_secret_is_read_with_the_identity_of_the_machine(azure: KeyVault):
    """keyvault:NAME is the secret, asked for with a token of the managed identity."""
    azure.secrets["streams-url"] = "rediss://:secret@acme/0"

    assert resolve_reference("keyvault:streams-url") == "rediss://:secret@acme/0"
    assert azure.statuses() == [401, 200]  # Key Vault names its login first


def test_a_variable_may_stand_in_the_vault(azure: KeyVault, monkeypatch: pytest.MonkeyPatch):
    """NAME=keyvault:SECRET is read as the secret is."""
    azure.secrets["scrub-key"] = "k" * 32
    monkeypatch.setenv("ACME_KEY", "keyvault:scrub-key")

    assert read_secret("ACME_KEY") == "k" * 32


def test_the_vault_is_asked_once_in_a_while(azure: KeyVault):
    """A reconnect takes the value in memory."""
    azure.secrets["url"] = "redis://a"

    assert {resolve_reference("keyvault:url") for _ in range(5)} == {"redis://a"}
    assert len(azure.asked) == 2


def test_a_new_value_is_found(azure: KeyVault, later: None):
    """A rotated secret is read when the old value is five minutes old."""
    azure.secrets["url"] = "redis://a"
    resolve_reference("keyvault:url")
    azure.secrets["url"] = "redis://b"

    assert resolve_reference("keyvault:url") == "redis://b"


def test_the_last_value_outlives_an_outage(
    azure: KeyVault, later: None, caplog: pytest.LogCaptureFixture
):
    """A vault that fails takes nothing away from a process that has read it."""
    azure.secrets["url"] = "redis://:secret@a"
    resolve_reference("keyvault:url")
    azure.fault = 503

    assert resolve_reference("keyvault:url") == "redis://:secret@a"
    assert "last value stays in use" in caplog.text
    assert "secret@" not in caplog.text


def test_a_deleted_secret_is_no_outage(azure: KeyVault, later: None):
    """What the vault says it has not is not kept in use."""
    azure.secrets["url"] = "redis://a"
    resolve_reference("keyvault:url")
    del azure.secrets["url"]

    with pytest.raises(BadEnvironment, match="has no secret url"):
        resolve_reference("keyvault:url")


@pytest.mark.parametrize(
    ("status", "text"),
    [(503, "does not answer"), (403, "does not give url"), (429, "does not answer")],
)
def test_what_went_wrong_is_said(azure: KeyVault, status: int, text: str):
    """An outage and a missing permission are told apart; the secret is named."""
    azure.fault = status

    with pytest.raises(BadEnvironment, match=text):
        resolve_reference("keyvault:url")


def test_an_identity_that_is_refused_is_said(azure: KeyVault, monkeypatch: pytest.MonkeyPatch):
    """Without a token nothing is asked for."""
    monkeypatch.setenv("IDENTITY_HEADER", f"not {HEADER}")

    with pytest.raises(BadEnvironment, match="url"):
        resolve_reference("keyvault:url")
    assert 200 not in azure.statuses()


def test_an_empty_secret_is_refused(azure: KeyVault):
    """A password of nothing is no password."""
    azure.secrets["url"] = ""

    with pytest.raises(BadEnvironment, match="empty"):
        resolve_reference("keyvault:url")


@pytest.mark.parametrize(
    "url",
    ["http://vault", "https://", "vault.azure.net", "https://u:p@v", "https://[", "keyvault:a"],
)
def test_tokens_go_to_https_only(monkeypatch: pytest.MonkeyPatch, url: str):
    """An address that a token must not be sent to is refused by the variable's name."""
    monkeypatch.setenv("PAYFLOW_KEYVAULT_URL", url)

    with pytest.raises(BadEnvironment, match="PAYFLOW_KEYVAULT_URL must be https"):
        resolve_reference("keyvault:url")


def test_no_vault_is_said(monkeypatch: pytest.MonkeyPatch):
    """A reference without a vault says which variable is missing."""
    monkeypatch.delenv("PAYFLOW_KEYVAULT_URL", raising=False)
    monkeypatch.setenv("ACME_KEY", "keyvault:scrub-key")

    with pytest.raises(BadEnvironment, match=r"ACME_KEY .* PAYFLOW_KEYVAULT_URL is not set"):
        read_secret("ACME_KEY")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a_b", "a" * 128, "ü"])
def test_names_are_those_of_key_vault(name: str, monkeypatch: pytest.MonkeyPatch):
    """What cannot be a secret's name is no reference, and no address is made of it."""
    monkeypatch.setenv("PAYFLOW_KEYVAULT_URL", "https://localhost:1")

    assert not REFERENCE.match(f"keyvault:{name}")
    with pytest.raises(BadEnvironment, match="secret's name"):
        vault.read_vault_secret(f"keyvault:{name}")
