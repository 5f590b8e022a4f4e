"""Versions of schemas and rule sets: import, activate, and the bundles that follow from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from configuration import validators
from configuration.models import Activation, Bundle, ConfigurationVersion, Source
from payflow.lib.errors import ConfigurationError, Problem
from payflow.lib.version import ENGINE_VERSION

Kind = ConfigurationVersion.Kind
Status = ConfigurationVersion.Status

#: kind of a version -> field of a source that names the one it uses
USED_BY: Mapping[str, str] = {
    Kind.SCHEMA: "schema_name",
    Kind.METRICS: "metrics_name",
    Kind.COMPLIANCE: "compliance_name",
}


def import_document(
    *, kind: str, name: str, document: Mapping[str, Any], note: str = "", author: User | None = None
) -> ConfigurationVersion:
    """A new draft, or the version that already has this content.

    Raises ConfigurationError when the document does not compile: no version is made.
    """
    validators.validate_document(kind, document, name)
    digest = checksum(document)
    versions = ConfigurationVersion.objects.filter(kind=kind, name=name)
    same = versions.filter(checksum=digest).first()
    if same is not None:
        return same
    last = versions.aggregate(last=Max("number"))["last"] or 0
    return ConfigurationVersion.objects.create(
        kind=kind,
        name=name,
        number=last + 1,
        document=document,
        checksum=digest,
        note=note,
        author=author,
    )


def activate(version: ConfigurationVersion, *, by: User | None = None) -> list[Source]:
    """Make a version the active one and give every source that uses it a new bundle.

    Returns these sources; what went live is kept as an Activation. Raises ConfigurationError when
    a bundle would not compile: nothing changes then.
    """
    with transaction.atomic():
        active = ConfigurationVersion.objects.select_for_update().filter(
            kind=version.kind, name=version.name, status=Status.ACTIVE
        )
        previous = active.first()
        active.exclude(pk=version.pk).update(status=Status.RETIRED)
        version.status = Status.ACTIVE
        version.activated_at = timezone.now()
        version.save(update_fields=["status", "activated_at"])
        if previous != version:
            Activation.objects.create(version=version, previous=previous, activated_by=by)
        sources = list(Source.objects.filter(**{USED_BY[version.kind]: version.name}))
        for source in sources:
            refresh_bundle(source)
    return sources


def refresh_bundle(source: Source) -> Bundle:
    """Build the bundle of what is active for a source now, and make it the source's own.

    Raises ConfigurationError naming what is missing or what does not compile.
    """
    content = bundle_content(source)
    validators.validate_bundle(content)
    bundle, _ = Bundle.objects.get_or_create(
        source=source, hash=checksum(content), defaults={"content": content}
    )
    if source.active_bundle_id != bundle.pk:
        source.active_bundle = bundle
        source.save(update_fields=["active_bundle"])
    return bundle


def bundle_content(source: Source) -> dict[str, Any]:
    """All that evaluate() needs of a source, as one JSON document."""
    return {
        "source": source.name,
        "routes": [{"schema": _active(Kind.SCHEMA, source.schema_name, "/schema_name")}],
        "metrics": _active(Kind.METRICS, source.metrics_name, "/metrics_name"),
        "compliance": _active(Kind.COMPLIANCE, source.compliance_name, "/compliance_name"),
        "engine_version": ENGINE_VERSION,
    }


def checksum(document: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON text."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _active(kind: str, name: str, pointer: str) -> dict[str, Any]:
    version = ConfigurationVersion.objects.filter(
        kind=kind, name=name, status=Status.ACTIVE
    ).first()
    if version is None:
        known = ", ".join(
            ConfigurationVersion.objects.filter(kind=kind, status=Status.ACTIVE)
            .order_by("name")
            .values_list("name", flat=True)
        )
        raise ConfigurationError(
            Problem(
                pointer=pointer,
                message=f"no active {Kind(kind).label.lower()} is named {name!r}; "
                f"active are: {known or 'none'}",
            )
        )
    return {"name": name, "version": version.number, "document": version.document}
