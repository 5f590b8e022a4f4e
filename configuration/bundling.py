"""Bundles: what is active for a source, frozen and hashed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from django.db import connection, transaction

from configuration import validators
from configuration.models import Bundle, ConfigurationVersion, Source
from configuration.routes import read_route_table
from payflow.lib.errors import ConfigurationError, Problem
from payflow.lib.version import ENGINE_VERSION

Kind = ConfigurationVersion.Kind
Status = ConfigurationVersion.Status

#: kind of a version -> field of a source that names the one it uses
USED_BY: Final[Mapping[str, str]] = {
    Kind.SCHEMA: "schema_name",
    Kind.METRICS: "metrics_name",
    Kind.COMPLIANCE: "compliance_name",
}
#: advisory lock (two numbers) that every change of what is active holds until it is committed
_LOCK: Final = (0x70617966, 1)


def lock_configuration() -> None:
    """Wait for other changes of what is active.

    Two at once would build bundles that each lack the change of the other.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", _LOCK)


def sources_using(kind: str, name: str) -> list[Source]:
    """The sources that use the active version of a schema or rule set."""
    return [source for source in Source.objects.all() if name in _names_used(source, kind)]


def refresh_bundle(source: Source) -> Bundle:
    """Build the bundle of what is active for a source now, and make it the source's own.

    Raises ConfigurationError naming what is missing or what does not compile.
    """
    with transaction.atomic():
        lock_configuration()
        content = bundle_content(source)
        validators.validate_bundle(content)
        bundle, _ = Bundle.objects.get_or_create(
            source=source, hash=checksum(content), defaults={"content": content}
        )
        now = Source.objects.values("active_bundle_id", "bundle_serial").get(pk=source.pk)
        source.active_bundle, source.bundle_serial = bundle, now["bundle_serial"]
        if now["active_bundle_id"] != bundle.pk:
            source.bundle_serial += 1
            source.save(update_fields=["active_bundle", "bundle_serial"])
    return bundle


def rehearse(version: ConfigurationVersion) -> None:
    """Compile what each source would run with a version, before any transaction waits for it.

    What takes long is kept (metrics/remembered.py), so that refresh_bundle() is quick under its
    lock. Raises ConfigurationError as it would.
    """
    for source in sources_using(version.kind, version.name):
        validators.validate_bundle(bundle_content(source, instead=version))


def bundle_content(
    source: Source, *, instead: ConfigurationVersion | None = None
) -> dict[str, Any]:
    """All that evaluate() needs of a source, as one JSON document.

    `instead` stands in for the active version of its kind and name.
    """
    active = _Active(instead)
    return {
        "source": source.name,
        **_routes(source, active),
        "metrics": active.part(Kind.METRICS, source.metrics_name, "/metrics_name"),
        "compliance": active.part(Kind.COMPLIANCE, source.compliance_name, "/compliance_name"),
        "engine_version": ENGINE_VERSION,
    }


def checksum(document: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON text."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _names_used(source: Source, kind: str) -> set[str]:
    if kind == Kind.SCHEMA and source.route_table:
        return {row.schema for row in read_route_table(source.route_table).rows}
    return {getattr(source, USED_BY[kind])}


class _Active:
    """The versions that are active, with one put in the place of its kind and name."""

    def __init__(self, instead: ConfigurationVersion | None) -> None:
        self._instead = instead

    def part(self, kind: str, name: str, pointer: str) -> dict[str, Any]:
        """A version as bundles hold it; `pointer` is where the source names it."""
        version = self._version(kind, name)
        if version is None:
            active = ConfigurationVersion.objects.filter(kind=kind, status=Status.ACTIVE)
            known = ", ".join(active.order_by("name").values_list("name", flat=True))
            raise ConfigurationError(
                Problem(
                    pointer=pointer,
                    message=f"no active {Kind(kind).label.lower()} is named {name!r}; "
                    f"active are: {known or 'none'}",
                )
            )
        return {"name": name, "version": version.number, "document": version.document}

    def _version(self, kind: str, name: str) -> ConfigurationVersion | None:
        instead = self._instead
        if instead is not None and (instead.kind, instead.name) == (kind, name):
            return instead
        return ConfigurationVersion.objects.filter(
            kind=kind, name=name, status=Status.ACTIVE
        ).first()


def _routes(source: Source, active: _Active) -> dict[str, Any]:
    """The route table with the active versions of its schemas."""
    table = source.route_table
    if not table:
        schema = active.part(Kind.SCHEMA, source.schema_name, "/schema_name")
        return {"routes": [{"schema": schema}]}
    read_route_table(table)
    routes = [
        {
            "in": route["in"],
            "schema": active.part(
                Kind.SCHEMA, route["schema"], f"/route_table/routes/{position}/schema"
            ),
        }
        for position, route in enumerate(table["routes"])
    ]
    otherwise = table.get("otherwise", "failed")
    return {"route_by": table["by"], "routes": routes, "otherwise": otherwise}
