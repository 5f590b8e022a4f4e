"""The project as a Django app: it brings the system checks and the commands that run a machine."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class PayflowConfig(AppConfig):
    name = "payflow"
    verbose_name = "payflow"

    def ready(self) -> None:
        import_module("payflow.checks")  # importing registers them
        import_module("configuration.remote.checks")


class PayflowAdminConfig(AdminConfig):
    """Django's admin with our site: payflow/site.py."""

    default_site = "payflow.site.PayflowAdminSite"
