"""System checks: wrong settings, each with an id, before they cost somebody a night."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import connections

from payflow.lib.env import read_str

_OLDEST_POSTGRES = 150000


@register("payflow")
def check_database(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    database = settings.DATABASES["default"]
    found: list[CheckMessage] = []
    if not database.get("NAME"):
        hint = "Set DATABASE_URL, or start the embedded servers: manage.py services start."
        found.append(Error("There is no database.", hint=hint, id="payflow.E001"))
    if database["OPTIONS"].get("pool") and database.get("CONN_MAX_AGE") != 0:
        hint = "A pool keeps the connections; CONN_MAX_AGE has to be 0 beside it."
        message = "The database has a pool and persistent connections."
        found.append(Error(message, hint=hint, id="payflow.E002"))
    scheme = urlsplit(read_str("DATABASE_URL", default="postgresql:")).scheme
    if scheme not in ("postgresql", "postgres"):
        hint = "Give it the form postgresql://user:password@host:5432/name."
        message = f"DATABASE_URL names {scheme or 'no kind of database'}; only PostgreSQL works."
        found.append(Error(message, hint=hint, id="payflow.E005"))
    return found


@register("payflow")
def check_valkey(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    urls = {"REDIS_URL": settings.REDIS_URL, "STREAMS_URL": settings.STREAMS_URL}
    missing = [name for name, url in urls.items() if not url]
    if missing:
        hint = "Set the variable, or start the embedded servers: manage.py services start."
        return [Error(f"{name} is not set.", hint=hint, id="payflow.E004") for name in missing]
    if not settings.DEBUG and _server(settings.REDIS_URL) == _server(settings.STREAMS_URL):
        hint = "Events need noeviction and appendfsync always; a flushed broker must not take them."
        message = "REDIS_URL and STREAMS_URL name the same server."
        return [Error(message, hint=hint, id="payflow.E003")]
    return []


@register("payflow")
def check_secrets(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """Generated secrets are for one machine; a named database suggests several."""
    if not read_str("DATABASE_URL", default=""):
        return []
    hint = "Set it: every machine that shares the database needs the same value."
    return [
        Warning(f"{name} is generated on this machine.", hint=hint, id="payflow.W001")
        for name in ("DJANGO_SECRET_KEY", "PAYFLOW_SCRUB_KEY")
        if not read_str(name, default="")
    ]


@register(Tags.database)
def check_postgres_version(
    app_configs: Sequence[AppConfig] | None,  # noqa: ARG001
    databases: Sequence[str] | None = None,
    **kwargs: Any,  # noqa: ARG001
) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for alias in databases or ():
        with connections[alias].cursor() as cursor:
            version = cursor.connection.info.server_version
        if version < _OLDEST_POSTGRES:
            message = f"PostgreSQL {version // 10_000} is too old; payflow needs 15 or newer."
            found.append(Error(message, id="payflow.E006"))
    return found


def _server(url: str) -> tuple[str | None, int]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or 6379
