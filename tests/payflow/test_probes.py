"""Probes: alive whatever else is down, ready only with everything that is needed."""

from __future__ import annotations

import pytest
from django.db import connection

from ingestion.leaves import leaf_at
from payflow import probes


def test_a_process_is_alive_whatever_is_down(client, settings):
    """No database is asked (pytest-django would refuse it here), and no Valkey."""
    settings.REDIS_URL = settings.STREAMS_URL = "redis://127.0.0.1:1/0"

    response = client.get("/livez")

    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


def test_ready_means_that_everything_is_there(ready, client):
    """Each check is named."""
    response = client.get("/readyz")

    assert response.status_code == 200
    assert response.json()["checks"] == dict.fromkeys(
        ("database", "migrations", "leaf", "broker", "streams"), "ok"
    )


@pytest.mark.parametrize(("setting", "name"), [("REDIS_URL", "broker"), ("STREAMS_URL", "streams")])
def test_a_valkey_that_is_away_is_named(ready, client, settings, setting, name):
    """Alone: the others are still asked."""
    setattr(settings, setting, "redis://user:hunter2@127.0.0.1:1/0")

    response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json()["failed"] == [name]
    assert "hunter2" not in response.content.decode()


def test_a_database_that_is_away_is_named(ready, client, monkeypatch):
    """Within seconds, and without its address."""
    away = connection.get_connection_params() | {"host": "127.0.0.1", "port": 1}
    monkeypatch.setattr(connection, "get_connection_params", lambda: dict(away))

    response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json()["failed"] == ["database", "migrations", "leaf"]
    assert response.json()["checks"]["database"] == "does not answer (OperationalError)"


def test_a_migration_that_is_not_applied_is_named(ready, client, monkeypatch):
    """New code on an old database must not get traffic."""
    known = probes._known_migrations() | {("metrics", "9999_later")}
    monkeypatch.setattr(probes, "_known_migrations", lambda: known)

    response = client.get("/readyz")

    assert response.json()["checks"]["migrations"] == "1 not applied, first metrics.9999_later"


def test_a_missing_leaf_is_named_with_its_remedy(ready, client, monkeypatch):
    """Every commit would wait for it."""
    monkeypatch.setattr(probes, "leaf_at", lambda now: leaf_at(now.replace(year=2030)))

    response = client.get("/readyz")

    assert response.status_code == 503
    assert "manage.py partitions ensure" in response.json()["checks"]["leaf"]


def test_probes_are_asked_by_get_and_never_cached(client):
    """A cache in between would say yesterday's state."""
    assert client.post("/livez").status_code == 405
    assert "no-store" in client.get("/livez")["Cache-Control"]


def test_probes_need_no_tls(client, settings):
    """Whoever asks them stands beside the process, before any proxy."""
    settings.SECURE_SSL_REDIRECT = True

    assert client.get("/livez").status_code == 200
    assert client.get("/login/").status_code == 301
