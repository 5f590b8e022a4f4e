"""docker-compose.yml as `docker compose` reads it: anchors merged, variables put in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?::([-?])([^}]*))?\})")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`$$`, `${NAME}`, `${NAME:-default}` and `${NAME:?why}` as Compose replaces them."""

    def value(match: re.Match[str]) -> str:
        name, kind, more = match.groups()
        if name is None:
            return "$"
        if variables.get(name):
            return variables[name]
        assert kind != "?", f"{name}: {more}"
        return more or ""

    return _VARIABLE.sub(value, text)


def environment(service: str, variables: Mapping[str, str]) -> dict[str, str]:
    """What a service's processes see of the file."""
    declared: dict[str, str] = SERVICES[service].get("environment", {})
    return {name: expand(value, variables) for name, value in declared.items()}


def command(service: str, variables: Mapping[str, str]) -> list[str]:
    """What a service of ours runs: its own command, or that of the image."""
    declared = SERVICES[service].get("command") or image_command()
    return [expand(word, variables) for word in declared]


def image_command() -> list[str]:
    """The CMD of the Dockerfile."""
    (found,) = re.findall(r"^CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    words: list[str] = yaml.safe_load(found)
    return words


def health_command(service: str, variables: Mapping[str, str]) -> list[str]:
    """What Docker would run to see whether a service is well."""
    kind, *words = SERVICES[service]["healthcheck"]["test"]
    expanded = [expand(word, variables) for word in words]
    return ["/bin/sh", "-c", *expanded] if kind == "CMD-SHELL" else expanded
