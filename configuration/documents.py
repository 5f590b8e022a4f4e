"""Documents as people write them: YAML or JSON files that become versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from configuration.models import ConfigurationVersion
from payflow.lib.errors import ConfigurationError, Problem


def read_document(path: Path) -> tuple[str, str, dict[str, Any]]:
    """(kind, name, document) of a file: a schema has `columns`, a metric rule set `metrics`.

    Raises ConfigurationError when it is neither or no YAML.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise ConfigurationError(
            Problem(pointer="", message=f"{path.name} is no YAML or JSON: {exc}")
        ) from exc
    if not isinstance(document, dict):
        raise ConfigurationError(Problem(pointer="", message=f"{path.name} holds no mapping"))
    name = document.get("name")
    if not isinstance(name, str):
        raise ConfigurationError(Problem(pointer="/name", message="a name is required"))
    if "columns" in document:
        return ConfigurationVersion.Kind.SCHEMA, name, document
    if "metrics" in document or "extractors" in document:
        return ConfigurationVersion.Kind.METRICS, name, document
    raise ConfigurationError(
        Problem(
            pointer="",
            message=f"{path.name} is neither a transaction schema (`columns`) "
            "nor a metric rule set (`metrics`)",
        )
    )
