"""Documents small enough to read, a directory to keep them in, and a store of App Configuration."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from configuration.models import CompatibilityGate
from configuration.remote import followers, origins
from configuration.remote.follow import Follower
from tests.azure_servers import AppConfiguration, AppConfigurationHandler, serve

SCHEMA = """\
# the acquirer's file
name: acme
decoder: json
identity: [transaction_id]
columns:
  transaction_id: {path: id}
  occurred_at: {path: at, format: rfc3339}
  amount: {path: amount, unit: minor}
  currency: {constant: EUR}
  payment_status: {constant: completed}
json_schema: {type: object, required: [id, at, amount]}
"""


@pytest.fixture
def schema() -> Callable[..., str]:
    """The text of a sound schema; the description makes it another one."""

    def text(description: str = "", *, name: str = "acme") -> str:
        return SCHEMA.replace("acme\n", f"{name}\n", 1) + (
            f"description: {description}\n" if description else ""
        )

    return text


@pytest.fixture
def place(tmp_path: Path, settings: Any) -> Iterator[Path]:
    """A watched directory, with nothing remembered of another one."""
    directory = tmp_path / "configuration"
    directory.mkdir()
    settings.PAYFLOW = settings.PAYFLOW | {"CONFIG_DIR": str(directory)}
    yield directory
    forget()


@pytest.fixture
def write(place: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file of the directory, long enough ago to be whole."""
    ages = iter(range(3600, 0, -1))

    def put(name: str, text: str | bytes) -> Path:
        path = place / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        moment = time.time() - next(ages)
        os.utime(path, (moment, moment))
        return path

    return put


@pytest.fixture
def follow(place: Path, db: None) -> Callable[[], bool]:
    """Look once at the directory; no gate keeps a schema out."""
    CompatibilityGate.objects.create(schema_name="acme", mode="none")
    found = follower("directory")
    return found.follow


@pytest.fixture
def store(settings: Any) -> Iterator[AppConfiguration]:
    """A store that answers, and is set."""
    with serve(AppConfigurationHandler, AppConfiguration()) as state:
        settings.PAYFLOW = settings.PAYFLOW | {"APPCONFIG": state.connection_string}
        yield state
    forget()


@pytest.fixture
def look(store: AppConfiguration, db: None) -> Callable[[], bool]:
    """Look once at the store, whenever the last look was; no gate keeps a schema out."""
    CompatibilityGate.objects.create(schema_name="acme", mode="none")

    def at_it() -> bool:
        found = follower("app_configuration")
        due(found.origin)
        return found.follow()

    return at_it


def follower(name: str) -> Follower:
    found = followers.follower(name)
    assert found is not None
    return found


def due(origin: Any) -> None:
    """Let a store be asked at once: its client asks once a second at most."""
    provider = origin._provider
    if provider is not None:
        provider._refresh_timer._next_refresh_time = 0
        for client in provider._replica_client_manager._replica_clients:
            client.backoff_end_time = 0


def forget() -> None:
    for cache in (origins._directory, origins._app_configuration, followers._follower):
        cache.cache_clear()
