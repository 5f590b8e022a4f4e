"""A draft of the shipped rules with a few differences, and a shadow of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from configuration.models import ConfigurationVersion
from ingestion.shadow.lifecycle import start
from ingestion.shadow.models import Shadow
from tests.ingestion.trybox.conftest import draft_of as draft_of_any
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
    return draft_of_any(kind, "default", change)


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
