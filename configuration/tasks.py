"""Celery's part of configuration: following what is kept elsewhere."""

from __future__ import annotations

from celery import shared_task

from configuration.remote.followers import follower


@shared_task(name="configuration.tasks.sync_configuration")
def sync_configuration(origin: str) -> None:
    """Look once at a place of configuration: "directory" or "app_configuration"."""
    found = follower(origin)
    if found is not None:
        found.follow()
