"""Why a source on Redis or Valkey streams can or cannot be read."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.exceptions import NoPermissionError

from ingestion.sources.base import ConnectionStep
from ingestion.sources.diagnosis import StepFailed, look_in_order, look_up, open_tcp, open_tls
from ingestion.sources.redis_settings import RedisStreamsSettings
from ingestion.sources.stream_position import StreamState
from payflow.lib.env import BadEnvironment
from payflow.lib.errors import SourceUnavailable
from payflow.lib.references import resolve_reference
from payflow.lib.streams import OWN_URL, open_client, stream_key

_DEFAULT_PORT = 6379


def diagnose_streams(settings: RedisStreamsSettings) -> list[ConnectionStep]:
    """Address, DNS, TCP, TLS (rediss:// only), credentials, streams."""
    try:
        parts = urlsplit(resolve_reference(settings.url, own=(OWN_URL,)))
        host, port = parts.hostname or "", parts.port or _DEFAULT_PORT
        open_client(settings.url).close()
    except (BadEnvironment, SourceUnavailable) as exc:
        return _nothing_but(str(exc))
    except ValueError:  # its text may repeat the password
        return _nothing_but(f"The address that {settings.url} stands for is no Redis URL.")
    steps: list[tuple[str, Callable[[], str]]] = []
    if parts.scheme != "unix":
        steps += [("DNS", lambda: look_up(host, port)), ("TCP", lambda: open_tcp(host, port))]
    if parts.scheme == "rediss":
        context = ssl.create_default_context()
        steps.append(("TLS", lambda: open_tls(host, port, context=context)))
    steps += [
        ("Credentials", lambda: _log_in(settings)),
        ("Streams", lambda: _find_streams(settings)),
    ]
    return look_in_order(steps)


def _nothing_but(detail: str) -> list[ConnectionStep]:
    rest = ("DNS", "TCP", "Credentials", "Streams")
    return [
        ConnectionStep(name="Address", is_ok=False, detail=detail),
        *(ConnectionStep(name=name, is_ok=None) for name in rest),
    ]


def _log_in(settings: RedisStreamsSettings) -> str:
    with open_client(settings.url) as client:
        try:
            client.ping()
        except (redis.AuthenticationError, NoPermissionError) as exc:
            raise StepFailed(
                f"The server refuses the user name or password of {settings.url}."
            ) from exc
        except redis.RedisError as exc:
            raise StepFailed(f"The server does not answer a PING ({type(exc).__name__}).") from exc
    return "The server answers."


def _find_streams(settings: RedisStreamsSettings) -> str:
    """Streams that do not exist yet are no fault: the first message makes them."""
    with open_client(settings.url) as client:
        keys = [stream_key(settings.stream, number) for number in range(settings.partitions)]
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.xinfo_stream(key)
        try:
            replies = pipeline.execute(raise_on_error=False)
            found = [_is_there(key, reply) for key, reply in zip(keys, replies, strict=True)]
        except redis.RedisError as exc:
            raise StepFailed(f"The server does not answer ({type(exc).__name__}).") from exc
    missing = found.count(False)
    if not missing:
        return f"All {len(found):,} are there."
    return f"{missing:,} of {len(found):,} do not exist yet: the first message makes them."


def _is_there(key: str, reply: Any) -> bool:
    if not isinstance(reply, redis.RedisError):
        try:
            StreamState.from_info(reply)
        except SourceUnavailable as exc:
            raise StepFailed(str(exc)) from exc
        return True
    if "no such key" in str(reply):
        return False
    if "WRONGTYPE" in str(reply):
        raise StepFailed(f"{key} is no stream: name another stream, or remove what is there.")
    if isinstance(reply, NoPermissionError):
        raise StepFailed(f"The user may not read {key}.")
    raise reply
