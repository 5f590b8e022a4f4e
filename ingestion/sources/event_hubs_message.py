"""From an event as AMQP carries it to the bytes, headers and times that a batch has."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

SEQUENCE_NUMBER: Final = b"x-opt-sequence-number"
OFFSET: Final = b"x-opt-offset"
ENQUEUED_TIME: Final = b"x-opt-enqueued-time"
PARTITION_KEY: Final = b"x-opt-partition-key"

#: properties of AMQP that are kept as headers. An application property of the same name wins.
_KEPT: Final = (
    ("message_id", "message_id"),
    ("correlation_id", "correlation_id"),
    ("content_type", "content_type"),
    ("content_encoding", "content_encoding"),
    ("subject", "subject"),
    ("creation_time", "creation_time"),
    ("group_id", "group_id"),
)
#: bytes that are no text, as data: URIs do
_BASE64: Final = "base64:"


def body_of(message: Any) -> bytes:
    """The bytes of an event: its data sections joined, or what else it holds as JSON."""
    data = message.data
    if data:
        return bytes(data[0]) if len(data) == 1 else b"".join(data)
    value = message.value if message.value is not None else message.sequence
    if value is None:
        return b""
    if isinstance(value, bytes):  # an AMQP string, as the SDK decodes it
        return value
    return json.dumps(_plain(value), ensure_ascii=False).encode()


def headers_of(message: Any) -> bytes | None:
    """Application properties and the properties worth keeping as a JSON object, None if none.

    Offset, sequence number and time are no headers: the batch itself has them, and an offset may
    look like a card number.
    """
    properties = message.properties
    headers: dict[str, Any] = {}
    if properties is not None:
        for name, header in _KEPT:
            value = getattr(properties, name)
            if value is not None:
                headers[header] = _plain(value)
    for name, value in (message.application_properties or {}).items():
        headers[_name(name)] = _plain(value)
    return json.dumps(headers, ensure_ascii=False).encode() if headers else None


def _name(value: Any) -> str:
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain)


def _plain(value: Any) -> Any:
    """What JSON can hold, losing nothing: an AMQP string comes as its UTF-8 bytes."""
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, Mapping):
        return {_name(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if value - value == 0 else str(value)  # JSON has no NaN and no infinity
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return _BASE64 + base64.b64encode(value).decode()
