"""System checks of the places of configuration, each by its id."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configuration.remote import checks


@pytest.fixture
def payflow(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set some of payflow's settings, the others being of no place."""
    monkeypatch.delenv("PAYFLOW_KEYVAULT_URL", raising=False)

    def set_values(**values: str) -> None:
        settings.PAYFLOW = settings.PAYFLOW | {"CONFIG_DIR": "", "APPCONFIG": "", **values}

    return set_values


def ids() -> list[str | None]:
    return [found.id for found in checks.check_places(None)]


def test_no_place_needs_nothing(payflow: Callable[..., None]):
    """Who follows nothing needs no extra."""
    payflow()

    assert ids() == []


def test_a_directory_that_is_none_is_w002(payflow: Callable[..., None], tmp_path: Path):
    """A warning: what is active stays so."""
    payflow(CONFIG_DIR=str(tmp_path / "nowhere"))
    assert ids() == ["payflow.W002"]

    payflow(CONFIG_DIR=str(tmp_path))
    assert ids() == []


def test_an_address_that_is_none_is_e007(
    payflow: Callable[..., None], monkeypatch: pytest.MonkeyPatch
):
    """Of App Configuration and of Key Vault alike; the secret is not repeated."""
    payflow(APPCONFIG="Endpoint=https://a;Secret=s3cret")
    monkeypatch.setenv("PAYFLOW_KEYVAULT_URL", "http://vault")

    found = checks.check_places(None)

    assert [message.id for message in found] == ["payflow.E007", "payflow.E007"]
    assert "s3cret" not in str(found)


def test_a_missing_extra_is_e008(payflow: Callable[..., None], monkeypatch: pytest.MonkeyPatch):
    """The hint says what to install."""
    payflow(APPCONFIG="https://acme.azconfig.io")
    assert ids() == []

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(checks, "find_spec", missing)
    (found,) = checks.check_places(None)
    assert found.id == "payflow.E008"
    assert "requirements/azure.txt" in str(found.hint)


@pytest.mark.django_db
def test_what_the_workers_noted_is_w003(place: Path, follow: Callable[[], bool]):
    """Only where the database is looked at; that no worker runs yet is no finding."""
    assert checks.check_followed(None, ["default"]) == []
    place.rmdir()
    follow()

    (found,) = checks.check_followed(None, ["default"])

    assert found.id == "payflow.W003"
    assert "the last good configuration stays active" in found.msg
    assert checks.check_followed(None, None) == []
