"""A draft of the shipped rules with a few differences, and a shadow of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from configuration.models import ConfigurationVersion
from configuration.versions import create_draft
from ingestion.models import Shadow
from ingestion.shadow.lifecycle import start
from tests.pages import fresh_cache, look, staff

__all__ = ["fresh_cache", "look", "staff"]

NEW = {
    "name": "web_volume",
    "description": "Payments over the web.",
    "type": "COUNTER",
    "where": "channel = 'web'",
}


def draft_of(kind: str, change: Callable[[dict[str, Any]], None]) -> ConfigurationVersion:
    """A draft of the active default rule set with a change."""
    active = ConfigurationVersion.objects.get(kind=kind, name="default", status="active")
    document = json.loads(json.dumps(active.document))
    change(document)
    draft = create_draft(kind=kind, name="default", text=yaml.safe_dump(document, sort_keys=False))
    assert draft.problems == []
    return draft


def rule(document: dict[str, Any], name: str, key: str = "metrics") -> dict[str, Any]:
    found: dict[str, Any] = next(entry for entry in document[key] if entry["name"] == name)
    return found


def change_metrics(document: dict[str, Any]) -> None:
    """One rule new, one gone, one with another threshold; all others as they are."""
    document["metrics"].append(NEW)
    document["metrics"].remove(rule(document, "currency_mix"))
    rule(document, "high_value")["where"] = "transaction_type <> 'refund' AND amount >= 100"


@pytest.fixture
def draft(ready: None) -> ConfigurationVersion:
    return draft_of("metrics", change_metrics)


@pytest.fixture
def shadow(draft: ConfigurationVersion) -> Shadow:
    """It may use half a core for an hour."""
    return start(draft, minutes=60, share=50, by=None)
