"""The Django project of payflow."""

from __future__ import annotations

from payflow.celery import app as celery_app

__all__ = ["celery_app"]
