"""Redis and Valkey streams as payflow uses them: names, fields and the client of both ends."""

from __future__ import annotations

from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from payflow.lib.env import BadEnvironment
from payflow.lib.errors import SourceUnavailable
from payflow.lib.references import resolve_reference

#: Fields of one entry: the message, and optionally its partition key and its headers (JSON object).
BODY = b"body"
KEY = b"key"
HEADERS = b"headers"

#: payflow's own server of streams, to which a source may refer as to any other
OWN_URL = "env:STREAMS_URL"

#: How long one call may take; a blocking read must ask for less.
SOCKET_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 2.0


def stream_key(prefix: str, partition: str | int) -> str:
    """The stream of one partition."""
    return f"{prefix}.{partition}"


def open_client(url: str) -> redis.Redis:
    """A client of the server at `url` (or of the reference `env:NAME`); it connects when used.

    RESP2, whose replies look alike in every version of the library. No hidden retries: a repeated
    XADD would be a second event, and whoever calls knows better how long to wait. Raises
    SourceUnavailable when the reference leads to no address.
    """
    try:
        client = redis.Redis.from_url(
            resolve_reference(url, own=(OWN_URL,)),
            protocol=2,
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
        )
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # what cannot be one is said now
    except BadEnvironment as exc:
        raise SourceUnavailable(str(exc)) from exc
    except (ValueError, TypeError):  # their texts may repeat the password
        raise SourceUnavailable(f"The address that {url} stands for is no Redis URL.") from None
    # Entries as they come ([id, [name, value, ..]]): making dicts costs more than all the rest.
    cast("Any", client).set_response_callback("XREAD", _as_it_comes)
    return client


def _as_it_comes(reply: Any, **_options: Any) -> Any:
    return reply or []
