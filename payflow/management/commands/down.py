"""`manage.py down`: end a run that was started with `up`, and the embedded servers."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from payflow.lib.services import LocalServices, ServiceError
from payflow.lib.services.leftovers import end_leftovers
from payflow.lib.services.run_lock import end_run


class Command(BaseCommand):
    help = "Stop payflow and the embedded servers of this state directory, whatever of them runs."
    requires_system_checks = []

    def handle(self, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        try:
            end_run(settings.STATE_DIR, timeout_s=30)
            end_leftovers(settings.STATE_DIR.absolute(), patience_s=5)
            LocalServices(settings.STATE_DIR).stop()
        except ServiceError as exc:
            raise CommandError(str(exc)) from exc
        self.stdout.write("Stopped.")
