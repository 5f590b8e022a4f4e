"""`configure push`: the active rule sets as JSON in a blob container, for whoever else needs them.

`compliance/default/v000003.json` is written once, never changed; `compliance/default/active.json`
is the one that was active when it was pushed for the last time. Both hold kind, name, version,
checksum, activated_at and document.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from configuration import audit
from configuration.models import ConfigurationVersion
from payflow.lib.env import BadEnvironment, read_str
from payflow.lib.errors import Permanent, Retryable
from payflow.lib.vault import azure_credential

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

Kind = ConfigurationVersion.Kind

CONTAINER: Final = "compliance-rules"
RULE_SETS: Final = (Kind.COMPLIANCE, Kind.METRICS)
#: seconds; a rule set is small
_TIMEOUTS: Final[dict[str, Any]] = {"connection_timeout": 5, "read_timeout": 30, "retry_total": 2}


class NotPushed(Retryable):
    """The storage account did not take the rules; what was written before stays."""


class PushedBefore(Permanent):
    """The container holds another document under this name and version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """One version in the container."""

    version: ConfigurationVersion
    #: name of the blob that is never changed
    path: str
    #: "written", or "there" when it stood in the container already
    status: Literal["written", "there"]


def push_rules(
    names: Sequence[str] = (), *, kinds: Sequence[str] = RULE_SETS, container: str = CONTAINER
) -> list[Pushed]:
    """Write the active rule sets of these kinds (and names, if any are given) into a container.

    Pushing twice writes nothing twice. Raises BadEnvironment when PAYFLOW_RULES_STORAGE is unset
    or no address, NotPushed when it does not answer, PushedBefore when another installation has
    pushed another document under the same name and version.
    """
    versions = ConfigurationVersion.objects.filter(
        kind__in=kinds, status=ConfigurationVersion.Status.ACTIVE
    ).order_by("kind", "name")
    if names:
        versions = versions.filter(name__in=names)
    client = _client(container)
    from azure.core.exceptions import AzureError  # noqa: PLC0415  an extra

    try:
        with client:
            pushed = [_push(client, version) for version in versions]
    except AzureError as exc:
        code = getattr(exc, "error_code", None)
        reason = getattr(code, "value", code) or type(exc).__name__
        raise NotPushed(f"{client.account_name} did not take the rules: {reason}.") from exc
    return pushed


def _push(client: ContainerClient, version: ConfigurationVersion) -> Pushed:
    from azure.core.exceptions import ResourceExistsError  # noqa: PLC0415  an extra

    folder = f"{version.kind}/{version.name}"
    path = f"{folder}/v{version.number:06}.json"
    data = content_of(version)
    values: dict[str, Any] = {"metadata": {"checksum": version.checksum}}
    try:
        _upload(client, path, data, overwrite=False, **values)
    except ResourceExistsError:
        there = client.get_blob_client(path).get_blob_properties().metadata
        if there.get("checksum") != version.checksum:
            text = f"{path} is another document already: another installation has written it."
            raise PushedBefore(text) from None
        status: Literal["written", "there"] = "there"
    else:
        status = "written"
        audit.record("pushed", str(version), version=version, container=client.container_name)
    _upload(client, f"{folder}/active.json", data, overwrite=True, **values)
    return Pushed(version=version, path=path, status=status)


def content_of(version: ConfigurationVersion) -> bytes:
    """A version as JSON text, the same each time."""
    at = version.activated_at
    content = {
        "kind": version.kind,
        "name": version.name,
        "version": version.number,
        "checksum": version.checksum,
        "activated_at": at.isoformat() if at else None,
        "document": version.document,
    }
    return json.dumps(content, indent=2, ensure_ascii=False).encode()


def _upload(
    client: ContainerClient, path: str, data: bytes, *, overwrite: bool, **values: Any
) -> None:
    """The container is made when it is missing: an identity that may only write need not try."""
    from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415  an extra
    from azure.storage.blob import ContentSettings  # noqa: PLC0415  an extra

    settings = ContentSettings(content_type="application/json; charset=utf-8")
    try:
        client.upload_blob(path, data, overwrite=overwrite, content_settings=settings, **values)
    except ResourceNotFoundError:
        client.create_container()
        client.upload_blob(path, data, overwrite=overwrite, content_settings=settings, **values)


def _client(container: str) -> ContainerClient:
    address = read_str("PAYFLOW_RULES_STORAGE")
    try:
        from azure.storage.blob import ContainerClient  # noqa: PLC0415  an extra
    except ImportError as exc:
        raise BadEnvironment("Azure needs the extra: install requirements/azure.txt.") from exc
    try:
        if address.startswith("https://"):
            return ContainerClient(address, container, credential=azure_credential(), **_TIMEOUTS)
        return ContainerClient.from_connection_string(address, container, **_TIMEOUTS)
    except (ValueError, KeyError):  # their text may repeat the key
        raise BadEnvironment(
            "PAYFLOW_RULES_STORAGE must be a storage account's connection string, or "
            "https://ACCOUNT.blob.core.windows.net: then Azure's identity is used."
        ) from None
