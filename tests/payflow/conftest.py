"""The path's fixtures: pages are tested on what it writes."""

from __future__ import annotations

from tests.ingestion.conftest import event, ingest, ready
from tests.pages import fresh_cache, look, staff

__all__ = ["event", "fresh_cache", "ingest", "look", "ready", "staff"]
