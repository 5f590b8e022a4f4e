"""manage.py load_defaults: shipped schemas and rules, the demo source, leaves. Idempotent."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand

from configuration.activation import activate
from configuration.bundling import checksum, refresh_bundle
from configuration.documents import read_file
from configuration.models import ConfigurationVersion, Source
from configuration.versions import import_document
from ingestion.leaves import ensure_leaves
from payflow.lib.version import VERSION

_ROOT: Final = Path(__file__).resolve().parents[3]
SHIPPED: Final = (_ROOT / "ingestion" / "schemas", _ROOT / "metrics" / "rule_sets")
DEMO: Final = {
    "broker_type": "redis_streams",
    "settings": {"url": "env:STREAMS_URL", "stream": "payflow.demo", "partitions": 4},
    "schema_name": "transaction",
}


class Command(BaseCommand):
    help = __doc__

    def handle(self, *_args: Any, **_options: Any) -> None:
        ensure_leaves()
        for directory in SHIPPED:
            for path in sorted(directory.glob("*.yaml")):
                self._load(path)
        source, created = Source.objects.get_or_create(name="demo", defaults=DEMO)
        if created:
            self.stdout.write("Source demo: created")
        for source in Source.objects.all():
            refresh_bundle(source)

    def _load(self, path: Path) -> None:
        """Activate a shipped document, or offer it as a draft where another is active already.

        In no transaction: rules are tried first, which takes as long as it takes.
        """
        written = read_file(path)
        versions = ConfigurationVersion.objects.filter(kind=written.kind, name=written.name)
        if versions.filter(checksum=checksum(written.document)).exists():
            return
        is_first = not versions.filter(status="active").exists()
        version = import_document(
            kind=written.kind,
            name=written.name,
            document=written.document,
            text=written.text,
            note="shipped" if is_first else f"shipped with payflow {VERSION}",
        )
        if is_first:
            activate(version)
        what = "active" if is_first else "a draft: compare it with what is active"
        self.stdout.write(f"{version.get_kind_display()} {version}: {what}")
