"""Fixtures of the passport's tests: pages on what the path writes."""

from __future__ import annotations

from tests.ingestion.conftest import event, ingest, ready
from tests.pages import fresh_cache, look, staff

__all__ = ["event", "fresh_cache", "ingest", "look", "ready", "staff"]
