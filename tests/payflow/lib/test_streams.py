"""The client of streams: what is no address is said before anything connects."""

from __future__ import annotations

import pytest

from payflow.lib.errors import SourceUnavailable
from payflow.lib.streams import open_client


@pytest.mark.parametrize(
    "url",
    [
        "http://h/0",
        "redis://h:port/0",
        "redis://h/0?socket_timeout=soon",
        "redis://:hunter2@h/0?unknown=1",
    ],
)
def test_what_is_no_address_of_redis_is_named_without_its_password(monkeypatch, url):
    """A misspelt parameter, too; by the reference that it stands behind."""
    monkeypatch.setenv("CARDS_URL", url)

    with pytest.raises(SourceUnavailable) as caught:
        open_client("env:CARDS_URL")

    assert str(caught.value) == "The address that env:CARDS_URL stands for is no Redis URL."
