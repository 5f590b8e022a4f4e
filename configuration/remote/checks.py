"""System checks of the places that configuration is taken from."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import DatabaseError, connections

from configuration.remote.app_configuration import endpoint_of
from configuration.remote.drift import noted_trouble
from payflow.lib.env import BadEnvironment, read_str
from payflow.lib.vault import vault_url


@register("payflow")
def check_places(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    found: list[CheckMessage] = []
    directory, address = settings.PAYFLOW["CONFIG_DIR"], settings.PAYFLOW["APPCONFIG"]
    has_vault = bool(read_str("PAYFLOW_KEYVAULT_URL", default=""))
    if directory and not Path(directory).is_dir():
        hint = "What is active stays so; make the directory, or unset PAYFLOW_CONFIG_DIR."
        found.append(Warning(f"{directory} is no directory.", hint=hint, id="payflow.W002"))
    for is_set, check in ((address, lambda: endpoint_of(address)), (has_vault, vault_url)):
        if is_set and (text := _refusal(check)):
            found.append(Error(text, id="payflow.E007"))
    if (address or has_vault) and not _has_extra():
        hint = "pip install --requirement requirements/azure.txt"
        found.append(Error("The extra for Azure is not installed.", hint=hint, id="payflow.E008"))
    return found


@register(Tags.database)
def check_followed(
    app_configs: Sequence[AppConfig] | None,  # noqa: ARG001
    databases: Sequence[str] | None = None,
    **kwargs: Any,  # noqa: ARG001
) -> list[CheckMessage]:
    """What the workers found the last time they looked."""
    if "default" not in (databases or ()):
        return []
    tables = connections["default"].introspection.table_names()
    if "configuration_remotes" not in tables:  # before the first migration
        return []
    try:
        sentences = noted_trouble()
    except DatabaseError:  # before a later one
        return []
    return [Warning(text, id="payflow.W003") for text in sentences]


def _has_extra() -> bool:
    names = ("azure.appconfiguration.provider", "azure.identity", "azure.keyvault.secrets")
    try:
        return all(find_spec(name) for name in names)
    except ModuleNotFoundError:
        return False


def _refusal(check: Any) -> str:
    try:
        check()
    except BadEnvironment as exc:
        return str(exc)
    return ""
