"""Probes for whoever runs the processes.

`/livez` says that this process answers, whatever else is down: restart it when it does not.
`/readyz` says that everything it needs is there: send it no traffic when it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import psycopg
import redis
from django.conf import settings
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from ingestion.leaves import leaf_at
from payflow.own_connection import connect

#: seconds that one dependency may take: a probe that hangs says nothing
_PATIENCE_S: Final = 2


class NotReady(Exception):
    """Why a check failed, in words that hold no address and no secret."""


@never_cache
@require_safe
def livez(_request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(_request: HttpRequest) -> JsonResponse:
    """{"status", "checks": {name: "ok" or what is wrong}}; 503 unless all are ok."""
    checks = {name: _outcome(check) for name, check in _CHECKS.items()}
    failed = [name for name, outcome in checks.items() if outcome != "ok"]
    body: dict[str, Any] = {"status": "failed" if failed else "ok", "checks": checks}
    if failed:
        body["failed"] = failed
    return JsonResponse(body, status=503 if failed else 200)


def _outcome(check: Callable[[], None]) -> str:
    try:
        check()
    except NotReady as exc:
        return str(exc)
    except (psycopg.Error, redis.RedisError) as exc:
        return f"does not answer ({type(exc).__name__})"
    return "ok"


def _check_database() -> None:
    _query("SELECT 1")


def _check_migrations() -> None:
    applied = set(_query("SELECT app, name FROM django_migrations"))
    missing = sorted(_known_migrations() - applied)
    if missing:
        app, name = missing[0]
        raise NotReady(f"{len(missing)} not applied, first {app}.{name}")


def _check_leaf() -> None:
    (now,) = _query("SELECT clock_timestamp()")[0]
    name = f"batch_outcomes_{leaf_at(now).suffix}"
    if _query("SELECT to_regclass(%s)", name)[0] == (None,):
        raise NotReady("no tables for today; run manage.py partitions ensure")


def _check_broker() -> None:
    _ping(settings.REDIS_URL)


def _check_streams() -> None:
    _ping(settings.STREAMS_URL)


_CHECKS: Final[dict[str, Callable[[], None]]] = {
    "database": _check_database,
    "migrations": _check_migrations,
    "leaf": _check_leaf,
    "broker": _check_broker,
    "streams": _check_streams,
}


@cache
def _known_migrations() -> set[tuple[str, str]]:
    loader = MigrationLoader(None)
    return set(loader.disk_migrations)


def _query(statement: str, *parameters: str) -> list[tuple[Any, ...]]:
    with connect(patience_s=_PATIENCE_S) as database:
        return database.execute(statement, parameters).fetchall()


def _ping(url: str) -> None:
    with redis.Redis.from_url(
        url, socket_connect_timeout=_PATIENCE_S, socket_timeout=_PATIENCE_S
    ) as client:
        client.ping()
