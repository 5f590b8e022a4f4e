"""Fixtures of the server's own tests."""

from __future__ import annotations

from tests.eventhubs.fixtures import eventhubs, eventhubs_server

__all__ = ["eventhubs", "eventhubs_server"]
