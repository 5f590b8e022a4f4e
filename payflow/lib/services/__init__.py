"""Embedded PostgreSQL and Valkey from wheels: for development, tests and small installations."""

from __future__ import annotations

from payflow.lib.services.urls import ServiceUrls, read_urls

__all__ = ["ServiceUrls", "read_urls"]
