"""Dead letters as an app."""

from __future__ import annotations

from django.apps import AppConfig


class DeadletterConfig(AppConfig):
    name = "deadletter"
    verbose_name = "Dead letters"
