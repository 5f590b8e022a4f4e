from __future__ import annotations

import pytest
from django.conf import settings
from django.core.checks import CheckMessage, run_checks
from django.db import connection

from payflow import checks

URL = "redis://:p@127.0.0.1:6379/0"


def ids(found: list[CheckMessage]) -> list[str | None]:
    return [message.id for message in found]


@pytest.fixture
def database(monkeypatch):
    """The database's settings, to be changed for one test (Django warns of an override)."""
    monkeypatch.setitem(settings.DATABASES, "default", {**settings.DATABASES["default"]})
    return settings.DATABASES["default"]


def test_settings_of_this_run_are_sound(monkeypatch):
    """With two Valkeys, one database and named secrets no check of ours complains."""
    monkeypatch.setenv("DJANGO_SECRET_KEY", "k")
    monkeypatch.setenv("PAYFLOW_SCRUB_KEY", "k")

    assert [m for m in run_checks() if str(m.id).startswith("payflow")] == []


def test_no_database_is_e001(database):
    """Neither DATABASE_URL nor embedded servers: payflow.E001 says how to get one."""
    database["NAME"] = ""

    (found,) = checks.check_database(None)

    assert found.id == "payflow.E001"
    assert "services start" in str(found.hint)


def test_pool_with_persistent_connections_is_e002(database):
    """A pool beside CONN_MAX_AGE would keep every connection twice: payflow.E002."""
    database |= {"OPTIONS": {"pool": {"min_size": 2}}, "CONN_MAX_AGE": None}

    assert ids(checks.check_database(None)) == ["payflow.E002"]


def test_pool_alone_is_fine(database):
    """The pool of the web role passes."""
    database |= {"OPTIONS": {"pool": {"min_size": 2}}, "CONN_MAX_AGE": 0}

    assert ids(checks.check_database(None)) == []


@pytest.mark.parametrize(
    ("streams", "debug", "expected"),
    [
        ("redis://:other@127.0.0.1/5", False, ["payflow.E003"]),
        ("redis://:other@127.0.0.1/5", True, []),
        ("redis://:p@127.0.0.1:6380/0", False, []),
    ],
)
def test_one_valkey_for_both_is_e003(settings, streams, debug, expected):
    """Streams on the broker's server (another database number is no other server): payflow.E003."""
    settings.REDIS_URL, settings.STREAMS_URL, settings.DEBUG = URL, streams, debug

    assert ids(checks.check_valkey(None)) == expected


def test_missing_valkey_is_e004(settings):
    """Each address that is missing is named: payflow.E004."""
    settings.REDIS_URL, settings.STREAMS_URL = URL, ""

    (found,) = checks.check_valkey(None)

    assert found.id == "payflow.E004"
    assert "STREAMS_URL" in found.msg


def test_other_databases_are_e005(monkeypatch):
    """SQLite and MySQL are refused by name: payflow.E005."""
    monkeypatch.setenv("DATABASE_URL", "sqlite:///db.sqlite3")

    (found,) = checks.check_database(None)

    assert found.id == "payflow.E005"
    assert "sqlite" in found.msg


@pytest.mark.django_db
def test_old_postgres_is_e006(monkeypatch):
    """PostgreSQL before 15 is refused: payflow.E006."""
    assert checks.check_postgres_version(None, databases=["default"]) == []
    version = connection.connection.info.server_version
    monkeypatch.setattr(checks, "_OLDEST_POSTGRES", version + 1)

    assert ids(checks.check_postgres_version(None, databases=["default"])) == ["payflow.E006"]


def test_generated_secret_beside_a_shared_database_is_w001(monkeypatch):
    """A key made up on one machine does not fit a database that others share: payflow.W001."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@db/payflow")
    monkeypatch.setenv("DJANGO_SECRET_KEY", "k")
    monkeypatch.delenv("PAYFLOW_SCRUB_KEY", raising=False)

    (found,) = checks.check_secrets(None)

    assert found.id == "payflow.W001"
    assert "PAYFLOW_SCRUB_KEY" in found.msg
