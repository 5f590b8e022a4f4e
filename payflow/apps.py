"""The project as a Django app: it brings the system checks and the commands that run a machine."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class PayflowConfig(AppConfig):
    name = "payflow"
    verbose_name = "payflow"

    def ready(self) -> None:
        import_module("payflow.checks")  # importing registers them
