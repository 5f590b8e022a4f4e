"""Embedded PostgreSQL and Valkey from wheels: for development, tests and small installations."""

from __future__ import annotations

from payflow.lib.services.local import VARIABLES, LocalServices, ServiceStatus
from payflow.lib.services.server import ServiceError
from payflow.lib.services.urls import ServiceUrls, read_urls

__all__ = [
    "VARIABLES",
    "LocalServices",
    "ServiceError",
    "ServiceStatus",
    "ServiceUrls",
    "read_urls",
]
