"""The settings of a source on Redis or Valkey streams."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from ingestion.sources.settings import SettingsReader
from payflow.lib.references import REFERENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisStreamsSettings:
    """Where the streams are."""

    #: a reference, or an address without a password
    url: str
    #: prefix; partition n is the stream `<stream>.<n>`
    stream: str
    partitions: int
    #: milliseconds a batch waits for more after its first message
    linger_ms: int
    #: entries a stream may hold before producers have to wait; never cuts anything
    max_length: int


def parse_settings(settings: Mapping[str, Any]) -> RedisStreamsSettings:
    """url, stream, partitions (1..1024), linger_ms (20..5000), max_length (1,000 or more)."""
    reader = SettingsReader(settings)
    parsed = RedisStreamsSettings(
        url=reader.text("url", default="env:STREAMS_URL"),
        stream=reader.text("stream", max_length=256),
        partitions=reader.number("partitions", default=4, minimum=1, maximum=1024),
        linger_ms=reader.number("linger_ms", default=100, minimum=20, maximum=5000),
        max_length=reader.number(
            "max_length", default=1_000_000, minimum=1000, maximum=1_000_000_000
        ),
    )
    if parsed.url and not _is_safe_url(parsed.url):
        rule = (
            "it must be env:NAME or keyvault:NAME, or redis://, rediss:// or unix:// "
            "without a password"
        )
        reader.refuse("url", rule, secret=True)
    if parsed.stream and not re.fullmatch(r"[\w:.{}-]+", parsed.stream, re.ASCII):
        reader.refuse("stream", "it must be of letters, digits and _ : . { } -")
    reader.finish()
    return parsed


def _is_safe_url(url: str) -> bool:
    """A reference, or an address that holds no secret."""
    if REFERENCE.match(url):
        return True
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("redis", "rediss", "unix")
            and parts.password is None
            and parts.port != 0  # raises where it is no number
            # a / in a password ends the server's part of the address before the @
            and "@" not in unquote(parts.path + parts.query + parts.fragment)
            and "password" not in unquote(parts.query).lower()
        )
    except ValueError:
        return False
