"""The three documents of an installation, taken from a store in one look."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from configuration.models import ConfigurationVersion, RemoteDocument, Source
from tests.azure_servers import AppConfiguration
from tests.configuration.remote.test_app_configuration import ROOT, packed
from tests.ingestion.conftest import ready

__all__ = ["ready"]

SHIPPED = {
    "schemas:transaction:v1": ROOT / "ingestion/schemas/transaction.yaml",
    "metrics:definitions:v1": ROOT / "metrics/rule_sets/default.yaml",
    "compliance:rules:v1": ROOT / "metrics/rule_sets/compliance.yaml",
}


@pytest.mark.usefixtures("ready")
def test_one_look_makes_all_three_live(store: AppConfiguration, look: Callable[[], bool]):
    """Changed schema, metric and compliance rules are in the bundle of the source together."""
    for key, path in SHIPPED.items():
        text = path.read_text(encoding="utf-8").replace(
            "description: >\n", "description: >\n  New.\n", 1
        )
        store.put(
            key,
            packed(f"{text}\n# kept elsewhere\n".replace("window: 5m", "window: 15m", 1).encode()),
        )

    look()

    assert list(RemoteDocument.objects.exclude(problems=[]).values_list("key", "problems")) == []
    bundle = Source.objects.get(name="demo").active_bundle
    assert bundle is not None
    live = ConfigurationVersion.objects.get(kind="metrics", status="active")
    assert (bundle.schema["version"], live.number) == (2, 2)
