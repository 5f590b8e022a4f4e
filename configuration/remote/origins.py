"""Which places configuration is taken from: PAYFLOW_CONFIG_DIR and PAYFLOW_APPCONFIG."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from django.conf import settings

from configuration.remote.app_configuration import DEFAULT_KEYS, AppConfiguration
from configuration.remote.directory import Directory
from configuration.remote.found import Origin


def configured() -> dict[str, Origin]:
    """The places that are set, by name; the same objects each time, since they remember.

    A document that stands in several of them is taken from the first. Raises BadEnvironment when
    PAYFLOW_APPCONFIG is no address.
    """
    payflow = settings.PAYFLOW
    found: list[Origin] = []
    if payflow["CONFIG_DIR"]:
        found.append(_directory(payflow["CONFIG_DIR"]))
    if payflow["APPCONFIG"]:
        keys = tuple(payflow["APPCONFIG_KEYS"]) or DEFAULT_KEYS
        found.append(_app_configuration(payflow["APPCONFIG"], payflow["APPCONFIG_LABEL"], keys))
    return {origin.name: origin for origin in found}


@lru_cache(maxsize=1)
def _directory(path: str) -> Directory:
    return Directory(Path(path))


@lru_cache(maxsize=1)
def _app_configuration(address: str, label: str, keys: tuple[str, ...]) -> AppConfiguration:
    return AppConfiguration(address, label=label, keys=keys)
