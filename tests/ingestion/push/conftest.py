"""A source that is open for HTTP, somebody who may push to it, and what its streams then hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client
from knox.models import AuthToken

from configuration.models import Source
from ingestion.push import views
from ingestion.push.models import PushAccess
from ingestion.push.publishers import PublisherPool
from tests.ingestion.streaming import PARTITIONS, PREFIX

URL = "/api/v1/sources/demo/events"


@pytest.fixture
def access(db: None) -> PushAccess:
    """The source `demo`, open for `shop`."""
    settings = {"stream": PREFIX, "partitions": PARTITIONS}
    source, _ = Source.objects.get_or_create(
        name="demo",
        defaults={
            "broker_type": "redis_streams",
            "settings": settings,
            "schema_name": "transaction",
        },
    )
    made = PushAccess.objects.create(source=source)
    made.senders.add(User.objects.create_user("shop"))
    return made


@pytest.fixture
def token(access: PushAccess) -> str:
    """Of `shop`."""
    return str(AuthToken.objects.create(access.senders.get())[1])


@pytest.fixture(autouse=True)
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[PublisherPool]:
    """The view's publishers, closed after the test."""
    made = PublisherPool()
    monkeypatch.setattr(views, "_pool", made)
    yield made
    made.close()


@pytest.fixture
def push(token: str) -> Callable[..., Any]:
    """POST as `shop`: a body, its content type, and headers as HTTP writes them."""

    def send(body: bytes | str, kind: str = "application/json", **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Client().post(
            URL, body, content_type=kind, headers={"Authorization": f"Bearer {token}"} | named
        )

    return send


@pytest.fixture
def queued(streams: redis.Redis) -> Callable[[], list[bytes]]:
    """The bodies in the streams of `demo`, partition by partition, oldest first."""

    def entries(number: int) -> Any:
        return streams.xrange(f"{PREFIX}.{number}")

    def read() -> list[bytes]:
        return [fields[b"body"] for number in range(PARTITIONS) for _, fields in entries(number)]

    return read
