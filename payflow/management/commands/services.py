"""`manage.py services start|stop|status`: the embedded servers alone. Needs no database."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from payflow.lib.services import LocalServices, ServiceError, ServiceStatus


class Command(BaseCommand):
    help = "Start, stop or show the embedded PostgreSQL and Valkeys under PAYFLOW_STATE_DIR."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["start", "stop", "status"])
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *, action: str, **options: Any) -> None:
        services = LocalServices(settings.STATE_DIR, say=self.stderr.write)
        try:
            if action == "start":
                services.start()
            elif action == "stop":
                services.stop()
            statuses = services.status()
        except ServiceError as exc:
            raise CommandError(str(exc)) from exc
        if options["json"]:
            self.stdout.write(json.dumps({s.name: asdict(s) for s in statuses}))
        else:
            for status in statuses:
                self.stdout.write(_line(status))
        if action == "status" and not all(status.healthy for status in statuses):
            raise SystemExit(1)


def _line(status: ServiceStatus) -> str:
    if not status.running:
        return f"{status.name:9} stopped"
    health = "running" if status.healthy else "not answering"
    return f"{status.name:9} {health}, 127.0.0.1:{status.port}, process {status.pid}"
