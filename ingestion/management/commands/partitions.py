"""manage.py partitions ensure | status [--json]: the leaves of the partitioned tables."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ingestion.leaves import ensure_leaves, leaf_status


class Command(BaseCommand):
    help = "Make the leaves of the weeks ahead, or list those that exist."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=("ensure", "status"))
        parser.add_argument("--json", action="store_true")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["action"] == "ensure":
            for leaf in ensure_leaves():
                self.stdout.write(f"{leaf.suffix}  {leaf.lower:%Y-%m-%d} to {leaf.upper:%Y-%m-%d}")
            return
        rows = leaf_status()
        if options["json"]:
            self.stdout.write(json.dumps(rows))
            return
        for row in rows:
            self.stdout.write(
                f"{row['leaf']:<40} {max(0, row['rows']):>14,} rows "
                f"{row['bytes'] / 2**20:>10,.1f} MiB"
            )
